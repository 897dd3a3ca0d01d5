// What others have shipped wrong in kernels, in bodies on the host: NaN, ties, zeros and alignment. Where the rest is
// covered: blocks.cpp (codes that saturate, ties of int8), selection.cpp (equal values at the threshold), norm.cpp
// (gradients that are not finite), reduce.cpp (results in the place of a contribution, counts of 64 bits),
// barriers.cpp, contracted.cpp and inexactness.cpp (fused products and -ffast-math); cuda_mock/traps.cpp has what is not
// in a body.
#include "kernels/memory.hpp"

#include <tutti/codecs/fp8_block.hpp>
#include <tutti/codecs/int_block.hpp>
#include <tutti/codecs/sign_block.hpp>
#include <tutti/kernels/blocks.hpp>
#include <tutti/kernels/cast.hpp>
#include <tutti/kernels/collect.hpp>
#include <tutti/kernels/context.hpp>
#include <tutti/kernels/order_statistics.hpp>
#include <tutti/kernels/reduce.hpp>
#include <tutti/kernels/update.hpp>
#include <tutti/optimizers/adam.hpp>
#include <tutti/reducers/elementary.hpp>
#include <tutti/reducers/order_statistics.hpp>

#include <boost/test/unit_test.hpp>

#include <bit>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <string>
#include <vector>

