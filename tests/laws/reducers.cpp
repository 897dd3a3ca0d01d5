#include "broken.hpp"

#include <tutti/reducers/bulyan.hpp>
#include <tutti/reducers/elementary.hpp>
#include <tutti/reducers/geometric_median.hpp>
#include <tutti/reducers/krum.hpp>
#include <tutti/reducers/laws.hpp>
#include <tutti/reducers/order_statistics.hpp>
#include <tutti/reducers/reproducible_sum.hpp>

#include <boost/test/unit_test.hpp>

#include <algorithm>

BOOST_AUTO_TEST_SUITE(laws)

namespace {

using tutti::bfloat16, tutti::half;

template <class T, class R>
void lawful(const R& r, const char* name) {
  const auto report = tutti::check_reducer<T>(r);
  BOOST_CHECK_MESSAGE(report, name << " of " << tutti::element_name<T> << ": " << report.text());
}

template <class R, class... Ts>
void lawful_for(const R& r, const char* name) {
  (lawful<Ts>(r, name), ...);
}

template <class R>
void lawful_for_reals(const R& r, const char* name) {
  lawful_for<R, float, double, bfloat16, half>(r, name);
}

template <class R>
void lawful_for_all(const R& r, const char* name) {
  lawful_for_reals(r, name);
  lawful_for<R, std::int8_t, std::uint8_t, std::int32_t, std::uint32_t, std::int64_t,
             std::uint64_t>(r, name);
}

} // namespace

BOOST_AUTO_TEST_CASE(shipped_folding_reducers_keep_the_laws) {
  lawful_for_all(tutti::sum{}, "sum");
  lawful_for_all(tutti::product{}, "product");
  lawful_for_all(tutti::min{}, "min");
  lawful_for_all(tutti::max{}, "max");
  lawful_for_reals(tutti::mean{}, "mean");
  lawful_for_reals(tutti::weighted_mean{}, "weighted_mean");
  lawful_for_reals(tutti::reproducible_sum{}, "reproducible_sum");
  lawful_for_reals(tutti::reproducible_mean{}, "reproducible_mean");
  lawful_for_reals(tutti::reproducible_weighted_mean{}, "reproducible_weighted_mean");
}

BOOST_AUTO_TEST_CASE(shipped_gathering_reducers_keep_the_laws) {
  lawful_for_reals(tutti::median{}, "median");
  lawful_for_reals(tutti::trimmed_mean{.trim = 0}, "trimmed_mean without a trim");
  lawful_for_reals(tutti::trimmed_mean{.trim = 2}, "trimmed_mean");
  lawful_for_reals(tutti::krum{.f = 1}, "krum");
  lawful_for_reals(tutti::krum{.f = 1, .keep = 3}, "Multi-Krum");
  lawful_for_reals(tutti::bulyan{.f = 1}, "bulyan");
  lawful_for<tutti::geometric_median, float, bfloat16, half>(tutti::geometric_median{}, "geometric_median");
}

// --- reducers that are wrong on purpose ---------------------------------------------------------

namespace {

struct subtraction : tutti::sum {
  template <class A>
  A combine(A a, A b) const {
    return tutti::detail::wrapping(a, b, [](auto x, auto y) { return x - y; });
  }
};

struct mean_of_pairs : tutti::sum {
  template <class A>
  A combine(A a, A b) const {
    return (a + b) / 2;
  }
};

/// std::min(-0., 0.) is its first argument, and so is std::min of a NaN and anything.
struct standard_min : tutti::min {
  template <class A>
  A combine(A a, A b) const {
    return std::min(a, b);
  }
};

/// What numeric_limits offers first is not less than an infinity.
struct least_finite_max : tutti::max {
  template <class A>
  A identity() const {
    return std::numeric_limits<A>::lowest();
  }
};

struct sum_from_plus_zero : tutti::sum {
  template <class A>
  A identity() const {
    return A{0};
  }
};

struct lossy_lift : tutti::sum {
  float lift(float x, double) const { return float(bfloat16(x)); }
};

struct forgetful_lower : tutti::sum {
  template <class T, class A>
  T lower(A a, double total) const {
    return tutti::element_cast<T>(A(a / A(total + 1)));
  }
};

struct first_one {
  using part = tutti::reducer_part;
  template <class A>
  A gather(std::span<A> column) const {
    return column[0];
  }
};

/// Agrees on how many ranks there are, and then takes the last one's contribution.
struct last_rank : first_one {
  using agreement_reducer = tutti::sum;
  struct chosen {
    using part = tutti::reducer_part;
    std::size_t rank;
    template <class A>
    A gather(std::span<A> column) const {
      return column[rank];
    }
  };
  std::size_t agreement(std::size_t, int) const { return 1; }
  template <class T>
  void observe(std::span<const T>, std::span<double> numbers) const {
    numbers[0] = 1;
  }
  chosen agreed(std::span<const double> numbers) const {
    return {.rank = std::size_t(numbers[0]) - 1};
  }
};

struct boastful_sum : tutti::sum {
  static constexpr auto repeats = tutti::determinism::rank_count_invariant;
};

} // namespace

BOOST_AUTO_TEST_CASE(wrong_reducers_are_caught_with_the_law_named) {
  using tutti::check_reducer;
  BOOST_CHECK_EQUAL(broken(check_reducer<float>(subtraction{})),
                    "associative, commutative, identity");
  BOOST_CHECK_EQUAL(broken(check_reducer<std::int64_t>(subtraction{})),
                    "associative, commutative, identity");
  BOOST_CHECK_EQUAL(broken(check_reducer<double>(mean_of_pairs{})), "associative, identity");
  BOOST_CHECK_EQUAL(broken(check_reducer<std::int8_t>(standard_min{})), "");
  BOOST_CHECK_EQUAL(broken(check_reducer<float>(standard_min{})), "commutative, identity");
  BOOST_CHECK_EQUAL(broken(check_reducer<float>(least_finite_max{})), "identity");
  BOOST_CHECK_EQUAL(broken(check_reducer<float>(sum_from_plus_zero{})), "identity");
  BOOST_CHECK_EQUAL(broken(check_reducer<float>(lossy_lift{})), "round trip");
  BOOST_CHECK_EQUAL(broken(check_reducer<half>(forgetful_lower{})), "round trip");
  BOOST_CHECK_EQUAL(broken(check_reducer<float>(first_one{})), "order");
  BOOST_CHECK_EQUAL(broken(check_reducer<float>(last_rank{})), "order");
  BOOST_CHECK_EQUAL(broken(check_reducer<float>(boastful_sum{})), "invariant");
}

BOOST_AUTO_TEST_CASE(a_report_says_what_it_saw) {
  const auto report = tutti::check_reducer<float>(sum_from_plus_zero{});

  BOOST_CHECK(!report && !report.keeps("identity") && report.keeps("commutative"));
  BOOST_CHECK_EQUAL(report.text(), "identity: combine(0, -0) is 0");
  BOOST_CHECK_EQUAL(tutti::check_reducer<float>(tutti::sum{}).text(), "all laws hold");
}

BOOST_AUTO_TEST_SUITE_END()
