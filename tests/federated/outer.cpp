// The outer step of rounds is a trainer's: momentum, clipping, and checkpoints.
#include "federated/parabolas.hpp"
#include "sync/model.hpp"
#include "training/scratch.hpp"

#include <tutti/training/checkpoint.hpp>

#include <boost/test/unit_test.hpp>

#include <cmath>
#include <string>
#include <vector>

BOOST_AUTO_TEST_SUITE(federated_outer)

namespace {

/// Each client pulls towards its own number in noisy steps; its weight is that number plus one.
struct noisy {
  int clients() const { return 30; }
  double examples(int client) const { return client + 1; }
  void train(int client, tutti::local_training<float, tutti::adam>& local, tutti::random_stream random) const {
    std::vector<float> gradients(local.parameters().size());
    for (int k = 0; k < 3; ++k) {
      for (std::size_t i = 0; i < gradients.size(); ++i)
        gradients[i] = local.parameters()[i] - float(client) + random.uniform();
      local.step(gradients);
    }
  }
};

constexpr tutti::federated with_momentum{.fraction = .2, .outer = {.learning_rate = .5, .momentum = .9}};

/// Rounds up to `until`, from what is in `from` where that is not empty, and into `to`. The parameters of
/// rank 0, or what load() says differs.
struct outcome {
  std::vector<float> values;
  std::vector<std::string> differs;
};
outcome rounds_of(int ranks, int until, const std::string& from, const std::string& to, std::uint64_t seed = 3) {
  outcome out;
  tutti::threads::run(ranks, [&](auto& world) {
    trial::model m{float(world.rank())};
    noisy clients;
    tutti::strategy strategy{world, tutti::star{}, tutti::weighted_mean{}, with_momentum};
    auto rounds = strategy.rounds(m.parameters(), tutti::adam{.learning_rate = .05}, clients, {.seed = seed});
    std::vector<std::string> differs;
    if (!from.empty()) differs = rounds.load(from);
    while (rounds.made() < until) (void)rounds.next();
    if (!to.empty()) rounds.save(to);
    if (world.rank() == 0) out = {m.flat(), differs};
  });
  return out;
}

} // namespace

BOOST_AUTO_TEST_CASE(momentum_at_the_server_gives_the_published_values) {
  const double expected[] = {.415, 1.05825, 1.6817875}; // v = .9 v + delta; x += v
  for (const int ranks : {1, 2, 3}) {
    std::vector<double> got;
    tutti::threads::run(ranks, [&](auto& world) {
      trial::two_parabolas clients;
      std::vector<double> x(1);
      tutti::strategy strategy{
          world, tutti::federated{.fraction = 1, .epochs = 2, .outer = {.learning_rate = 1, .momentum = .9}}};
      auto rounds = strategy.rounds(x, tutti::sgd{.learning_rate = .1}, clients);
      for (int k = 0; k < 3; ++k) {
        if (rounds.next().round != k + 1) throw std::runtime_error{"rounds are counted wrong"};
        if (world.rank() == ranks - 1) got.push_back(x[0]);
      }
    });
    for (int k = 0; k < 3; ++k)
      BOOST_CHECK_MESSAGE(std::abs(got.at(std::size_t(k)) - expected[k]) < 1e-12,
                          ranks << " ranks, round " << k + 1 << ": " << got[std::size_t(k)]);
  }
}

BOOST_AUTO_TEST_CASE(the_mean_of_the_clients_is_clipped_as_gradients_are) {
  tutti::threads::run(2, [&](auto& world) {
    trial::two_parabolas clients;
    std::vector<double> x(1);
    tutti::strategy strategy{world, tutti::federated{.fraction = 1, .epochs = 2}, tutti::training_options{.clip = .1}};
    strategy.run(x, tutti::sgd{.learning_rate = .1}, clients, {.rounds = 1}, [](const auto&) { return true; });
    if (std::abs(x[0] - .1) > 1e-12) throw std::runtime_error{"a step of .415 came to " + std::to_string(x[0])};
  });
  BOOST_CHECK(true); // what is wrong has been thrown
}

BOOST_AUTO_TEST_CASE(five_rounds_and_five_are_ten_with_the_same_bits) {
  const scratch here;
  for (const int ranks : {1, 2, 3})
    for (const int cut : {1, 5, 9}) {
      const std::string folder = here / ("cut-" + std::to_string(ranks) + "-" + std::to_string(cut));
      const auto whole = rounds_of(ranks, 10, "", "");
      (void)rounds_of(ranks, cut, "", folder);
      const auto resumed = rounds_of(ranks, 10, folder, "");
      BOOST_CHECK_MESSAGE(trial::same_bits(whole.values, resumed.values),
                          ranks << " ranks, cut after round " << cut << ": the bits are others");
      BOOST_CHECK_MESSAGE(resumed.differs.empty(), trial::joined(resumed.differs));
    }
}

BOOST_AUTO_TEST_CASE(rounds_go_on_with_another_number_of_ranks_and_differ_in_rounding_only) {
  const scratch here;
  (void)rounds_of(3, 5, "", here / "five");
  const auto whole = rounds_of(3, 10, "", "");
  const auto resumed = rounds_of(2, 10, here / "five", "");
  for (std::size_t i = 0; i < whole.values.size(); ++i)
    BOOST_REQUIRE_MESSAGE(std::abs(whole.values[i] - resumed.values[i]) < 1e-3f,
                          "value " << i << " is " << resumed.values[i] << " instead of " << whole.values[i]);
}

BOOST_AUTO_TEST_CASE(a_run_that_draws_otherwise_is_reported) {
  const scratch here;
  (void)rounds_of(2, 2, "", here / "two", 3);
  const auto other = rounds_of(2, 3, here / "two", "", 4);
  BOOST_CHECK_MESSAGE(other.differs.size() == 1 && other.differs[0].find("run_options") != std::string::npos,
                      trial::joined(other.differs));
}

BOOST_AUTO_TEST_CASE(a_round_that_is_skipped_is_counted_and_saved_as_one) {
  struct empty_handed : noisy {
    double examples(int) const { return 0; }
  };
  const scratch here;
  for (int half = 0; half < 2; ++half)
    tutti::threads::run(2, [&](auto& world) {
      trial::model m{1};
      empty_handed clients;
      tutti::strategy strategy{world, with_momentum};
      auto rounds = strategy.rounds(m.parameters(), tutti::adam{}, clients);
      if (half == 1) (void)rounds.load(here / "skipped");
      const auto report = rounds.next();
      if (report.round != half + 1 || rounds.made() != half + 1)
        throw std::runtime_error{"it is round " + std::to_string(report.round)};
      if (report.skipped.find("round " + std::to_string(half + 1) + " was skipped: none of its 6 clients counts: "
                              "6 without examples") != 0)
        throw std::runtime_error{report.skipped};
      if (!trial::same_bits(m.flat(), trial::model{1}.flat())) throw std::runtime_error{"it changed parameters"};
      if (half == 0) rounds.save(here / "skipped");
    });
  BOOST_CHECK(true); // what is wrong has been thrown
}

BOOST_AUTO_TEST_SUITE_END()
