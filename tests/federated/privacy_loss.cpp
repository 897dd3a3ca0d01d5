// Accounting by privacy-loss distributions, and the noise for a target.
#include "training/arguments.hpp"

#include <tutti/federated/accountants/noise_for.hpp>
#include <tutti/federated/accountants/privacy_loss.hpp>

#include <boost/test/unit_test.hpp>

#include <cmath>
#include <complex>
#include <fstream>
#include <limits>
#include <string>
#include <vector>

BOOST_AUTO_TEST_SUITE(privacy_loss_accounting)

namespace privacy_loss_tests {

using tutti::noisy_release;

constexpr double infinity = std::numeric_limits<double>::infinity();

double by_losses(std::vector<noisy_release> all, double delta) {
  return tutti::privacy_loss_accountant{}.epsilon(all, delta);
}
double by_renyi(std::vector<noisy_release> all, double delta) { return tutti::renyi_accountant{}.epsilon(all, delta); }

/// delta(epsilon) of one normal of that multiplier: Balle, Wang 2018, equation 6.
double delta_of_normal(double epsilon, double multiplier) {
  const auto below = [](double x) { return .5 * std::erfc(-x / std::sqrt(2.0)); };
  const double half = 1 / (2 * multiplier);
  return below(half - epsilon * multiplier) - std::exp(epsilon) * below(-half - epsilon * multiplier);
}

/// delta(epsilon) of one sampled sum, by quadrature on the definition, in the worse direction.
double delta_of_one(double epsilon, double q, double z) {
  double one = 0, other = 0;
  const double step = z / 4000;
  for (double x = -12 * z; x <= 1 + 12 * z; x += step) {
    const double without = std::exp(-x * x / (2 * z * z)), with =
        (1 - q) * without + q * std::exp(-(x - 1) * (x - 1) / (2 * z * z));
    one += std::max(0.0, with - std::exp(epsilon) * without);
    other += std::max(0.0, without - std::exp(epsilon) * with);
  }
  return std::max(one, other) * step / (z * std::sqrt(2 * std::acos(-1.0)));
}

std::string refusal_of(auto&& call) {
  try {
    call();
  } catch (const tutti::error& e) {
    return e.code() == tutti::error_code::invalid_argument ? e.what() : "another code";
  }
  return "nothing was refused";
}

} // namespace privacy_loss_tests

using namespace privacy_loss_tests;

BOOST_AUTO_TEST_CASE(transforms_go_there_and_back) {
  std::vector<std::complex<double>> x(64);
  for (std::size_t k = 0; k < 64; ++k) x[k] = {std::sin(double(k * k)), std::cos(3.0 * double(k))};
  auto got = x;
  tutti::detail::fourier(got, false);
  for (std::size_t k = 0; k < 64; ++k) {
    std::complex<double> sum;
    for (std::size_t i = 0; i < 64; ++i) sum += x[i] * std::polar(1.0, -2 * std::acos(-1.0) * double(k * i) / 64);
    BOOST_CHECK_SMALL(std::abs(sum - got[k]), 1e-12);
  }
  tutti::detail::fourier(got, true);
  for (std::size_t k = 0; k < 64; ++k) BOOST_CHECK_SMALL(std::abs(got[k] / 64.0 - x[k]), 1e-14);
}

BOOST_AUTO_TEST_CASE(a_long_run_is_within_a_percent_and_below_renyi) {
  const std::vector<noisy_release> run{{.04, 1.5, 2250}};
  const double epsilon = by_losses(run, 1e-5);
  BOOST_CHECK_MESSAGE(std::abs(epsilon / 6.777 - 1) < .01, epsilon);
  BOOST_CHECK(epsilon < by_renyi(run, 1e-5));
}

BOOST_AUTO_TEST_CASE(normal_noise_alone_is_exact_and_never_below) {
  for (const double z : {.3, 1.0, 4.0})
    for (const int times : {1, 9, 100}) { // as one of z / root of times
      const double epsilon = by_losses({{1, z, times}}, 1e-5), one = z / std::sqrt(times);
      BOOST_CHECK_MESSAGE(delta_of_normal(epsilon, one) <= 1e-5, z << ", " << times << ": " << epsilon);
      BOOST_CHECK_MESSAGE(delta_of_normal(.999 * epsilon, one) > 1e-5, z << ", " << times << ": " << epsilon);
    }
}

BOOST_AUTO_TEST_CASE(one_sampled_sum_is_that_of_quadrature) {
  for (const double q : {.01, .3})
    for (const double z : {.5, 2.0}) {
      const double epsilon = by_losses({{q, z, 1}}, 1e-4);
      BOOST_CHECK_MESSAGE(delta_of_one(epsilon, q, z) <= 1e-4 * (1 + 1e-6), q << ", " << z << ": " << epsilon);
      BOOST_CHECK_MESSAGE(delta_of_one(.995 * epsilon, q, z) > 1e-4, q << ", " << z << ": " << epsilon);
    }
}