namespace kernel_traps {

using namespace kernel_memory;
namespace kernels = tutti::detail::kernels;

std::uint32_t bits_of(float x) {
  return std::bit_cast<std::uint32_t>(x);
}

/// What a column of contributions comes to, and what the reducer makes of it.
template <class R, class Pick> void expect_column(const R& r, const Pick& pick, std::vector<float> column) {
  float out = 0;
  kernels::columns<float, 8> of{{}, &out, 1, int(column.size())};
  for (std::size_t k = 0; k < column.size(); ++k) of.in[k] = &column[k];
  kernels::run_on_host<32>(1, [&](auto& ctx) { kernels::pick_from_columns(ctx, pick, of); });
  const float right = r.gather(std::span<float>{column});
  BOOST_CHECK(std::isnan(right) ? std::isnan(out) : bits_of(out) == bits_of(right));
}

/// A block of a codec, and its feedback.
template <class C> void expect_zeros(const std::vector<float>& values, std::size_t zeros_from, std::size_t zeros_to) {
  using code = typename kernels::code_of<C>::type;
  const std::size_t n = values.size();
  std::vector<float> sent(n, -1), before(n), after(n, -1);
  std::vector<std::byte> wire(C{}.template bytes<float>(n));
  kernels::run_on_host<32>(2, [&](auto& ctx) {
    kernels::block_scratch<32, code::signs> scratch;
    kernels::encode<code, C::block>(
        ctx, scratch,
        kernels::encoding<float>{values.data(), sent.data(), wire.data(), n, before.data(), after.data(), 1});
  });
  for (std::size_t i = zeros_from; i < zeros_to; ++i) BOOST_CHECK(sent[i] == 0 && after[i] == 0);
  const std::size_t block_bytes = kernels::coding_parts::wire_bytes<code, C::block>;
  for (std::size_t b = 0; b * C::block < n; ++b)
    BOOST_CHECK(std::isfinite(kernels::coding_parts::scale_at(wire.data() + b * block_bytes)));
}

BOOST_AUTO_TEST_SUITE(kernels_traps)

// Rounding by a trick of bits that turns NaNs into zeros or infinities.
BOOST_AUTO_TEST_CASE(every_upper_half_of_a_float_is_rounded_to_bfloat16) {
  std::uint32_t wrong = 0;
  for (std::uint32_t high = 0; high < 0x10000u; ++high)
    for (const std::uint32_t low : {0u, 1u, 0x7fffu, 0x8000u, 0x8001u, 0xffffu}) {
      const auto x = std::bit_cast<float>(high << 16 | low);
      const bool up = low > 0x8000u || (low == 0x8000u && high % 2 != 0);
      const auto right = std::isnan(x) ? std::uint32_t{0x7fc0} : high + up; // into the next exponent, or an infinity
      wrong += tutti::element_cast<tutti::bfloat16>(x).bits != right;
    }
  BOOST_CHECK_EQUAL(wrong, 0u);
}

// NaNs that are compared by their bits, or not at all.
BOOST_AUTO_TEST_CASE(columns_with_nans_of_all_kinds) {
  const float nans[] = {std::bit_cast<float>(0x7fc00000u), std::bit_cast<float>(0xffc00001u),
                        std::bit_cast<float>(0x7f800001u), std::bit_cast<float>(0xffffffffu)};
  for (std::size_t count = 1; count <= 8; ++count)
    for (const std::size_t bad : {std::size_t{0}, std::size_t{1}, count / 2, count}) {
      std::vector<float> column;
      for (std::size_t k = 0; k < count; ++k) column.push_back(k % 3 == 0 ? -0.0f : float(k) - 2);
      for (std::size_t k = 0; k < bad && k < count; ++k) column[count - 1 - k] = nans[k % 4];
      expect_column(tutti::median{}, kernels::middle{}, column);
      if (count > 2) expect_column(tutti::trimmed_mean{1}, kernels::mean_within{1}, column);
    }
  for (const float nan : nans) BOOST_CHECK_EQUAL(kernels::key_of(nan), 0x7fc00000);
}

// Zero over zero.
BOOST_AUTO_TEST_CASE(blocks_of_zeros_stay_zeros) {
  std::vector<float> one_block(600, 3);
  std::fill(one_block.begin() + 256, one_block.begin() + 512, -0.0f);
  for (const std::size_t n : {1u, 256u, 300u}) { // the last block is short
    const std::vector<float> zeros(n), minus(n, -0.0f);
    for (const auto& values : {zeros, minus}) {
      expect_zeros<tutti::int8_block>(values, 0, n);
      expect_zeros<tutti::fp8_block<tutti::fp8::e4m3>>(values, 0, n);
      expect_zeros<tutti::sign_block>(values, 0, n);
    }
  }
  expect_zeros<tutti::int8_block>(one_block, 256, 512);
  expect_zeros<tutti::fp8_block<tutti::fp8::e5m2>>(one_block, 256, 512);
  expect_zeros<tutti::sign_block>(one_block, 256, 512);
}

// Access of sixteen bytes that is decided by lengths and not by addresses.
BOOST_AUTO_TEST_CASE(every_pointer_may_begin_elsewhere) {
  for (const std::size_t n : {1u, 17u, 257u}) {
    std::vector<guarded<float>> in;
    std::vector<float> right(n);
    for (std::size_t k = 0; k < 4; ++k) {
      in.emplace_back(random_values<float>(n, k, false), k);
      for (std::size_t i = 0; i < n; ++i) right[i] = k == 0 ? in[k].data()[i] : right[i] + in[k].data()[i];
    }
    const guarded<float> out{n, 2};
    const auto head = [&](std::size_t length, const auto*... pointers) {
      return kernels::head_of(n, length, pointers...);
    };
    const std::size_t none = head(4, out.data(), in[0].data(), in[1].data(), in[2].data(), in[3].data());
    BOOST_CHECK_EQUAL(none, n);
    const kernels::rows<float, 4> rows{
        {in[0].data(), in[1].data(), in[2].data(), in[3].data()}, out.data(), n, none, 1};
    kernels::run_on_host<32>(2, [&](auto& ctx) { kernels::reduce<4>(ctx, tutti::sum{}, rows); });
    BOOST_CHECK_EQUAL(difference(out.values(), right), "");
    BOOST_CHECK(out.guards_hold());

    // Parameters and two slots, each somewhere else.
    std::vector<float> values(n, 1), m(n, .5f), v(n, .25f);
    const guarded<float> where{values, 3}, first{m, 1}, second{v, 2};
    const tutti::adamw adam;
    const kernels::updated<float, 2> what{where.data(), {first.data(), second.data()}, n, 1};
    const kernels::rows<float, 1> by{
        {in[3].data()}, nullptr, n, head(4, in[3].data(), where.data(), first.data(), second.data()), 1};
    kernels::run_on_host<32>(
        2, [&](auto& ctx) { kernels::reduce_and_update<1, 2>(ctx, tutti::mean{}, by, adam.at<float>(1), what); });
    tutti::update<float>(adam, 1, values, in[3].values(), {m, v});
    BOOST_CHECK_EQUAL(difference(where.values(), values), "");
    BOOST_CHECK_EQUAL(difference(second.values(), v), "");
    BOOST_CHECK(where.guards_hold() && first.guards_hold() && second.guards_hold());

    // A wire at an odd number of its values, beside memory at another.
    const guarded<tutti::bfloat16> wire{n, 5};
    const guarded<float> memory{std::vector<float>(n, 1), 1};
    const kernels::rounding_with_memory<float, tutti::bfloat16> rounds{
        in[2].data(),
        wire.data(),
        memory.data(),
        memory.data(),
        nullptr,
        n,
        head(8, in[2].data(), wire.data(), memory.data()),
        1};
    kernels::run_on_host<32>(2, [&](auto& ctx) { kernels::cast_with_memory(ctx, rounds); });
    for (std::size_t i = 0; i < n; ++i)
      BOOST_CHECK_EQUAL(wire.data()[i].bits, tutti::element_cast<tutti::bfloat16>(1 + in[2].data()[i]).bits);
    BOOST_CHECK(wire.guards_hold() && memory.guards_hold());
  }
}

BOOST_AUTO_TEST_SUITE_END()

} // namespace kernel_traps
