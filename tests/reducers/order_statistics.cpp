#include <tutti/core/random.hpp>
#include <tutti/reducers/bucketing.hpp>
#include <tutti/reducers/bulyan.hpp>
#include <tutti/reducers/geometric_median.hpp>
#include <tutti/reducers/order_statistics.hpp>

#include <boost/test/unit_test.hpp>

#include <algorithm>
#include <cmath>
#include <cstdint>
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

namespace {

/// Numbers, some of them special, in a column for each of sixteen lanes.
template <class A>
std::vector<tutti::lanes<A>> some_columns(std::size_t rows, tutti::random_stream& draw) {
  const A special[] = {0, -A{0}, A(INFINITY), -A(INFINITY), A(NAN), -A(NAN), std::numeric_limits<A>::denorm_min()};
  std::vector<tutti::lanes<A>> out(rows);
  for (auto& row : out)
    for (A& x : row.at) x = draw.below(4) == 0 ? special[draw.below(7)] : A(4 * draw.uniform() - 2);
  return out;
}
template <class A>
bool same(A a, A b) {
  return (std::isnan(a) && std::isnan(b)) || (a == b && std::signbit(a) == std::signbit(b));
}
template <class A, class R>
void lanes_have_the_bits_of_columns(const char* name, const R& rule, std::size_t rows) {
  tutti::random_stream draw{rows};
  auto at_each = some_columns<A>(rows, draw);
  std::vector<A> alone;
  for (std::size_t l = 0; l < tutti::lanes<A>::width; ++l) {
    std::vector<A> column;
    for (const auto& row : at_each) column.push_back(row.at[l]);
    alone.push_back(rule.gather(std::span{column}));
  }
  const auto at_once = rule.gather(std::span{at_each});
  for (std::size_t l = 0; l < alone.size(); ++l)
    BOOST_CHECK_MESSAGE(same(alone[l], at_once.at[l]), name << " of " << rows << ": " << alone[l] << ", in lanes "
                                                             << at_once.at[l]);
}
template <class A>
void every_rule_in_lanes(std::size_t rows) {
  lanes_have_the_bits_of_columns<A>("median", tutti::median{}, rows);
  lanes_have_the_bits_of_columns<A>("trimmed mean", tutti::trimmed_mean{int(rows - 1) / 3}, rows);
  std::vector<std::size_t> chosen;
  std::vector<double> shares;
  for (std::size_t k = 0; k < rows; ++k) {
    if (k % 3 != 1) chosen.push_back(k);
    shares.push_back(k % 3 == 1 ? 0 : .25 + double(k));
  }
  lanes_have_the_bits_of_columns<A>("mean of chosen", tutti::mean_of_chosen{chosen}, rows);
  lanes_have_the_bits_of_columns<A>("combination", tutti::combination{shares}, rows);
  lanes_have_the_bits_of_columns<A>("median of buckets", tutti::bucketing{tutti::median{}, 3}, rows);
  lanes_have_the_bits_of_columns<A>("no combination", tutti::combination{std::vector<double>(rows)}, rows);
  lanes_have_the_bits_of_columns<A>("around the median", tutti::mean_around_median{chosen, (chosen.size() + 1) / 2},
                                    rows);
}

} // namespace

BOOST_AUTO_TEST_CASE(sixteen_columns_at_once_have_the_bits_of_each_alone) {
  for (std::size_t rows = 1; rows <= 20; ++rows) every_rule_in_lanes<float>(rows), every_rule_in_lanes<double>(rows);
  every_rule_in_lanes<float>(33), every_rule_in_lanes<double>(100);
}

/// std::sort is the oracle; the network's pairs depend on the length alone, so each length is tried.
BOOST_AUTO_TEST_CASE(columns_of_every_length_are_sorted) {
  tutti::random_stream draw{3};
  for (std::size_t n = 1; n <= 130; ++n) {
    std::vector<float> column(n);
    for (float& x : column) x = float(draw.below(std::uint32_t(n))) - float(n) / 2;
    auto wanted = column;
    std::sort(wanted.begin(), wanted.end());
    tutti::detail::sort_column(std::span{column});
    BOOST_CHECK_MESSAGE(column == wanted, n);
  }
}

BOOST_AUTO_TEST_SUITE_END()
