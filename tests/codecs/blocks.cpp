// int8_block, int4_block, fp8_block, sign_block: bytes, error bounds, and the values at which others went wrong.
#include "coded.hpp"

#include <tutti/codecs/fp8_block.hpp>
#include <tutti/codecs/int_block.hpp>
#include <tutti/codecs/sign_block.hpp>

#include <boost/test/unit_test.hpp>

#include <algorithm>
#include <cmath>

BOOST_AUTO_TEST_SUITE(codecs)

namespace blocks {

using namespace coded;
using tutti::fp8;

constexpr std::size_t lengths[] = {0, 1, 2, 7, 8, 9, 255, 256, 257, 1000};

/// The largest magnitude of the block of value i.
float largest_near(const std::vector<float>& x, std::size_t i) {
  float most = 0;
  for (std::size_t k = i / 256 * 256; k < std::min(x.size(), i / 256 * 256 + 256); ++k)
    most = std::max(most, std::fabs(x[k]));
  return most;
}

/// What is wrong with what arrives, when error(x, largest of the block) is the most that it may be off.
template <class C, class Error>
std::string flaw(const C& codec, Error&& error) {
  for (const std::size_t n : lengths) {
    const auto x = drawn(n), y = sent(codec, x);
    for (std::size_t i = 0; i < n; ++i)
      if (!(std::fabs(double(x[i]) - double(y[i])) <= error(double(std::fabs(x[i])), double(largest_near(x, i)))))
        return std::to_string(x[i]) + " arrives as " + std::to_string(y[i]);
  }
  return {};
}

template <class C>
void check_special_values(const C& codec) {
  const std::vector<float> zeros(300, 0.f);
  BOOST_CHECK(same_bits(sent(codec, zeros), zeros));
  BOOST_CHECK(sent(codec, std::vector<float>(9, -0.f)) == std::vector<float>(9, 0.f));

  auto x = drawn(700); // a block of zeros between others, and a short one behind
  std::fill(x.begin() + 256, x.begin() + 512, 0.f);
  const auto y = sent(codec, x);
  BOOST_CHECK(std::all_of(y.begin() + 256, y.begin() + 512, [](float v) { return v == 0 && !std::signbit(v); }));
  BOOST_CHECK(std::all_of(y.begin(), y.end(), [](float v) { return std::isfinite(v); }));

  for (const float bad : {none, infinite, -infinite}) { // shows in every value of its block, and in no other
    auto spoilt = x;
    spoilt[600] = bad;
    const auto arrived = sent(codec, spoilt);
    BOOST_CHECK(std::equal(y.begin(), y.begin() + 512, arrived.begin()));
    BOOST_CHECK(std::all_of(arrived.begin() + 512, arrived.end(), [](float v) { return std::isnan(v); }));
  }
  for (const float least : {0x1p-149f, 0x1p-130f, 0x1p-126f}) {
    const auto tiny = sent(codec, std::vector<float>{least, -least, 0});
    BOOST_CHECK(std::all_of(tiny.begin(), tiny.end(), [](float v) { return std::fabs(v) <= 0x1p-125f; }));
  }
  const auto most = sent(codec, std::vector<float>{0x1.fffffep127f, -0x1.fffffep127f});
  BOOST_CHECK(std::fabs(most[0]) > 0x1.fffff0p127f && most[1] == -most[0]);
}

} // namespace blocks

BOOST_AUTO_TEST_CASE(blocks_take_the_bytes_that_they_say) {
  const tutti::int8_block eight;
  const tutti::int4_block four;
  const tutti::sign_block one;
  for (const std::size_t n : blocks::lengths) {
    const std::size_t scales = 4 * ((n + 255) / 256);
    BOOST_CHECK_EQUAL(eight.bytes<float>(n), n + scales);
    BOOST_CHECK_EQUAL(tutti::fp8_block<tutti::fp8::e5m2>{}.bytes<double>(n), n + scales);
    BOOST_CHECK_EQUAL(four.bytes<float>(n), (n + 1) / 2 + scales);
    BOOST_CHECK_EQUAL(one.bytes<float>(n), (n + 7) / 8 + scales);
  }
  BOOST_CHECK_EQUAL(tutti::basic_int8_block<64>{}.bytes<float>(129), 129 + 3 * 4u);
}

BOOST_AUTO_TEST_CASE(whole_numbers_of_a_block_are_within_half_a_step) {
  BOOST_CHECK_EQUAL(blocks::flaw(tutti::int8_block{}, [](double, double m) { return m / 254 * (1 + 0x1p-15); }), "");
  BOOST_CHECK_EQUAL(blocks::flaw(tutti::int4_block{}, [](double, double m) { return m / 14 * (1 + 0x1p-15); }), "");
  BOOST_CHECK_NE(blocks::flaw(tutti::int8_block{}, [](double, double m) { return m / 260; }), ""); // it is no better
}

