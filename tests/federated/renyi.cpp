// Rényi accounting: the reference's values, quadrature, and numbers at the edge.
#include <tutti/federated/accountants/renyi.hpp>

#include <boost/test/unit_test.hpp>

#include <cmath>
#include <limits>
#include <string>
#include <vector>

BOOST_AUTO_TEST_SUITE(renyi_accounting)

namespace renyi_tests {

using tutti::noisy_release;

std::vector<double> whole_orders() {
  std::vector<double> all;
  for (int a = 2; a <= 256; ++a) all.push_back(a);
  return all;
}
double whole(std::vector<noisy_release> all, double delta) {
  return tutti::renyi_accountant{whole_orders()}.epsilon(all, delta);
}
double usual(std::vector<noisy_release> all, double delta) { return tutti::renyi_accountant{}.epsilon(all, delta); }

/// ln of the mean of r^a over N(0, z^2), by Simpson's rule on the definition.
double by_quadrature(double q, double z, double a) {
  const double from = -14 * z - 1, to = a + 14 * z + 1;
  const int n = 8000;
  const auto log_of = [&](double x) {
    const double l = (2 * x - 1) / (2 * z * z);
    const double ratio = l > 0 ? l + std::log(q + (1 - q) * std::exp(-l)) : std::log1p(q * std::expm1(l));
    return a * ratio - x * x / (2 * z * z);
  };
  double most = 0, sum = 0;
  for (int k = 0; k <= n; ++k) most = std::max(most, log_of(from + (to - from) * k / n));
  for (int k = 0; k <= n; ++k)
    sum += (k == 0 || k == n ? 1 : k % 2 == 1 ? 4 : 2) * std::exp(log_of(from + (to - from) * k / n) - most);
  return most + std::log(sum * (to - from) / (3 * n) / (z * std::sqrt(2 * std::acos(-1.0))));
}

template <class Call>
std::string refusal(Call&& call) {
  try {
    call();
  } catch (const tutti::error& e) {
    return e.code() == tutti::error_code::invalid_argument ? e.what() : "another code";
  }
  return "nothing was refused";
}
bool says(const std::string& text, const char* part) { return text.find(part) != std::string::npos; }

} // namespace renyi_tests

using namespace renyi_tests;

BOOST_AUTO_TEST_CASE(gives_the_values_of_the_reference) {
  const struct { noisy_release all; double by_whole, by_usual; } table[] = {
      {{.04, 1.5, 2250}, 7.329876774, 7.329111171},
      {{.01, 1, 10000}, 6.719402118, 6.712738297},
      {{.1, 1, 100}, 7.972921510, 7.899255002},
      {{1, 10, 100}, 4.752728337, 4.728507067},
  };
  for (const auto& [all, by_whole, by_usual] : table) {
    BOOST_CHECK_SMALL(whole({all}, 1e-5) - by_whole, 1e-9);
    BOOST_CHECK_SMALL(usual({all}, 1e-5) - by_usual, 1e-9);
  }
}

BOOST_AUTO_TEST_CASE(every_order_is_that_of_quadrature) {
  const std::vector<double> orders{1.01, 1.1, 1.5, 2, 2.5, 3, 7.3, 10.9, 32, 64.5, 256};
  for (const double q : {.0001, .01, .3, .9})
    for (const double z : {.4, 1.0, 3.0}) {
      const auto got = tutti::renyi_accountant{orders}.divergences(q, z);
      for (std::size_t k = 0; k < orders.size(); ++k) {
        const double wanted = double(by_quadrature(q, z, orders[k]) / (orders[k] - 1));
        BOOST_CHECK_MESSAGE(std::abs(got[k] - wanted) < 1e-9 * std::max(1.0, wanted),
                            "q " << q << ", z " << z << ", order " << orders[k] << ": " << got[k] << ", " << wanted);
      }
    }
}

