#include <tutti/core/element.hpp>

#include <boost/test/unit_test.hpp>

#include <cmath>
#include <complex>
#include <limits>

BOOST_AUTO_TEST_SUITE(core)

namespace {

using tutti::accumulator_t, tutti::bfloat16, tutti::half;

static_assert(std::same_as<accumulator_t<bfloat16>, float> &&
              std::same_as<accumulator_t<half>, float>);
static_assert(std::same_as<accumulator_t<float>, float> &&
              std::same_as<accumulator_t<double>, double>);
static_assert(std::same_as<accumulator_t<std::int8_t>, std::int8_t>);
static_assert(tutti::element_name<bfloat16> == "bfloat16" && tutti::element_name<half> == "half");
static_assert(tutti::element_name<std::uint64_t> == "uint64" && tutti::element_name<long long> == "int64");
static_assert(tutti::element_name<short> == "int16" && tutti::element_name<std::int8_t> == "int8");
static_assert(tutti::is_finite(std::complex<float>(1, 2)));

static_assert(tutti::element_cast<float>(bfloat16(1.5f)) == 1.5f);
static_assert(tutti::element_cast<half>(2.5f).bits == 0x4100);
static_assert(tutti::element_cast<bfloat16>(1.0).bits == 0x3f80);
static_assert(tutti::element_cast<double>(half(-3.f)) == -3);
static_assert(tutti::element_cast<std::int8_t>(std::int8_t{-7}) == -7);
static_assert(tutti::element_cast<float>(.1) == .1f);

static_assert(tutti::is_finite(std::numeric_limits<double>::max()) && tutti::is_finite(0.f));
static_assert(tutti::is_finite(std::numeric_limits<std::int64_t>::min()));
static_assert(tutti::is_finite(half(65504.f)) && !tutti::is_finite(half(65536.f)));

} // namespace

BOOST_AUTO_TEST_CASE(infinities_and_nan_are_not_finite) {
  for (const float x : {INFINITY, -INFINITY, NAN, -NAN}) {
    BOOST_CHECK(!tutti::is_finite(x) && !tutti::is_finite(double(x)));
    BOOST_CHECK(!tutti::is_finite(bfloat16(x)) && !tutti::is_finite(half(x)));
    BOOST_CHECK(!tutti::is_finite(std::complex<double>(1, x)) &&
                !tutti::is_finite(std::complex<float>(x, 1)));
  }
}

BOOST_AUTO_TEST_SUITE_END()
