// DP-FedAvg: what is added up, what it is divided by, noise, and what it spends.
#include "privacy/runs.hpp"

#include <boost/test/unit_test.hpp>

#include <cmath>
#include <limits>
#include <stdexcept>
#include <string>
#include <vector>

BOOST_AUTO_TEST_SUITE(private_rounds)

namespace private_rounds_tests {

using trial::known;
using trial::movers;
using trial::next_to_no_noise;
using tutti::privacy_plan;

const tutti::renyi_accountant usual{};
constexpr tutti::expected_clients alike{};

} // namespace private_rounds_tests

using namespace private_rounds_tests;

BOOST_AUTO_TEST_CASE(whole_differences_are_clipped_not_weights_nor_tensors) {
  const privacy_plan one{trial::all_of_them, alike, tutti::fixed_clip{1}, known(next_to_no_noise), usual, 1e-5};
  BOOST_CHECK_SMALL(trial::private_rounds(1, 1, movers{1, {.1}}, one, {5}).values[0] - 5.1, 1e-5);
  tutti::threads::run(1, [&](auto& world) {
    movers clients{1, {1}, {}, {3, 4}};
    std::vector<double> a(1), b(1);
    const std::vector<tutti::tensor<double>> model{{"a", a}, {"b", b}};
    tutti::strategy{world, tutti::federated{}, one}.run(model, clients, {.rounds = 1});
    BOOST_CHECK_SMALL(a[0] - .6, 1e-5);
    BOOST_CHECK_SMALL(b[0] - .8, 1e-5);
  });
}

BOOST_AUTO_TEST_CASE(the_sum_is_divided_by_what_is_expected) {
  const privacy_plan half{tutti::poisson_sampling{.5}, alike, tutti::fixed_clip{2}, known(next_to_no_noise), usual, 1e-5};
  bool other_numbers = false;
  for (const int ranks : {1, 3}) {
    const auto got = trial::private_rounds(ranks, 8, movers{10, {1}}, half, {0});
    double x = 0;
    for (const auto& round : got.rounds) x += round.clients / 5.0, other_numbers = other_numbers || round.clients != 5;
    BOOST_CHECK_SMALL(got.values[0] - x, 1e-4);
  }
  BOOST_CHECK(other_numbers);

  // 1 of at most 4, 2, and 9 that count as 4, where 3 each are expected: (1 + 2 + 4) / 12 of the move.
  const privacy_plan weighed{trial::all_of_them, tutti::expected_weight{.each = 3, .most = 4},
                             tutti::fixed_clip{2}, known(next_to_no_noise), usual, 1e-5};
  const auto got = trial::private_rounds(2, 1, movers{4, {1}, {1, 2, 9, 0}}, weighed, {0});
  BOOST_CHECK_SMALL(got.values[0] - 7.0 / 12, 1e-5);
}

BOOST_AUTO_TEST_CASE(there_is_noise_once_however_many_ranks) {
  constexpr std::size_t n = 100000;
  for (const int ranks : {1, 2, 4}) {
    const privacy_plan two{trial::all_of_them, alike, tutti::fixed_clip{1}, known(tutti::gaussian_noise{1}),
                           usual, 1e-5};
    const auto got = trial::private_rounds(ranks, 1, movers{2, {0}}, two, std::vector<double>(n));
    double sum = 0, squares = 0;
    for (const double x : got.values) sum += 2 * x, squares += 4 * x * x;
    BOOST_CHECK_MESSAGE(std::abs(squares / n - 1) < .02, ranks << " ranks: variance " << squares / n);
    BOOST_CHECK_SMALL(sum / n, .02);
  }
}

