// What other federated frameworks have shipped wrong, in numbers worked out by hand. Most of it is where its part is
// tested: server rules, FedProx and FedNova in server_rules.cpp; variates and who keeps them in corrections.cpp;
// contributions left out in attendance.cpp; weights of 0 in weights.cpp and buffered.cpp; buffers in buffered.cpp;
// draws in rounds.cpp and attendance.cpp; partitions in partition.cpp; rules that compare and their bounds in
// robust_rounds.cpp and tests/reducers; accountants in renyi.cpp and privacy_loss.cpp; clips, noise, empty rounds,
// what is charged and what is kept of it in tests/privacy; shares and words in tests/secure.
//
// What does not apply: no accountant here is the limit of a Gaussian, which would have to refuse mixtures. Nothing
// truncates losses at a mass that could be set: what lies beyond is a loss of infinity. And the first client's buffer
// cannot become the model: clients write memory of the library's, which is begun anew for each of them.
#include "federated/parabolas.hpp"
#include "sync/model.hpp"

#include <tutti/reducers/reproducible_sum.hpp>
#include <tutti/sync/correcting.hpp>

#include <boost/test/unit_test.hpp>

#include <cmath>
#include <cstdint>
#include <string>
#include <vector>

BOOST_AUTO_TEST_SUITE(federated_known_traps)

namespace federated_traps {

/// Client c holds holds[c] points in batches of ten, in each of which it steps towards c + 1.
struct batched {
  std::vector<int> holds;
  int clients() const { return int(holds.size()); }
  double examples(int client) const { return holds[std::size_t(client)]; }
  void train(int client, tutti::local_training<double>& local, tutti::random_stream) const {
    for (int at = 0; at < holds[std::size_t(client)]; at += 10)
      local.step(std::vector<double>{local.parameters()[0] - (client + 1)});
  }
};

/// Moves every value up by 1; the numbers are those of batch statistics in the second tensor.
struct moves_by_one {
  int clients() const { return 10; }
  double examples(int) const { return 2; }
  void train(int, tutti::local_training<double>& local, tutti::random_stream) const {
    for (double& x : local.parameters()) x += 1;
  }
};

} // namespace federated_traps

using namespace federated_traps;

// Where averaging comes to rest is not the minimum, which is 1.25.
BOOST_AUTO_TEST_CASE(averaging_comes_to_rest_where_it_is_known_to) {
  for (const auto& [steps, wanted] : {std::pair{2, 1.185714285714}, {10, .796133363257}}) {
    tutti::self world;
    trial::two_parabolas clients;
    std::vector<double> x(1);
    tutti::strategy strategy{world, tutti::federated{.fraction = 1, .epochs = steps}};
    strategy.run(x, tutti::sgd{.learning_rate = .1}, clients, {.rounds = 90}, [](const auto&) { return true; });
    BOOST_CHECK_SMALL(x[0] - wanted, 1e-12);
  }
}

// A mean of the 2 of 10 that were drawn moves by 1, and that of the one who is left when one drops out as well.
BOOST_AUTO_TEST_CASE(a_mean_is_divided_by_those_who_came) {
  const auto check = [](const auto& reducer) {
    tutti::self world;
    moves_by_one clients;
    std::vector<double> x(1);
    int alone = 0;
    tutti::strategy strategy{world, reducer, tutti::federated{.fraction = .2, .attendance = {.drop_out = .3}}};
    auto rounds = strategy.rounds(x, tutti::sgd{}, clients);
    for (double before = 0; rounds.made() < 20; before = x[0]) {
      const auto report = rounds.next();
      BOOST_CHECK_EQUAL(report.clients, 2);
      BOOST_CHECK_EQUAL(x[0] - before, report.counted > 0);
      alone += report.counted == 1;
    }
    BOOST_CHECK(alone > 0 && alone < 20);
  };
  check(tutti::weighted_mean{});
  check(tutti::mean{});
  check(tutti::reproducible_weighted_mean{});
}

// Nobody without a batch, one with a batch that is not full, one with three.
BOOST_AUTO_TEST_CASE(who_has_no_batch_spoils_no_round) {
  const auto first_round = [](const auto& policy) {
    tutti::self world;
    batched clients{{0, 4, 30}};
    std::vector<double> x(1);
    tutti::strategy strategy{world, tutti::mean{}, policy};
    auto rounds = strategy.rounds(x, tutti::sgd{.learning_rate = .5}, clients);
    const auto report = rounds.next();
    BOOST_CHECK(report.who(tutti::absence::silent) == std::vector{0});
    BOOST_CHECK_EQUAL(report.counted, 2);
    const double first = x[0];
    while (rounds.made() < 5) (void)rounds.next();
    BOOST_CHECK_MESSAGE(std::isfinite(x[0]), x[0]);
    return first;
  };
  // 1 after one step to 2, 2.625 after three to 3.
  BOOST_CHECK_SMALL(first_round(tutti::federated{.fraction = 1}) - 3.625 / 2, 1e-12);
  BOOST_CHECK_SMALL(first_round(tutti::scaffold{{.fraction = 1}}) - 3.625 / 2, 1e-12);
  BOOST_CHECK_SMALL(first_round(tutti::federated{.fraction = 1, .normalized = true}) - 2 * (1 + .875) / 2, 1e-12);
}

// Of 1 and 3 examples, with running means of 0 and 4. What is to stay with the clients is not given to the rounds.
BOOST_AUTO_TEST_CASE(running_statistics_are_averaged_where_they_are_given) {
  struct normalizing {
    std::vector<double> local_means{0, 0};
    int clients() const { return 2; }
    double examples(int client) const { return client == 0 ? 1 : 3; }
    void train(int client, tutti::local_training<double>& local, tutti::random_stream) {
      local_means[std::size_t(client)] += client + 1;
      local.tensors()[0].values[0] += 1;
      local.tensors()[1].values[0] = client == 0 ? 0 : 4;
    }
  };
  tutti::self world;
  normalizing clients;
  std::vector<double> weight(1), running_mean(1, 9);
  const std::vector<tutti::tensor<double>> model{{"weight", weight}, {"running_mean", running_mean}};
  tutti::strategy strategy{world, tutti::federated{.fraction = 1}};
  strategy.run(model, clients, {.rounds = 2});
  BOOST_CHECK_EQUAL(running_mean[0], 3);
  BOOST_CHECK_EQUAL(weight[0], 2);
  BOOST_CHECK((clients.local_means == std::vector<double>{2, 4}));
}

BOOST_AUTO_TEST_SUITE_END()
