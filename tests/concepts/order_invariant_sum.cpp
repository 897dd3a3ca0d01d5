// An order-invariant sum: the ranks first agree on the largest exponent of every block, then add
// integers, which are associative, so the bits depend neither on the order nor on the number of
// ranks (the one-bin case of Demmel and Nguyen, "Parallel reproducible summation", 2015).
#include <tutti/core/random.hpp>
#include <tutti/reducers/elementary.hpp>
#include <tutti/reducers/laws.hpp>

#include <boost/test/unit_test.hpp>

#include <algorithm>
#include <cmath>
#include <limits>
#include <vector>

BOOST_AUTO_TEST_SUITE(concepts)

namespace {

constexpr std::size_t block = 16;

/// Adds integers: multiples of 2^(e - 40), e the exponent agreed for the element's block. 63 bits
/// leave room for 2^22 ranks, whatever their number.
struct sum_of_multiples {
  using part = tutti::reducer_part;
  static constexpr auto repeats = tutti::determinism::rank_count_invariant;
  template <class T>
  using accumulator = std::int64_t;

  std::vector<double> exponents; ///< one per block; infinite where a contribution is not finite

  int unit(std::size_t index) const { return int(exponents[index / block]) - 40; }
  bool finite(std::size_t index) const { return exponents[index / block] < 1e6; }

  template <class A>
  constexpr A identity() const noexcept {
    return 0;
  }
  template <class A>
  constexpr A combine(A a, A b) const noexcept {
    return tutti::sum{}.combine(a, b);
  }
  template <class T>
  std::int64_t lift(T x, double /*weight*/, std::size_t index) const {
    return finite(index) ? std::llrint(std::ldexp(double(x), -unit(index))) : 0;
  }
  template <class T>
  T lower(std::int64_t a, double /*total*/, std::size_t index) const {
    return finite(index) ? T(std::ldexp(double(a), unit(index)))
                         : std::numeric_limits<T>::quiet_NaN();
  }
};

struct order_invariant_sum {
  using part = tutti::reducer_part;
  using agreement_reducer = tutti::max;
  static constexpr auto repeats = tutti::determinism::rank_count_invariant;

  constexpr std::size_t agreement(std::size_t n, int /*size*/) const {
    return (n + block - 1) / block;
  }

  template <class T>
  void observe(std::span<const T> mine, std::span<double> exponents) const {
    for (double& e : exponents) e = -1000;
    for (std::size_t i = 0; i < mine.size(); ++i) {
      const double x = double(mine[i]);
      const bool tiny = x == 0 || std::fabs(x) < 1e-300;
      const double e = std::isfinite(x) ? (tiny ? -1000 : std::ilogb(x)) : double(INFINITY);
      exponents[i / block] = std::max(exponents[i / block], e);
    }
  }
  sum_of_multiples agreed(std::span<const double> exponents) const {
    return {{exponents.begin(), exponents.end()}};
  }
};

static_assert(tutti::agreeing_reducer<order_invariant_sum>);
static_assert(tutti::observes_own<order_invariant_sum, float>);
static_assert(!tutti::observes_gathered<order_invariant_sum, float>);
static_assert(std::same_as<tutti::working_reducer_t<order_invariant_sum>, sum_of_multiples>);
static_assert(std::same_as<tutti::reducer_accumulator_t<sum_of_multiples, float>, std::int64_t>);
static_assert(tutti::folding_reducer<sum_of_multiples, float>, "any topology carries it");
static_assert(!tutti::needs_every_contribution<order_invariant_sum, float>);
static_assert(!tutti::detail::plain_lift<sum_of_multiples, float>);
static_assert(!tutti::detail::plain_lower<sum_of_multiples, float>);
static_assert(tutti::repeats_of<sum_of_multiples> == tutti::determinism::rank_count_invariant);
static_assert(tutti::repeats_of<order_invariant_sum> == tutti::determinism::rank_count_invariant);
static_assert(tutti::repeats_of<tutti::sum> == tutti::determinism::run_to_run);

using rows = std::vector<std::vector<float>>;

/// All ranks' agreement, then a fold from `from` on, in rank order modulo the rank count.
std::vector<float> reduced(const rows& contributions, std::size_t from) {
  const order_invariant_sum r;
  const std::size_t n = contributions[0].size(), size = contributions.size();
  std::vector<double> numbers(r.agreement(n, int(size)), tutti::max{}.identity<double>());
  auto seen = numbers;
  for (const auto& row : contributions) {
    r.observe(std::span<const float>{row}, std::span{seen});
    for (std::size_t k = 0; k < seen.size(); ++k)
      numbers[k] = tutti::max{}.combine(numbers[k], seen[k]);
  }
  const auto working = r.agreed(numbers);
  std::vector<float> out(n);
  for (std::size_t i = 0; i < n; ++i) {
    auto total = working.identity<std::int64_t>();
    for (std::size_t k = 0; k < size; ++k)
      total = working.combine(
          total, tutti::detail::lift(working, contributions[(from + k) % size][i], 1.0, i));
    out[i] = tutti::detail::lower<float>(working, total, double(size), i);
  }
  return out;
}

rows random_rows(std::size_t size, std::size_t n) {
  tutti::random_stream draw{7};
  rows out(size, std::vector<float>(n));
  for (auto& row : out)
    for (float& x : row) x = std::ldexp(draw.uniform() - .5f, int(draw.below(20)) - 10);
  return out;
}

} // namespace

BOOST_AUTO_TEST_CASE(order_invariant_sum_has_the_same_bits_in_any_order_and_for_any_rank_count) {
  auto contributions = random_rows(9, 100);
  const auto expected = reduced(contributions, 0);

  for (std::size_t from = 1; from < 9; ++from)
    BOOST_CHECK_MESSAGE(reduced(contributions, from) == expected, "folded from rank " << from);
  std::reverse(contributions.begin(), contributions.end());
  BOOST_CHECK(reduced(contributions, 4) == expected);
  contributions.resize(40, std::vector<float>(100)); // more ranks, which add nothing
  BOOST_CHECK(reduced(contributions, 11) == expected);

  const auto report = tutti::check_reducer<float>(order_invariant_sum{});
  BOOST_CHECK_MESSAGE(report, report.text());
}

BOOST_AUTO_TEST_CASE(order_invariant_sum_is_the_sum_where_a_float_sum_is_not) {
  const float big = 0x1p30f;
  BOOST_CHECK_EQUAL((big + 1.f) + -big, 0.f);
  BOOST_CHECK_EQUAL(reduced({{big}, {1}, {-big}}, 0)[0], 1.f);
}

BOOST_AUTO_TEST_CASE(order_invariant_sum_does_not_hide_what_is_not_finite) {
  rows contributions(3, std::vector<float>(2 * block, 1.f));
  contributions[1][2] = INFINITY;

  const auto total = reduced(contributions, 0);

  BOOST_CHECK(std::isnan(total[2]));
  BOOST_CHECK_EQUAL(total[block], 3.f);
}

BOOST_AUTO_TEST_SUITE_END()