BOOST_AUTO_TEST_CASE(noise_without_a_known_key_is_another_in_every_run) {
  const privacy_plan secret{trial::all_of_them, alike, tutti::fixed_clip{1}, tutti::gaussian_noise{1},
                            tutti::privacy_loss_accountant{}, 1e-5};
  const auto one = trial::private_rounds(1, 2, movers{1, {0}}, secret, std::vector<double>(4));
  const auto other = trial::private_rounds(1, 2, movers{1, {0}}, secret, std::vector<double>(4));
  for (std::size_t i = 0; i < 4; ++i) BOOST_CHECK(one.values[i] != other.values[i]);
}

BOOST_AUTO_TEST_CASE(what_comes_out_is_on_a_grid_that_hides_last_bits) {
  const privacy_plan one{trial::all_of_them, alike, tutti::fixed_clip{1}, known(tutti::gaussian_noise{1}), usual,
                         1e-5};
  const auto without = trial::private_rounds(1, 1, movers{1, {0}}, one, std::vector<double>(100));
  const auto with = trial::private_rounds(1, 1, movers{1, {1e-8}}, one, std::vector<double>(100));
  BOOST_CHECK(with.values == without.values);
  for (const double x : with.values) BOOST_CHECK_EQUAL(x, std::ldexp(std::nearbyint(std::ldexp(x, 24)), -24));
}

BOOST_AUTO_TEST_CASE(rounds_without_clients_are_noise_and_are_paid) {
  const privacy_plan rare{tutti::poisson_sampling{.01}, alike, tutti::fixed_clip{1}, known(tutti::gaussian_noise{1}),
                          usual, 1e-5};
  std::vector<double> x(3), last = x;
  tutti::threads::run(1, [&](auto& world) {
    movers clients{3, {0}};
    tutti::strategy strategy{world, tutti::federated{}, rare};
    auto rounds = strategy.rounds(x, tutti::sgd{}, clients);
    int empty = 0;
    while (rounds.made() < 100) {
      const auto report = rounds.next();
      empty += report.clients == 0;
      BOOST_CHECK_EQUAL(report.skipped, "");
      BOOST_CHECK(x != last);
      BOOST_CHECK_EQUAL(report.epsilon, rare.epsilon(rounds.made()));
      last = x;
    }
    BOOST_CHECK_GT(empty, 50);
    const tutti::noisy_release all{.01, 1, 100};
    BOOST_CHECK_EQUAL(rare.epsilon(100), usual.epsilon({&all, 1}, 1e-5));
  });
}

BOOST_AUTO_TEST_CASE(a_round_is_one_release_whatever_clients_do_in_it) {
  const privacy_plan plan{tutti::poisson_sampling{.1}, alike, tutti::fixed_clip{1}, tutti::gaussian_noise{1},
                          tutti::privacy_loss_accountant{}, 1e-6};
  tutti::threads::run(2, [&](auto& world) {
    movers clients;
    std::vector<double> x(2);
    tutti::strategy strategy{world, tutti::federated{.epochs = 5}, plan};
    const auto report = strategy.run(x, clients, {.rounds = 10});
    const tutti::noisy_release all{.1, 1, 10};
    if (world.rank() == 1)
      BOOST_CHECK_EQUAL(report.rounds.back().epsilon, tutti::privacy_loss_accountant{}.epsilon({&all, 1}, 1e-6));
  });
  // Everyone every time; and nobody twice in 4 rounds: 10 rounds are at most 3 of each.
  const tutti::noisy_release ten{1, 1, 10};
  const privacy_plan silos{tutti::fixed_cohort{{0, 1}}, alike, tutti::fixed_clip{1}, tutti::gaussian_noise{1}, usual, 1e-5};
  BOOST_CHECK_EQUAL(silos.epsilon(10), usual.epsilon({&ten, 1}, 1e-5));
  BOOST_CHECK_EQUAL(tutti::detail::expected_cohort(silos.sampler(), 50), 2);
  const privacy_plan in_turn{tutti::cyclic_sampling{4}, alike, tutti::fixed_clip{1}, tutti::gaussian_noise{1}, usual, 1e-5};
  const tutti::noisy_release three{1, 1, 3};
  BOOST_CHECK_EQUAL(in_turn.epsilon(10), usual.epsilon({&three, 1}, 1e-5));
}

