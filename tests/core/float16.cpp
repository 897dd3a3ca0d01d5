#include <tutti/core/element.hpp>
#include <tutti/core/random.hpp>

#include <boost/test/unit_test.hpp>

#include <cmath>
#include <cstring>
#include <limits>
#include <string>

BOOST_AUTO_TEST_SUITE(core)

namespace {

using tutti::bfloat16, tutti::half;

/// A binary format by its significant bits, its least normal exponent and its canonical NaN.
struct format {
  int precision, least_exponent;
  double largest;
  std::uint16_t nan;
};
template <class T>
constexpr format format_of = {8, -126, 0x1.fep127, 0x7fc0};
template <>
constexpr format format_of<half> = {11, -14, 65504, 0x7e00};

/// The value of a pattern, from the definition of the format.
template <class T>
double value_of(std::uint16_t bits) {
  const auto [precision, least, largest, nan] = format_of<T>;
  const int fraction_bits = precision - 1;
  const int exponent = (bits & 0x7fff) >> fraction_bits;
  const int fraction = bits & ((1 << fraction_bits) - 1);
  const double sign = bits & 0x8000 ? -1 : 1;
  if (exponent == (0x7fff >> fraction_bits))
    return fraction != 0 ? std::numeric_limits<double>::quiet_NaN() : sign * double(INFINITY);
  const int significand = exponent == 0 ? fraction : fraction + (1 << fraction_bits);
  return sign * std::ldexp(significand, (exponent == 0 ? 1 : exponent) + least - 1 - fraction_bits);
}

/// x rounded to nearest, ties to even, by arithmetic in double, which is exact here.
template <class T>
double nearest(float x) {
  const auto [precision, least, largest, nan] = format_of<T>;
  if (!std::isfinite(x) || x == 0) return x;
  const int exponent = std::max(std::ilogb(x), least);
  const int unit = exponent - (precision - 1);
  const double y = std::ldexp(std::nearbyint(std::ldexp(double(x), -unit)), unit);
  return std::fabs(y) > largest ? std::copysign(double(INFINITY), y) : y;
}

bool same(double a, double b) {
  return (std::isnan(a) && std::isnan(b)) || (a == b && std::signbit(a) == std::signbit(b));
}

float float_of(std::uint32_t bits) {
  float x;
  std::memcpy(&x, &bits, sizeof x);
  return x;
}

/// Empty when x is converted as the definition says.
template <class T>
std::string wrong_conversion(float x) {
  const T got{x};
  const bool right =
      std::isnan(x) ? got.bits == format_of<T>.nan : same(value_of<T>(got.bits), nearest<T>(x));
  return right ? std::string{} : std::to_string(x) + " becomes " + std::to_string(float(got));
}

/// Every tie between two neighbours, and what lies just beside it.
template <class T>
std::string wrong_tie() {
  for (std::uint32_t bits = 0; bits < 0x7fffu; ++bits) {
    const double a = value_of<T>(std::uint16_t(bits)), b = value_of<T>(std::uint16_t(bits + 1));
    if (!std::isfinite(a)) break;
    const double next = std::isfinite(b) ? b : a + (a - value_of<T>(std::uint16_t(bits - 1)));
    const auto tie = float((a + next) / 2);
    for (const float x : {std::nextafter(tie, -INFINITY), tie, std::nextafter(tie, INFINITY)})
      for (const float y : {x, -x})
        if (const auto wrong = wrong_conversion<T>(y); !wrong.empty()) return wrong;
  }
  return {};
}

/// Floats of every sign, exponent and leading fraction, with the tails at which rounding turns.
template <class T>
std::string wrong_float() {
  for (std::uint32_t high = 0; high < 0x10000u; high += 3)
    for (std::uint32_t k = 0; k < 8; ++k)
      for (const std::uint32_t tail : {0x0000u, 0x0001u, 0x0fffu, 0x1000u, 0x1001u, 0x1fffu})
        if (const auto wrong = wrong_conversion<T>(float_of((high << 16) + k * 0x2000u + tail));
            !wrong.empty())
          return wrong;
  tutti::random_stream draw{1};
  for (int k = 0; k < 200000; ++k)
    if (const auto wrong = wrong_conversion<T>(float_of(draw())); !wrong.empty()) return wrong;
  return {};
}

template <class T>
std::string wrong_pattern() {
  for (std::uint32_t bits = 0; bits < 0x10000u; ++bits) {
    T x;
    x.bits = std::uint16_t(bits);
    const float value = float(x);
    const T back{value};
    const bool nan = std::isnan(value_of<T>(x.bits));
    if (!same(value, value_of<T>(x.bits)) || back.bits != (nan ? format_of<T>.nan : x.bits) ||
        tutti::is_finite(x) != std::isfinite(value) || (x == x) == nan)
      return "pattern " + std::to_string(bits);
  }
  return {};
}

} // namespace

BOOST_AUTO_TEST_CASE(every_16_bit_pattern_has_its_value_and_comes_back) {
  BOOST_CHECK_EQUAL(wrong_pattern<bfloat16>(), "");
  BOOST_CHECK_EQUAL(wrong_pattern<half>(), "");
}

BOOST_AUTO_TEST_CASE(floats_are_rounded_to_nearest_ties_to_even) {
  BOOST_CHECK_EQUAL(wrong_tie<bfloat16>(), "");
  BOOST_CHECK_EQUAL(wrong_tie<half>(), "");
  BOOST_CHECK_EQUAL(wrong_float<bfloat16>(), "");
  BOOST_CHECK_EQUAL(wrong_float<half>(), "");
}

BOOST_AUTO_TEST_CASE(conversions_at_the_edges) {
  BOOST_CHECK_EQUAL(half(65519.996f).bits, 0x7bff);
  BOOST_CHECK_EQUAL(half(65520.f).bits, 0x7c00);
  BOOST_CHECK_EQUAL(half(-65520.f).bits, 0xfc00);
  BOOST_CHECK_EQUAL(half(0x1p-25f).bits, 0x0000); // a tie, to even
  BOOST_CHECK_EQUAL(half(0x1.8p-25f).bits, 0x0001);
  BOOST_CHECK_EQUAL(half(-0x1p-26f).bits, 0x8000);
  BOOST_CHECK_EQUAL(bfloat16(std::numeric_limits<float>::max()).bits, 0x7f80);
  BOOST_CHECK_EQUAL(bfloat16(std::numeric_limits<float>::denorm_min()).bits, 0x0000);
  BOOST_CHECK_EQUAL(bfloat16(-float_of(0x7f800001)).bits, 0x7fc0); // any NaN
}

#if defined(__FLT16_MANT_DIG__)
BOOST_AUTO_TEST_CASE(half_agrees_with_the_compiler) {
  __extension__ typedef _Float16 native;
  std::string wrong;
  for (std::uint32_t high = 0; high < 0x10000u && wrong.empty(); high += 7)
    for (const std::uint32_t tail : {0x0000u, 0x0fffu, 0x1000u, 0x3001u, 0x7000u, 0xf001u}) {
      const float x = float_of((high << 16) + tail);
      if (!same(float(half(x)), float(native(x)))) wrong = std::to_string(x);
    }
  BOOST_CHECK_EQUAL(wrong, "");
}
#endif

BOOST_AUTO_TEST_CASE(zeros_compare_equal_and_nan_does_not) {
  BOOST_CHECK(half(0.f) == half(-0.f) && half(0.f).bits != half(-0.f).bits);
  BOOST_CHECK(!(bfloat16(NAN) == bfloat16(NAN)));
}

BOOST_AUTO_TEST_SUITE_END()