BOOST_AUTO_TEST_CASE(unlike_releases_are_added_order_by_order) {
  const noisy_release first{.01, 1, 1000}, second{.02, 2, 1000};
  BOOST_CHECK_SMALL(whole({first, second}, 1e-5) - 2.564186042, 1e-9);
  BOOST_CHECK_SMALL(whole({first, {.01, 1, 1000}}, 1e-5) - 2.867644783, 1e-9);
  BOOST_CHECK_SMALL(whole({second, second}, 1e-5) - 2.113173773, 1e-9);
  BOOST_CHECK_SMALL(whole({first}, 1e-5) + whole({second}, 1e-5) - 3.566222683, 1e-9);
}

BOOST_AUTO_TEST_CASE(numbers_at_the_edge_are_numbers) {
  BOOST_CHECK_EQUAL(usual({}, 1e-5), 0);
  BOOST_CHECK_EQUAL(usual({{.1, 1, 0}}, 1e-5), 0);
  BOOST_CHECK_EQUAL(usual({{0, 1, 1000}}, 1e-5), 0);
  BOOST_CHECK_EQUAL(usual({{1e-9, 100, 1}}, .5), 0); // never below
  for (const double z : {.2, .05, .01, 1e-3, 1e-160})
    BOOST_CHECK_MESSAGE(usual({{.01, z, 100}}, 1e-5) > 10, "z " << z << ": " << usual({{.01, z, 100}}, 1e-5));
  BOOST_CHECK(usual({{1, 1e-200, 100}}, 1e-5) == std::numeric_limits<double>::infinity());
  // Little by little: more noise is less, more of it is more, and the rate 1 is where all rates lead.
  BOOST_CHECK(usual({{.01, 2, 100}}, 1e-5) < usual({{.01, 1, 100}}, 1e-5));
  BOOST_CHECK(usual({{.01, 1, 101}}, 1e-5) > usual({{.01, 1, 100}}, 1e-5));
  BOOST_CHECK_CLOSE(usual({{1 - 1e-12, 10, 100}}, 1e-5), usual({{1, 10, 100}}, 1e-5), 1e-6);
}

BOOST_AUTO_TEST_CASE(an_order_at_the_end_of_the_grid_is_said) {
  const std::vector<noisy_release> all{{.04, 1.5, 2250}};
  const auto inside = tutti::renyi_accountant{}.bound(all, 1e-5);
  BOOST_CHECK(!inside.at_the_end);
  BOOST_CHECK(inside.order > 2 && inside.order < 10);
  BOOST_CHECK((tutti::renyi_accountant{{2, 3}}.bound(all, 1e-5).at_the_end));
}

BOOST_AUTO_TEST_CASE(numbers_that_cannot_be_are_refused) {
  const double nan = std::numeric_limits<double>::quiet_NaN(), infinity = std::numeric_limits<double>::infinity();
  for (const double bad : {nan, infinity, -infinity, -.1, 0.0, -0.0, 1.0})
    BOOST_CHECK_MESSAGE(says(refusal([&] { usual({}, bad); }), "delta is not between 0 and 1"), bad);
  for (const double bad : {nan, infinity, -.1, 1.1})
    BOOST_CHECK(says(refusal([&] { usual({{bad, 1, 1}}, 1e-5); }), "the rate of a release is no probability"));
  for (const double bad : {nan, infinity, 0.0, -0.0, -1.0})
    BOOST_CHECK(says(refusal([&] { usual({{.1, bad, 1}}, 1e-5); }), "the multiplier of a release is not a positive"));
  BOOST_CHECK(says(refusal([&] { usual({{.1, 1, -1}}, 1e-5); }), "a negative number of times"));
  for (const double bad : {1.0, .5, nan, infinity})
    BOOST_CHECK(says(refusal([&] { (void)tutti::renyi_accountant{{2, bad}}.epsilon({}, 1e-5); }),
                     "an order of renyi_accountant is not more than 1 and at most"));
  BOOST_CHECK(says(refusal([] { (void)tutti::renyi_accountant{{}}.epsilon({}, 1e-5); }), "has no orders"));
}

BOOST_AUTO_TEST_SUITE_END()
