// What servers make of the mean of their clients: three rounds of each rule, computed independently.
#include "federated/parabolas.hpp"
#include "sync/model.hpp"

#include <tutti/optimizers/fed_opt.hpp>
#include <tutti/optimizers/laws.hpp>

#include <boost/test/unit_test.hpp>

#include <cmath>
#include <vector>

BOOST_AUTO_TEST_SUITE(federated_server_rules)

namespace {

template <class Outer>
std::vector<double> three_rounds(int ranks, Outer outer) {
  std::vector<double> got;
  tutti::threads::run(ranks, [&](auto& world) {
    trial::two_parabolas clients;
    std::vector<double> x(1);
    tutti::strategy strategy{world, tutti::federated_by<Outer>{.fraction = 1, .epochs = 2, .outer = outer}};
    auto rounds = strategy.rounds(x, tutti::sgd{.learning_rate = .1}, clients);
    for (int k = 0; k < 3; ++k) {
      (void)rounds.next();
      if (world.rank() == ranks - 1) got.push_back(x[0]);
    }
  });
  return got;
}
template <class Outer>
void check(const char* name, Outer outer, const std::vector<double>& wanted) {
  for (const int ranks : {1, 2}) {
    const auto got = three_rounds(ranks, outer);
    for (std::size_t k = 0; k < 3; ++k)
      BOOST_CHECK_MESSAGE(std::abs(got.at(k) - wanted[k]) < 1e-12, name << ", round " << k + 1 << ": " << got[k]);
  }
}

} // namespace

// FedAdam with D in the place of m would give .976470588235 in the first round.
BOOST_AUTO_TEST_CASE(three_rounds_of_every_rule_have_the_published_values) {
  check("FedAvg", tutti::sgd{.learning_rate = 1}, {.415, .68475, .8600875});
  check("FedAvgM", tutti::sgd{.learning_rate = 1, .momentum = .9}, {.415, 1.05825, 1.6817875});
  check("FedAdagrad", tutti::fed_adagrad{}, {.099759615385, .167180157085, .220613492989});
  check("FedAdam", tutti::fed_adam{}, {.097647058824, .229586397242, .382820425520});
  check("FedYogi", tutti::fed_yogi{}, {.097647058824, .229234038951, .381612196448});
}

namespace {

/// The parabolas of problem Q in steps of local training, as many as each client is said to make.
struct unlike_steps {
  std::vector<int> steps;
  int clients() const { return 2; }
  double examples(int) const { return 5; }
  void train(int client, tutti::local_training<double>& local, tutti::random_stream) const {
    const double a = client == 0 ? 1 : 3, b = client == 0 ? -1 : 2;
    for (int k = 0; k < steps[std::size_t(client)]; ++k) {
      const double gradient[] = {a * (local.parameters()[0] - b)};
      local.step(gradient);
    }
  }
};

template <class Reducer>
std::vector<double> rounds_of(int ranks, std::vector<int> steps, tutti::federated policy, Reducer reducer,
                              double momentum = 0) {
  std::vector<double> got;
  policy.fraction = 1;
  tutti::threads::run(ranks, [&](auto& world) {
    unlike_steps clients{steps};
    std::vector<double> x(1);
    tutti::strategy strategy{world, reducer, policy};
    auto rounds = strategy.rounds(x, tutti::sgd{.learning_rate = .1, .momentum = momentum}, clients);
    for (int k = 0; k < 3; ++k) {
      (void)rounds.next();
      if (world.rank() == ranks - 1) got.push_back(x[0]);
    }
  });
  return got;
}
void check_rounds(const char* name, std::vector<int> steps, const tutti::federated& policy,
                  const std::vector<double>& wanted) {
  const auto check_one = [&](const std::vector<double>& got) {
    for (std::size_t k = 0; k < 3; ++k)
      BOOST_CHECK_MESSAGE(std::abs(got.at(k) - wanted[k]) < 1e-12, name << ", round " << k + 1 << ": " << got[k]);
  };
  for (const int ranks : {1, 2, 3}) {
    check_one(rounds_of(ranks, steps, policy, tutti::weighted_mean{}));
    check_one(rounds_of(ranks, steps, policy, tutti::reproducible_mean{}));
    auto clipped = policy;
    clipped.clip = 100;
    check_one(rounds_of(ranks, steps, clipped, tutti::reproducible_weighted_mean{}));
  }
}

} // namespace

// With the moving model itself for what was sent out, FedProx gives .415 in the first round.
BOOST_AUTO_TEST_CASE(clients_that_are_pulled_back_or_counted_per_step_have_the_published_values) {
  check_rounds("FedProx", {2, 2}, {.proximal = .5}, {.4025, .66815, .843479});
  check_rounds("FedProx of 0", {2, 2}, {.proximal = 0}, {.415, .68475, .8600875});
  check_rounds("FedNova", {2, 5}, {.normalized = true}, {.416101, .641866792025, .764361553749});
  check_rounds("FedNova of equals", {2, 2}, {.normalized = true}, {.415, .68475, .8600875});
}

