#include <tutti/reducers/elementary.hpp>

#include <boost/test/unit_test.hpp>

#include <cmath>
#include <cstring>

BOOST_AUTO_TEST_SUITE(reducers)

namespace {

using tutti::bfloat16, tutti::half;

template <class X>
bool same_bits(X a, X b) {
  return std::memcmp(&a, &b, sizeof(X)) == 0;
}

// Integers wrap; a constant expression would not compile if that were undefined.
static_assert(tutti::sum{}.combine<std::int8_t>(127, 1) == -128);
static_assert(tutti::sum{}.combine<std::uint8_t>(200, 100) == 44);
static_assert(tutti::sum{}.combine<std::int32_t>(0x7fffffff, 1) == -0x7fffffff - 1);
static_assert(tutti::sum{}.combine<std::int64_t>(INT64_MIN, -1) == INT64_MAX);
static_assert(tutti::sum{}.combine<std::uint64_t>(UINT64_MAX, 2) == 1);
static_assert(tutti::product{}.combine<std::int8_t>(-128, -1) == -128);
static_assert(tutti::product{}.combine<std::int32_t>(0x10000, 0x10000) == 0);
static_assert(tutti::product{}.combine<std::int64_t>(INT64_MIN, -1) == INT64_MIN);
static_assert(tutti::product{}.combine<std::uint32_t>(0xffffffff, 0xffffffff) == 1);

static_assert(tutti::min{}.identity<std::int8_t>() == 127 &&
              tutti::max{}.identity<std::int8_t>() == -128);
static_assert(tutti::min{}.combine<std::int64_t>(-5, 3) == -5 &&
              tutti::max{}.combine(2u, 7u) == 7u);
static_assert(tutti::max{}.identity<std::uint64_t>() == 0 &&
              tutti::min{}.combine(1.5f, -2.f) == -2.f);

static_assert(tutti::accepts_element<tutti::mean, bfloat16> &&
              !tutti::accepts_element<tutti::mean, int>);
static_assert(!tutti::accepts_element<tutti::weighted_mean, std::int64_t>);
static_assert(tutti::is_weighted<tutti::weighted_mean> && !tutti::is_weighted<tutti::mean>);
static_assert(std::is_empty_v<tutti::sum> && std::is_empty_v<tutti::weighted_mean>);
static_assert(std::same_as<tutti::reducer_accumulator_t<tutti::sum, half>, float>);
static_assert(tutti::detail::plain_lift<tutti::sum, float> &&
              tutti::detail::plain_lower<tutti::sum, float>);
static_assert(!tutti::detail::plain_lift<tutti::sum, half> &&
              !tutti::detail::plain_lower<tutti::mean, float>);

template <class A>
void check_zeros_and_nan() {
  const A infinity = std::numeric_limits<A>::infinity(), nan = std::numeric_limits<A>::quiet_NaN();
  const A payload = -A(std::nan("5")); // some other NaN
  const tutti::min low;
  const tutti::max high;

  BOOST_CHECK(same_bits(low.combine(A{0}, -A{0}), -A{0}) &&
              same_bits(low.combine(-A{0}, A{0}), -A{0}));
  BOOST_CHECK(same_bits(high.combine(A{0}, -A{0}), A{0}) &&
              same_bits(high.combine(-A{0}, A{0}), A{0}));
  BOOST_CHECK(same_bits(low.combine(payload, A{1}), nan) &&
              same_bits(low.combine(A{1}, payload), nan));
  BOOST_CHECK(same_bits(high.combine(payload, nan), nan) &&
              same_bits(high.combine(nan, payload), nan));
  BOOST_CHECK(same_bits(low.combine(-infinity, nan), nan) &&
              low.combine(-infinity, A{1}) == -infinity);
  BOOST_CHECK(same_bits(tutti::sum{}.combine(tutti::sum{}.identity<A>(), -A{0}), -A{0}));
  BOOST_CHECK(std::isnan(tutti::sum{}.combine(infinity, -infinity)));
}

} // namespace

BOOST_AUTO_TEST_CASE(min_max_and_sum_on_zeros_infinities_and_nan) {
  check_zeros_and_nan<float>();
  check_zeros_and_nan<double>();
}

BOOST_AUTO_TEST_CASE(a_mean_divides_once_at_the_end) {
  const float sum = 1.f + 2.f + 2.f;
  BOOST_CHECK_EQUAL(tutti::detail::lower<float>(tutti::mean{}, sum, 3, 0), 5.f / 3.f);
  BOOST_CHECK_EQUAL(tutti::detail::lower<half>(tutti::mean{}, sum, 3, 0).bits,
                    half(5.f / 3.f).bits);
  BOOST_CHECK_EQUAL(tutti::detail::lower<float>(tutti::sum{}, sum, 3, 0), 5.f);
}

BOOST_AUTO_TEST_CASE(a_weighted_mean_weighs_what_enters) {
  const tutti::weighted_mean r;
  const double a = tutti::detail::lift(r, 3.0, .5, 0), b = tutti::detail::lift(r, -1.0, 1.5, 0);
  BOOST_CHECK_EQUAL(tutti::detail::lower<double>(r, r.combine(a, b), 2, 0), 0);
  BOOST_CHECK_EQUAL(tutti::detail::lift(tutti::mean{}, 3.0, .5, 0), 3);
}

BOOST_AUTO_TEST_CASE(half_and_bfloat16_are_summed_in_float) {
  // 2049 is no half, and 2048 + 1 rounds back to 2048 in half: only a float sum reaches 2050.
  const tutti::sum r;
  float total = r.identity<float>();
  for (const float x : {2048.f, 1.f, 1.f})
    total = r.combine(total, tutti::detail::lift(r, half(x), 1, 0));
  BOOST_CHECK_EQUAL(float(tutti::detail::lower<half>(r, total, 3, 0)), 2050.f);
}

BOOST_AUTO_TEST_SUITE_END()
