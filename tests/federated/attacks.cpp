// Attacks: the equations of their papers, and who attacks in a population.
#include "sync/model.hpp"

#include <tutti/federated/attacks.hpp>

#include <boost/test/unit_test.hpp>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <limits>
#include <string>
#include <vector>

BOOST_AUTO_TEST_SUITE(federated_attacks)

namespace {

using updates = std::vector<std::vector<double>>;

template <class Attack>
std::vector<double> sent(const Attack& attack, const updates& known, std::vector<double> own) {
  attack(known, own, tutti::random_stream{5});
  return own;
}
void check_near(const std::vector<double>& got, const std::vector<double>& wanted) {
  BOOST_REQUIRE_EQUAL(got.size(), wanted.size());
  for (std::size_t i = 0; i < got.size(); ++i) BOOST_CHECK_SMALL(got[i] - wanted[i], 1e-12);
}

/// Client k learns (k + 1, round) every time, of one example.
struct counting {
  int people = 5;
  int trained = 0;
  int clients() const { return people; }
  double examples(int) const { return 1; }
  void train(int client, tutti::local_training<double>& local, tutti::random_stream) {
    ++trained;
    local.parameters()[0] += client + 1;
    local.parameters()[1] += double(local.round());
  }
  tutti::score evaluate(std::span<const double> x, int part, int) const {
    return part == 0 ? tutti::score{x[0], 1} : tutti::score{};
  }
};
template <class Attack>
std::vector<double> after(int ranks, int rounds, int attackers, const Attack& attack) {
  std::vector<double> out;
  tutti::threads::run(ranks, [&](auto& world) {
    counting honest;
    tutti::attacked clients{honest, attackers, attack};
    std::vector<double> x(2);
    tutti::strategy strategy{world, tutti::reproducible_mean{}, tutti::federated{.fraction = 1}};
    const auto report = strategy.run(x, clients, {.rounds = rounds});
    if (world.rank() != 0) return;
    out = x;
    BOOST_CHECK_EQUAL(report.rounds.back().metric, x[0]); // those who attack are no part of the test
  });
  return out;
}

} // namespace

BOOST_AUTO_TEST_CASE(attacks_are_the_equations_of_their_papers) {
  const updates known{{1, 10}, {2, 10}, {6, 10}}; // means 3 and 10, variances (4 + 1 + 9) / 3 and 0
  check_near(sent(tutti::attacks::sign_flip{}, {}, {3, -.5}), {-3, .5});
  check_near(sent(tutti::attacks::sign_flip{4}, {}, {3, -.5}), {-12, 2});
  check_near(sent(tutti::attacks::a_little_is_enough{1.5}, known, {9, 9}), {3 - 1.5 * std::sqrt(14. / 3), 10});
  check_near(sent(tutti::attacks::a_little_is_enough{-1}, known, {9, 9}), {3 + std::sqrt(14. / 3), 10});
  check_near(sent(tutti::attacks::inner_product_manipulation{.1}, known, {9, 9}), {-.3, -1});
  check_near(sent(tutti::attacks::inner_product_manipulation{100}, known, {9, 9}), {-300, -1000});
  BOOST_CHECK_EQUAL(tutti::attacks::flipped_label(0, 10), 9);
  BOOST_CHECK_EQUAL(tutti::attacks::flipped_label(7, 10), 2);
}

BOOST_AUTO_TEST_CASE(gaussian_noise_has_its_deviation_and_no_mean) {
  constexpr std::size_t n = 100000;
  const auto noise = sent(tutti::attacks::gaussian{3}, {}, std::vector<double>(n, 1e6));
  double mean = 0, square = 0, fourth = 0;
  for (const double x : noise) mean += x / n, square += x * x / n, fourth += x * x * x * x / n;
  BOOST_CHECK_SMALL(mean, .05);                 // 5 of its own deviations
  BOOST_CHECK_SMALL(square / 9 - 1, .025);      // likewise
  BOOST_CHECK_SMALL(fourth / 81 / 3 - 1, .08);
}

/// Phi(z) < (n - m - s) / (n - m) with s = floor(n / 2 + 1) - m; by tables of the normal distribution.
BOOST_AUTO_TEST_CASE(deviations_that_hide_are_those_of_the_paper) {
  const auto z = [](int n, int m) { return tutti::attacks::a_little_is_enough::most_deviations(n, m); };
  BOOST_CHECK_SMALL(z(50, 24) - 1.4260769, 1e-6);  // 24 / 26 = .9230769
  BOOST_CHECK_SMALL(z(100, 20) - .2858409, 1e-6);  // 49 / 80 = .6125
  BOOST_CHECK_EQUAL(z(4, 1), 0);                   // 1 / 3: nobody can hide behind fewer than half
  BOOST_CHECK(z(51, 12) > 0 && z(51, 12) < z(51, 20));
}

// Five clients learn 1 to 5: 15 in all. Two flip: 5 + 4 + 3 - 2 - 1. Two send minus ten times (1 + 2) / 2 each.
BOOST_AUTO_TEST_CASE(attackers_send_something_else_and_others_do_not_on_any_number_of_ranks) {
  for (const int ranks : {1, 2, 3}) {
    check_near(after(ranks, 2, 0, tutti::attacks::sign_flip{100}), {6, 3});
    check_near(after(ranks, 2, 2, tutti::attacks::sign_flip{}), {2 * 9 / 5., 3 / 5. * 3 - 2 / 5. * 3});
    check_near(after(ranks, 2, 2, tutti::attacks::inner_product_manipulation{10}), {2 * -18 / 5., -17 / 5. * 3});
    check_near(after(ranks, 1, 5, tutti::attacks::a_little_is_enough{1}), {3 - std::sqrt(2.), 1});
    BOOST_CHECK(after(ranks, 3, 2, tutti::attacks::gaussian{}) == after(1, 3, 2, tutti::attacks::gaussian{}));
  }
}

BOOST_AUTO_TEST_CASE(colluders_are_trained_once_a_round_more_and_only_where_it_matters) {
  tutti::self world;
  const auto trained = [&](const auto& attack) {
    counting honest;
    tutti::attacked clients{honest, 2, attack};
    std::vector<double> x(2);
    tutti::strategy{world, tutti::mean{}, tutti::federated{.fraction = 1}}.run(x, clients, {.rounds = 3});
    return honest.trained;
  };
  BOOST_CHECK_EQUAL(trained(tutti::attacks::sign_flip{}), 15);
  BOOST_CHECK_EQUAL(trained(tutti::attacks::inner_product_manipulation{}), 21);
}

BOOST_AUTO_TEST_CASE(more_attackers_than_clients_are_refused) {
  counting honest;
  for (const int attackers : {-1, 6})
    BOOST_CHECK_EXCEPTION((tutti::attacked{honest, attackers, tutti::attacks::sign_flip{}}), tutti::error,
                          [&](const auto& e) {
                            const std::string why = std::to_string(attackers) + " of 5 clients are to attack";
                            return e.code() == tutti::error_code::invalid_argument &&
                                   std::string{e.what()}.find(why) != std::string::npos;
                          });
}

BOOST_AUTO_TEST_SUITE_END()