BOOST_AUTO_TEST_CASE(unlike_releases_are_composed) {
  const noisy_release a{.01, 1, 500}, b{.02, 2, 500};
  const double both = by_losses({a, b}, 1e-5);
  BOOST_CHECK_CLOSE(both, by_losses({b, a}, 1e-5), 1e-6);
  BOOST_CHECK(both < by_renyi({a, b}, 1e-5) && both > by_losses({a}, 1e-5) && both > by_losses({b}, 1e-5));
  BOOST_CHECK_CLOSE(by_losses({a, a}, 1e-5), by_losses({{.01, 1, 1000}}, 1e-5), .1);
}

BOOST_AUTO_TEST_CASE(what_rounding_drowns_is_infinite_and_what_leaks_nothing_is_zero) {
  BOOST_CHECK(by_losses({{.00033, 4, 10000}}, 1.1e-18) == infinity);
  BOOST_CHECK_LT(by_losses({{.00033, 4, 10000}}, 1e-6), .669);
  BOOST_CHECK_EQUAL(by_losses({}, 1e-5), 0);
  BOOST_CHECK_EQUAL(by_losses({{.1, 1, 0}, {0, 1, 5}}, 1e-5), 0);
  BOOST_CHECK_EQUAL(by_losses({{1e-9, 100, 1}}, .1), 0); // never below
  BOOST_CHECK(by_losses({{.1, 1e-200, 1}}, 1e-5) == infinity);
  const double hardly_any_noise = by_losses({{.01, .01, 5}}, 1e-5);
  BOOST_CHECK(hardly_any_noise > 1000 && hardly_any_noise < by_renyi({{.01, .01, 5}}, 1e-5));
}

BOOST_AUTO_TEST_CASE(values_for_a_peer) { // -- --peer FILE: rate, multiplier, times, delta, epsilon
  std::ofstream to;
  if (const std::string file = argument("--peer"); !file.empty()) to.open(file);
  if (!to.is_open()) return;
  to.precision(17);
  for (const double q : {.001, .04, .3, 1.0})
    for (const double z : {.7, 1.5, 5.0})
      for (const int times : {1, 50, 2250})
        to << q << ' ' << z << ' ' << times << " 1e-5 " << by_losses({{q, z, times}}, 1e-5) << '\n';
  BOOST_CHECK(to.flush().good());
}

BOOST_AUTO_TEST_CASE(numbers_that_cannot_be_are_refused_here_too) {
  BOOST_CHECK(refusal_of([] { by_losses({}, 0); }).find("delta is not between") != std::string::npos);
  BOOST_CHECK(refusal_of([] { by_losses({{NAN, 1, 1}}, .1); }).find("no probability") != std::string::npos);
  BOOST_CHECK(refusal_of([] { (void)tutti::privacy_loss_accountant{0}.epsilon({}, .1); })
                  .find("values_per_deviation of privacy_loss_accountant is less than 1") != std::string::npos);
}

BOOST_AUTO_TEST_CASE(the_noise_for_a_target_is_enough_and_hardly_more) {
  std::vector<double> orders;
  for (int a = 2; a <= 256; ++a) orders.push_back(a);
  const tutti::renyi_accountant whole{orders};
  const tutti::privacy_target target{.epsilon = 3, .delta = 1e-5, .rate = .01, .times = 1000};
  const auto epsilon = [&](double z) {
    const noisy_release run{.01, z, 1000};
    return whole.epsilon({&run, 1}, 1e-5);
  };
  BOOST_CHECK_SMALL(epsilon(.86) - 3.118432, 1e-6);
  BOOST_CHECK_SMALL(epsilon(.87) - 2.977785, 1e-6);
  const double z = tutti::noise_multiplier_for(target, whole);
  BOOST_CHECK_SMALL(z - .868223073, 2e-9);
  BOOST_CHECK(epsilon(z) <= 3 && epsilon(z * (1 - 1e-8)) > 3);
  BOOST_CHECK_LT(tutti::noise_multiplier_for({.epsilon = 5, .rate = .05, .times = 10}, tutti::privacy_loss_accountant{}),
                 tutti::noise_multiplier_for({.epsilon = 5, .rate = .05, .times = 10}));
}

BOOST_AUTO_TEST_CASE(targets_that_no_noise_reaches_are_refused) {
  for (const double bad : {0.0, -0.0, -1.0, double(NAN), infinity})
    BOOST_CHECK(refusal_of([&] { (void)tutti::noise_multiplier_for({.epsilon = bad}); })
                    .find("the epsilon that is asked for is not a positive number") != std::string::npos);
  BOOST_CHECK(refusal_of([] { (void)tutti::noise_multiplier_for({.epsilon = 1e-9, .times = 1000000}); })
                  .find("no multiplier of up to 10^6 gives an epsilon") != std::string::npos);
}

BOOST_AUTO_TEST_SUITE_END()