BOOST_AUTO_TEST_CASE(who_sends_no_numbers_is_named_and_left_out) {
  const double nan = std::numeric_limits<double>::quiet_NaN(), infinity = std::numeric_limits<double>::infinity();
  const privacy_plan all{trial::all_of_them, alike, tutti::fixed_clip{2}, known(next_to_no_noise), usual,
                         1e-5};
  const auto got = trial::private_rounds(2, 1, movers{5, {1, nan, 1, infinity, 1e300}}, all, {0});
  BOOST_CHECK_SMALL(got.values[0] - 2.0 / 5, 1e-5); // 1e300 has no length
  BOOST_CHECK((got.rounds[0].who(tutti::absence::not_finite) == std::vector<int>{1, 3, 4}));
  BOOST_CHECK_EQUAL(got.rounds[0].skipped, "");
}

BOOST_AUTO_TEST_CASE(a_mean_is_divided_by_who_was_expected_whoever_is_left_out) {
  const privacy_plan all{trial::all_of_them, alike, tutti::fixed_clip{2}, known(next_to_no_noise), usual, 1e-5};
  tutti::threads::run(2, [&](auto& world) {
    movers clients{5, {1, 1, 1, 1, 1}};
    std::vector<double> x(1);
    tutti::strategy strategy{world, tutti::federated{.attendance = {.drop_out = .5}}, all};
    double before = 0;
    strategy.run(x, clients, {.rounds = 8, .seed = 4}, [&](const tutti::round_report& round) {
      if (!(std::abs(x[0] - before - round.counted / 5.) < 1e-5) || round.clients != 5 || !round.skipped.empty() ||
          round.counted + round.count(tutti::absence::dropped_out) != 5)
        throw std::runtime_error{"moved by " + std::to_string(x[0] - before) + " of " + std::to_string(round.counted)};
      before = x[0];
      return true;
    });
  });
}

BOOST_AUTO_TEST_CASE(the_clip_follows_a_quantile_and_the_noise_pays_for_it) {
  const tutti::adaptive_clip clip{.length = 1, .quantile = .5, .rate = .2, .deviation = 5};
  BOOST_CHECK_SMALL(clip.of_differences(1) - 1.005037815, 1e-9);
  BOOST_CHECK_SMALL(clip.next(1, 1) - .904837418, 1e-9); // all below
  BOOST_CHECK_SMALL(clip.next(1, .5) - 1, 1e-15);

  // Lengths 1 to 100, all of them in every round: the length goes to where half of them are.
  movers people{100, {}};
  for (int c = 0; c < 100; ++c) people.moves.push_back(c + 1);
  const privacy_plan plan{trial::all_of_them, alike, clip, known(tutti::gaussian_noise{1}), usual, 1e-5};
  const auto got = trial::private_rounds(2, 80, people, plan, {0});
  BOOST_CHECK_EQUAL(got.rounds[0].clip, 1);
  BOOST_CHECK_MESSAGE(std::abs(got.rounds.back().clip - 50) < 8, got.rounds.back().clip);
  const tutti::noisy_release all{1, 1, 80};
  BOOST_CHECK_EQUAL(got.rounds.back().epsilon, usual.epsilon({&all, 1}, 1e-5));

  // The noise of differences: of the length of the round.
  const privacy_plan wide{trial::all_of_them, alike, clip, known(tutti::gaussian_noise{4}), usual, 1e-5};
  const auto noise = trial::private_rounds(1, 1, movers{1, {0}}, wide, std::vector<double>(20000));
  double squares = 0;
  for (const double x : noise.values) squares += x * x;
  BOOST_CHECK_CLOSE(squares / 20000, std::pow(clip.of_differences(4), 2), 3);
}

BOOST_AUTO_TEST_SUITE_END()
