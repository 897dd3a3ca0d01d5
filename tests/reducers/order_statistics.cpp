#include <tutti/reducers/order_statistics.hpp>

#include <boost/test/unit_test.hpp>

#include <cmath>
#include <limits>
#include <vector>

BOOST_AUTO_TEST_SUITE(reducers)

namespace {

template <class R>
double of(const R& r, std::vector<double> column) {
  return r.gather(std::span{column});
}

/// Seven contributions, the last two of them bad: one column per coordinate.
const std::vector<double> columns[] = {
    {.9, 1.4, .5, 1.1, .7, 6, -4}, {2.3, 1.7, 2, 2.8, 1.2, -5, 9}, {3, 3.6, 2.6, 3.1, 3.9, 8, -3}};

static_assert(tutti::gathering_reducer<tutti::median, float> &&
              !tutti::folding_reducer<tutti::median, float>);
static_assert(tutti::needs_every_contribution<tutti::trimmed_mean, tutti::half>);
static_assert(!tutti::accepts_element<tutti::median, std::int32_t>);
static_assert(tutti::trimmed_mean{.trim = 3}.least_contributions() == 7);

} // namespace

BOOST_AUTO_TEST_CASE(median_and_trimmed_mean_bound_what_bad_contributions_do) {
  const double medians[] = {.9, 2, 3.1}, means[] = {.9, 2, 9.7 / 3};
  for (std::size_t k = 0; k < 3; ++k) {
    BOOST_CHECK_EQUAL(of(tutti::median{}, columns[k]), medians[k]);
    BOOST_CHECK_CLOSE(of(tutti::trimmed_mean{.trim = 2}, columns[k]), means[k], 1e-12);
  }
}

BOOST_AUTO_TEST_CASE(median_of_an_even_number_is_the_mean_of_the_middle_two) {
  BOOST_CHECK_EQUAL(of(tutti::median{}, {4, 1}), 2.5);
  BOOST_CHECK_EQUAL(of(tutti::median{}, {9, 1, 4, 2}), 3);
  BOOST_CHECK_EQUAL(of(tutti::median{}, {7}), 7);
  const double most = std::numeric_limits<double>::max();
  BOOST_CHECK_EQUAL(of(tutti::median{}, {most, most}), most);
  BOOST_CHECK_EQUAL(of(tutti::median{}, {most, most / 2}), .75 * most); // the sum would overflow
}

BOOST_AUTO_TEST_CASE(trimmed_mean_of_nothing_trimmed_is_the_mean) {
  BOOST_CHECK_EQUAL(of(tutti::trimmed_mean{.trim = 0}, {1, 2, 6}), 3);
  BOOST_CHECK_EQUAL(of(tutti::trimmed_mean{.trim = 1}, {1, 2, 6}), 2);
}

BOOST_AUTO_TEST_CASE(a_nan_is_an_extreme_like_any_other) {
  const double infinity = INFINITY;
  BOOST_CHECK_EQUAL(of(tutti::median{}, {NAN, 2, 1}), 2);
  BOOST_CHECK_EQUAL(of(tutti::median{}, {-infinity, NAN, 5}), 5);
  BOOST_CHECK_EQUAL(of(tutti::trimmed_mean{.trim = 1}, {NAN, 2, 1, 3}), 2.5);
  BOOST_CHECK_EQUAL(of(tutti::trimmed_mean{.trim = 1}, {infinity, 2, -infinity}), 2);
  BOOST_CHECK(std::isnan(of(tutti::median{}, {NAN, NAN, 1})));
}

BOOST_AUTO_TEST_CASE(zeros_are_ordered_by_their_sign) {
  BOOST_CHECK(std::signbit(of(tutti::median{}, {0, -0., -0.})));
  BOOST_CHECK(!std::signbit(of(tutti::median{}, {0, -0., 0})));
}

BOOST_AUTO_TEST_SUITE_END()