BOOST_AUTO_TEST_CASE(steps_with_momentum_count_as_fednova_says) {
  const double wanted[] = {1, 2.9, 13.1441, 41.381059609};
  const int steps[] = {1, 2, 5, 10};
  for (int k = 0; k < 4; ++k) {
    std::vector<double> x(1);
    const std::vector<tutti::tensor<double>> model{{"x", x}};
    tutti::local_training<double> local{model, tutti::sgd{.learning_rate = .1, .momentum = .9}, 1, {{}}, {false}};
    local.begin(x, 1);
    BOOST_CHECK_EQUAL(local.weighed_steps(), 1);
    const std::vector<double> gradient(1);
    for (int s = 0; s < steps[k]; ++s) local.step(gradient);
    BOOST_CHECK_SMALL(local.weighed_steps() - wanted[k], 1e-9);
  }
}

BOOST_AUTO_TEST_CASE(a_client_without_a_step_does_not_spoil_a_round_that_counts_steps) {
  const auto got = rounds_of(2, {0, 1}, {.normalized = true}, tutti::weighted_mean{});
  BOOST_CHECK_SMALL(got[0] - .6, 1e-12); // the other's alone
  const auto refused = trial::errors_on_ranks(2, [](auto& world) {
    unlike_steps clients{{1, 1}};
    std::vector<double> x(1);
    tutti::strategy{world, tutti::federated{.proximal = -1}}.run(x, clients);
  });
  BOOST_CHECK_MESSAGE(trial::all_contain(refused, "proximal of the sync policy is negative or not finite"),
                      trial::joined(refused));
}

BOOST_AUTO_TEST_CASE(numbers_that_are_none_are_refused_by_name) {
  const auto refused = [](const auto& policy, const char* why) {
    const auto errors = trial::errors_on_ranks(2, [&](auto& world) {
      unlike_steps clients{{1, 1}};
      std::vector<double> x(1);
      tutti::strategy{world, policy}.run(x, clients);
    });
    BOOST_CHECK_MESSAGE(trial::all_contain(errors, why), trial::joined(errors));
  };
  for (const double bad : {-1., double(NAN), double(INFINITY)}) {
    refused(tutti::federated{.fraction = bad}, "the fraction of the sync policy is negative or not finite");
    refused(tutti::federated{.proximal = bad}, "proximal of the sync policy is negative or not finite");
    refused(tutti::federated_by<tutti::fed_adam>{.outer = {.tau = bad}},
            "tau of the outer optimizer is not a positive");
  }
  refused(tutti::federated_by<tutti::fed_yogi>{.outer = {.tau = -0.}}, "tau of the outer optimizer is not a positive");
  refused(tutti::federated{.outer = {.momentum = NAN}}, "the outer optimizer of the sync policy: momentum of");
  refused(tutti::federated_by<tutti::fed_adam>{.outer = {.beta2 = NAN}}, "outer optimizer of the sync policy: beta2 of");
  const auto descent = trial::errors_on_ranks(2, [](auto& world) {
    unlike_steps clients{{1, 1}};
    std::vector<double> x(1);
    tutti::strategy strategy{world, tutti::federated{}};
    (void)strategy.rounds(x, tutti::sgd{.learning_rate = INFINITY}, clients);
  });
  BOOST_CHECK_MESSAGE(trial::all_contain(descent, "the clients' optimizer: learning_rate of tutti::sgd cannot be"),
                      trial::joined(descent));
}

BOOST_AUTO_TEST_CASE(they_keep_the_laws_of_optimizers) {
  const auto lawful = [](const tutti::law_report& report) { BOOST_CHECK_MESSAGE(report, report.text()); };
  lawful(tutti::check_optimizer<float>(tutti::fed_adagrad{}));
  lawful(tutti::check_optimizer<double>(tutti::fed_adam{}));
  lawful(tutti::check_optimizer<float>(tutti::fed_yogi{}));
}

// D = g throughout: after many rounds v is D^2, so that a step is the rate.
BOOST_AUTO_TEST_CASE(yogi_comes_to_rest_at_the_square) {
  double p = 0;
  double state[2] = {0, 0};
  for (int step = 1; step <= 2000; ++step) tutti::fed_yogi{}.at<double>(step)(tutti::rounding{}, p, -2., state);
  BOOST_CHECK_SMALL(state[1] - 4, 4 * .02);
  state[1] = 9; // from above as well
  for (int step = 1; step <= 2000; ++step) tutti::fed_yogi{}.at<double>(step)(tutti::rounding{}, p, -2., state);
  BOOST_CHECK_SMALL(state[1] - 4, 4 * .02);
}

BOOST_AUTO_TEST_SUITE_END()
