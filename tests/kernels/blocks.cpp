// Codecs of blocks in kernels against their loops on the host: the same bytes, memories and values.
#include "kernels/memory.hpp"

#include <tutti/codecs/error_feedback.hpp>
#include <tutti/collectives/arithmetic.hpp>
#include <tutti/kernels/blocks.hpp>
#include <tutti/kernels/context.hpp>
#include <tutti/reducers/elementary.hpp>

#include <boost/test/unit_test.hpp>

#include <cmath>
#include <string>
#include <vector>

namespace block_kernels {

using namespace kernel_memory;
namespace kernels = tutti::detail::kernels;

/// Values of which some blocks are zeros, and where `special` some hold a NaN or an infinity.
template <class T> std::vector<T> blocks_of_values(std::size_t n, std::uint64_t seed, bool special) {
  auto all = random_values<T>(n, seed, special, special ? 500 : 40);
  for (std::size_t i = 256; i < n && i < 512; ++i) all[i] = i % 3 == 0 ? T(-0.0f) : T(0.0f);
  return all;
}

template <class C, class T>
std::string check(const C& codec, std::size_t n, std::size_t offset, bool special, bool remembers,
                  const kernels::norm_verdict* verdict = nullptr) {
  using A = tutti::accumulator_t<T>;
  using code = typename kernels::code_of<C>::type;
  const auto values = blocks_of_values<T>(n, 3 + offset, special);
  const auto before = random_values<A>(n, 17, false);
  const A decay = A(0.75f);

  std::vector<T> sent = values;
  if (verdict)
    for (T& x : sent) x = tutti::element_cast<T>(tutti::element_cast<A>(x) * A(verdict->factor));
  std::vector<A> after(n);
  std::vector<std::byte> wire(codec.template bytes<T>(n));
  if (remembers) {
    const tutti::error_feedback<C> with{codec, double(decay)};
    with.template encode<T>({before, after}, sent, wire.data(), {});
  } else {
    codec.template encode<T>(std::span<const T>{sent}, wire.data());
    codec.template decode<T>(wire.data(), std::span<T>{sent});
  }

  const guarded<T> in{values, offset};
  const guarded<T> kernel_sent{n, offset};
  const guarded<A> kept{before, offset}, kernel_after{n, offset};
  const guarded<std::byte> kernel_wire{wire.size(), 0};
  const kernels::encoding<T> what{
      in.data(), kernel_sent.data(), kernel_wire.data(), n, remembers ? kept.data() : nullptr, kernel_after.data(),
      decay, verdict};
  kernels::run_on_host<64>(
      3,
      [&](auto& block) {
        kernels::block_scratch<64, code::signs> scratch;
        std::memset(static_cast<void*>(&scratch), 0xa5, sizeof scratch);
        kernels::encode<code, C::block>(block, scratch, what);
      },
      n + offset);
  if (!kernel_sent.guards_hold() || !kernel_after.guards_hold() || !kernel_wire.guards_hold())
    return "a guard zone was written to";
  if (kernel_wire.values() != wire) return "the bytes differ";
  if (auto why = difference(kernel_sent.values(), sent); !why.empty()) return "sent: " + why;
  if (remembers)
    if (auto why = difference(kernel_after.values(), after); !why.empty()) return "remembered: " + why;
  return {};
}

template <class C, class T> void check_all(const C& codec) {
  for (const std::size_t n : lengths)
    for (const std::size_t offset : {0, 1, 3})
      for (const bool remembers : {false, true}) {
        BOOST_CHECK_EQUAL((check<C, T>(codec, n, offset, false, remembers)), "");
        if (!remembers) BOOST_CHECK_EQUAL((check<C, T>(codec, n, offset, true, false)), "");
      }
}

template <class R, class C> std::string reduced(const R& r, const C& codec, int ranks, std::size_t n) {
  using code = typename kernels::code_of<C>::type;
  std::vector<guarded<std::byte>> memory;
  const std::byte* wires[16] = {};
  std::vector<const std::byte*> in;
  for (int k = 0; k < ranks; ++k) {
    std::vector<std::byte> wire(codec.template bytes<float>(n));
    codec.template encode<float>(std::span<const float>{blocks_of_values<float>(n, std::uint64_t(k), k == 1)},
                                 wire.data());
    memory.emplace_back(wire, 4);
    in.push_back(wires[k] = memory.back().data());
  }
  const auto math = tutti::detail::arithmetic_of<float>(r, codec);
  std::vector<float> right(n);
  math.unite(math, in, {}, reinterpret_cast<std::byte*>(right.data()), n, 0, ranks);
  const guarded<float> out{n, 1};
  kernels::run_on_host<32>(3, [&](auto& block) {
    kernels::decode_and_reduce<code, C::block>(block, r, wires, ranks, out.data(), n, double(ranks));
  });
  if (!out.guards_hold()) return "a guard zone was written to";
  return difference(out.values(), right);
}

BOOST_AUTO_TEST_SUITE(kernels_blocks)

BOOST_AUTO_TEST_CASE(bytes_are_those_of_the_codecs) {
  check_all<tutti::int8_block, float>({});
  check_all<tutti::fp8_block<tutti::fp8::e4m3>, float>({});
  check_all<tutti::basic_fp8_block<tutti::fp8::e5m2, 128>, tutti::bfloat16>({});
  check_all<tutti::sign_block, float>({});
}

BOOST_AUTO_TEST_CASE(gradients_are_scaled_in_the_same_pass_and_left_out_where_they_are_not_finite) {
  const kernels::norm_verdict clips{9, 0.3f, 1}, bad{9, 0.3f, 0};
  for (const bool remembers : {false, true}) {
    BOOST_CHECK_EQUAL((check<tutti::int8_block, float>({}, 1025, 1, false, remembers, &clips)), "");
    BOOST_CHECK_EQUAL((check<tutti::sign_block, tutti::bfloat16>({}, 300, 3, false, remembers, &clips)), "");
  }
  const std::vector<float> values(300, 2);
  std::vector<std::byte> wire(400);
  kernels::run_on_host<64>(2, [&](auto& block) {
    kernels::block_scratch<64, false> scratch;
    kernels::encode<kernels::int8_code, 256>(
        block, scratch,
        kernels::encoding<float>{values.data(), nullptr, wire.data(), 300, nullptr, nullptr, 0, &bad});
  });
  BOOST_CHECK(wire == std::vector<std::byte>(400));
}

BOOST_AUTO_TEST_CASE(ties_are_even_and_what_is_too_large_saturates) {
  using code = kernels::int8_code;
  for (int k = -127; k < 127; ++k) {
    const int even = k % 2 == 0 ? k : k + 1;
    BOOST_CHECK_EQUAL(int(static_cast<signed char>(code::code(float(k) + 0.5f, 1))), even);
  }
  BOOST_CHECK_EQUAL(int(static_cast<signed char>(code::code(1e30f, 1))), 127);
  BOOST_CHECK_EQUAL(int(static_cast<signed char>(code::code(-1e30f, 1))), -127);
  using e4m3 = kernels::fp8_code<tutti::fp8::e4m3>;
  for (const float x : {447.f, 448.f, 464.f, 465.f, 1e30f, HUGE_VALF})
    BOOST_CHECK_EQUAL(e4m3::value(e4m3::code(x, 1)), 448.f);
  BOOST_CHECK_EQUAL(e4m3::value(e4m3::code(256, 1)), 256.f);
  BOOST_CHECK(std::isnan(e4m3::value(e4m3::code(NAN, 1))));
  for (int c = 0; c < 256; ++c)
    if (const float x = e4m3::value(std::uint8_t(c)); x == x) BOOST_CHECK_EQUAL(int(e4m3::code(x, 1)), c);
}

BOOST_AUTO_TEST_CASE(decoding_and_reducing_is_one_pass_with_the_bits_of_collectives) {
  for (const std::size_t n : {0, 1, 255, 256, 257, 1025}) {
    BOOST_CHECK_EQUAL(reduced(tutti::mean{}, tutti::int8_block{}, 8, n), "");
    BOOST_CHECK_EQUAL(reduced(tutti::sum{}, tutti::fp8_block<tutti::fp8::e4m3>{}, 3, n), "");
    BOOST_CHECK_EQUAL(reduced(tutti::sum{}, tutti::sign_block{}, 5, n), "");
  }
}

BOOST_AUTO_TEST_SUITE_END()

} // namespace block_kernels