BOOST_AUTO_TEST_CASE(eight_bit_floats_of_a_block_are_within_half_of_their_last_place) {
  const auto bound = [](double last, double least) {
    return [=](double x, double m) { return std::max(x * last, m * least) * (1 + 0x1p-20); };
  };
  BOOST_CHECK_EQUAL(blocks::flaw(tutti::fp8_block<tutti::fp8::e4m3>{}, bound(0x1p-4, 0x1p-10 / 448)), "");
  BOOST_CHECK_EQUAL(blocks::flaw(tutti::fp8_block<tutti::fp8::e5m2>{}, bound(0x1p-3, 0x1p-17 / 57344)), "");
  BOOST_CHECK_NE(blocks::flaw(tutti::fp8_block<tutti::fp8::e5m2>{}, bound(0x1p-4, 0x1p-10 / 448)), "");
}

BOOST_AUTO_TEST_CASE(signs_lose_what_the_lemma_says) {
  for (const std::size_t n : {1u, 8u, 100u, 256u}) { // one block
    const auto x = blocks::drawn(n, n + 3), y = blocks::sent(tutti::sign_block{}, x);
    double magnitudes = 0;
    for (const float v : x) magnitudes += std::fabs(double(v));
    const double lost = blocks::squares(x) - magnitudes * magnitudes / double(n);
    BOOST_CHECK_SMALL(blocks::squares(blocks::difference(x, y)) - lost, 1e-5 * (1 + blocks::squares(x)));
  }
  const auto y = blocks::sent(tutti::sign_block{}, std::vector<float>{0, -0.f, 0, 3, -1});
  BOOST_CHECK(blocks::same_bits(y, std::vector<float>{.8f, .8f, .8f, .8f, -.8f})); // a zero counts as positive
}

BOOST_AUTO_TEST_CASE(blocks_of_special_values_arrive_as_documented) {
  blocks::check_special_values(tutti::int8_block{});
  blocks::check_special_values(tutti::int4_block{});
  blocks::check_special_values(tutti::fp8_block<tutti::fp8::e4m3>{});
  blocks::check_special_values(tutti::fp8_block<tutti::fp8::e5m2>{});
  blocks::check_special_values(tutti::sign_block{});
}

BOOST_AUTO_TEST_CASE(conversion_to_a_whole_number_never_wraps) {
  const float x[] = {127.5f, 127.6f, -128.4f, 300, 1e9f, .5f, 1.5f, 2.5f, -2.5f, -.4f};
  const int expected[] = {127, 127, -127, 127, 127, 0, 2, 2, -2, 0};
  for (std::size_t i = 0; i < std::size(x); ++i) BOOST_CHECK_EQUAL(tutti::detail::nearest(x[i], 127), expected[i]);
}

BOOST_AUTO_TEST_CASE(eight_bit_floats_saturate_and_survive) {
  using tutti::fp8;
  const auto e4m3 = [](float x) { return tutti::from_fp8<fp8::e4m3>(tutti::to_fp8<fp8::e4m3>(x)); };
  const auto e5m2 = [](float x) { return tutti::from_fp8<fp8::e5m2>(tutti::to_fp8<fp8::e5m2>(x)); };
  for (const float x : {448.f, 464.f, 465.f, 480.f, 1000.f, blocks::infinite}) {
    BOOST_CHECK_EQUAL(e4m3(x), 448);
    BOOST_CHECK_EQUAL(e4m3(-x), -448);
  }
  for (const float x : {57344.f, 61440.f, 1e6f}) BOOST_CHECK_EQUAL(e5m2(x), 57344);
  BOOST_CHECK(std::isnan(e4m3(blocks::none)) && std::isnan(e5m2(blocks::none)));
  BOOST_CHECK_EQUAL(e4m3(1.0625f), 1);     // ties to the even mantissa
  BOOST_CHECK_EQUAL(e4m3(1.1875f), 1.25f);
  BOOST_CHECK_EQUAL(e4m3(0x1p-10f), 0);    // half of the least number
  BOOST_CHECK_EQUAL(e4m3(0x1.8p-9f), 0x1p-8f);
  for (int code = 0; code < 256; ++code) {
    const auto c = std::uint8_t(code);
    const float a = tutti::from_fp8<fp8::e4m3>(c), b = tutti::from_fp8<fp8::e5m2>(c);
    if (std::isfinite(a)) BOOST_CHECK_EQUAL(tutti::to_fp8<fp8::e4m3>(a), c);
    if (std::isfinite(b)) BOOST_CHECK_EQUAL(tutti::to_fp8<fp8::e5m2>(b), c);
    BOOST_CHECK_EQUAL(std::isnan(a), (c & 0x7f) == 0x7f);
  }
  BOOST_CHECK_EQUAL(tutti::from_fp8<fp8::e4m3>(0x01), 0x1p-9f);
  BOOST_CHECK_EQUAL(tutti::from_fp8<fp8::e5m2>(0x01), 0x1p-16f);
  BOOST_CHECK_EQUAL(tutti::from_fp8<fp8::e5m2>(0x7c), blocks::infinite);
}

BOOST_AUTO_TEST_SUITE_END()
