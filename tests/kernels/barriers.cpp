// Barriers between what lanes write and others read, in all bodies that share memory: the results are those of other
// tests, and lanes see nothing of each other but behind a barrier. (Of top_k: selection.cpp.)
#include "kernels/isolated.hpp"
#include "kernels/memory.hpp"

#include <tutti/kernels/blocks.hpp>
#include <tutti/kernels/distances.hpp>

#include <boost/test/unit_test.hpp>

#include <array>
#include <cstring>
#include <vector>

namespace barrier_kernels {

using namespace kernel_memory;
namespace kernels = tutti::detail::kernels;

/// out[lane] = what the next lane wrote.
std::array<int, 32> shifted(bool waits, int& conflicts) {
  std::array<int, 32> scratch{}, out{};
  conflicts += run_isolated<32>(1, {shared(scratch)}, [&](auto& ctx) {
    const auto write = [&](unsigned lane) { scratch[lane] = int(lane) + 1; };
    const auto read = [&](unsigned lane) { out[lane] = scratch[(lane + 1) % 32]; };
    if (waits) {
      ctx.each(write);
      ctx.each(read);
    } else {
      ctx.each([&](unsigned lane) { write(lane), read(lane); });
    }
  });
  return out;
}

template <class C> std::vector<std::byte> encoded(const std::vector<float>& values, bool isolated, int& conflicts) {
  using code = typename kernels::code_of<C>::type;
  std::vector<std::byte> wire(C{}.template bytes<float>(values.size()));
  kernels::block_scratch<64, code::signs> scratch;
  std::memset(static_cast<void*>(&scratch), 0xa5, sizeof scratch);
  const auto body = [&](auto& ctx) {
    kernels::encode<code, C::block>(
        ctx, scratch,
        kernels::encoding<float>{values.data(), nullptr, wire.data(), values.size(), nullptr, nullptr, 0});
  };
  if (isolated) conflicts += run_isolated<64>(2, {shared(scratch)}, body);
  else kernels::run_on_host<64>(2, body);
  return wire;
}

std::vector<double> measured(bool isolated, int& conflicts) {
  const auto a = random_values<float>(2000, 1, false), b = random_values<float>(2000, 2, false);
  const kernels::points<float, 2> of{{a.data(), b.data()}, a.size(), 2, true};
  std::vector<double> found(2 * 3);
  kernels::distance_scratch<32> scratch{};
  const auto body = [&](auto& ctx) { kernels::measure_tile(ctx, of, 0, found.data(), scratch); };
  if (isolated) conflicts += run_isolated<32>(2, {shared(scratch)}, body);
  else kernels::run_on_host<32>(2, body);
  return found;
}

BOOST_AUTO_TEST_SUITE(kernels_barriers)

BOOST_AUTO_TEST_CASE(a_barrier_that_is_missing_shows) {
  int conflicts = 0;
  BOOST_CHECK_EQUAL(shifted(true, conflicts)[4], 6);
  BOOST_CHECK_EQUAL(shifted(false, conflicts)[4], 0);
  BOOST_CHECK_EQUAL(conflicts, 0);
  int one = 0;
  BOOST_CHECK_GT(
      run_isolated<32>(1, {shared(one)}, [&](auto& ctx) { ctx.each([&](unsigned lane) { one = int(lane); }); }), 0);
  one = 0;
  BOOST_CHECK_EQUAL(
      run_isolated<32>(1, {shared(one)}, [&](auto& ctx) { ctx.each([&](unsigned) { ctx.add(one, 2); }); }), 0);
  BOOST_CHECK_EQUAL(one, 64);
}

BOOST_AUTO_TEST_CASE(codecs_and_distances_have_their_barriers) {
  int conflicts = 0;
  for (const std::size_t n : {5u, 256u, 1025u}) { // a block takes several rounds
    const auto values = random_values<float>(n, n, false);
    BOOST_CHECK(encoded<tutti::sign_block>(values, true, conflicts) ==
                encoded<tutti::sign_block>(values, false, conflicts));
    BOOST_CHECK(encoded<tutti::int8_block>(values, true, conflicts) ==
                encoded<tutti::int8_block>(values, false, conflicts));
  }
  BOOST_CHECK(measured(true, conflicts) == measured(false, conflicts));
  BOOST_CHECK_EQUAL(conflicts, 0);
}

BOOST_AUTO_TEST_SUITE_END()

} // namespace barrier_kernels
