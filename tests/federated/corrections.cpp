// SCAFFOLD and FedDyn: three rounds of each, computed independently; what clients keep lives with them, on any number
// of ranks, and goes through checkpoints.
#include "sync/model.hpp"
#include "training/scratch.hpp"

#include <tutti/reducers/reproducible_sum.hpp>
#include <tutti/sync/correcting.hpp>
#include <tutti/training/checkpoint.hpp>

#include <boost/test/unit_test.hpp>

#include <algorithm>
#include <cmath>
#include <string>
#include <vector>

BOOST_AUTO_TEST_SUITE(federated_corrections)

namespace {

constexpr double a[] = {1, 3}, b[] = {-1, 2}; // problem Q

struct stepping_parabolas {
  bool tells = false;
  int clients() const { return 2; }
  double examples(int) const { return 5; }
  void train(int client, tutti::local_training<double>& local, tutti::random_stream) const {
    const auto gradient = [&] { return std::vector<double>{a[client] * (local.parameters()[0] - b[client])}; };
    if (tells) local.tell_gradient(gradient());
    for (int k = 0; k < local.epochs(); ++k) local.step(gradient());
  }
};
/// argmin F_k(t) - g_k t + alpha / 2 (t - sent out)^2, exactly.
struct minimising_parabolas {
  double alpha = .5;
  int clients() const { return 2; }
  double examples(int) const { return 5; }
  void train(int client, tutti::local_training<double>& local, tutti::random_stream) const {
    const double g = -local.correction()[0];
    local.parameters()[0] = (a[client] * b[client] + g + alpha * local.received()[0]) / (a[client] + alpha);
  }
};

template <class Sync, class Population, class Reducer>
void check(const char* name, const Sync& policy, const Population& people, Reducer reducer,
           const std::vector<double>& wanted) {
  for (const int ranks : {1, 2, 3}) {
    std::vector<double> got;
    tutti::threads::run(ranks, [&](auto& world) {
      Population clients = people;
      std::vector<double> x(1);
      tutti::strategy strategy{world, reducer, policy};
      auto rounds = strategy.rounds(x, tutti::sgd{.learning_rate = .1}, clients);
      for (int k = 0; k < 80; ++k) {
        (void)rounds.next();
        if (world.rank() == ranks - 1 && (k < 3 || k == 79)) got.push_back(x[0]);
      }
    });
    for (std::size_t k = 0; k < 3; ++k)
      BOOST_CHECK_MESSAGE(std::abs(got.at(k) - wanted[k]) < 1e-12,
                          name << ", " << ranks << " ranks, round " << k + 1 << ": " << got[k]);
    BOOST_CHECK_MESSAGE(std::abs(got.at(3) - 1.25) < 1e-6, name << " ends at " << got[3]);
  }
}

} // namespace

// The full variate sent gives 1.283205 in the third round, one divided by the rate alone .9048725, the wrong sign .6545
// in the second.
BOOST_AUTO_TEST_CASE(three_rounds_have_the_published_values_and_then_the_minimum) {
  const tutti::scaffold two{{.fraction = 1, .epochs = 2}}, one{{.fraction = 1, .epochs = 2}, true};
  check("SCAFFOLD II", two, stepping_parabolas{}, tutti::weighted_mean{}, {.415, .715, .909705});
  check("SCAFFOLD II", two, stepping_parabolas{}, tutti::reproducible_mean{}, {.415, .715, .909705});
  check("SCAFFOLD I", one, stepping_parabolas{true}, tutti::mean{}, {.415, .71975, .9136875});
  const tutti::fed_dyn dynamic{{.fraction = 1, .proximal = .5}};
  check("FedDyn", dynamic, minimising_parabolas{}, tutti::mean{}, {1.047619047619, 1.0, 1.038548752834});
  check("FedDyn", dynamic, minimising_parabolas{}, tutti::reproducible_mean{}, {1.047619047619, 1.0, 1.038548752834});
}

// Gradients of FedDyn in steps: as many of them come to the minimum that is found exactly above.
BOOST_AUTO_TEST_CASE(steps_of_feddyn_find_the_exact_minimum) {
  tutti::self world;
  stepping_parabolas clients;
  std::vector<double> x(1);
  tutti::strategy strategy{world, tutti::mean{}, tutti::fed_dyn{{.fraction = 1, .epochs = 400, .proximal = .5}}};
  auto rounds = strategy.rounds(x, tutti::sgd{.learning_rate = .1}, clients);
  for (const double wanted : {1.047619047619, 1.0, 1.038548752834}) {
    (void)rounds.next();
    BOOST_CHECK_SMALL(x[0] - wanted, 1e-10);
  }
}

// c is the mean of all c_i where all take part: what clients add up to, c - c_i, is nothing.
BOOST_AUTO_TEST_CASE(the_common_variate_is_the_mean_of_the_clients_own) {
  struct adding_up : stepping_parabolas {
    double sum = 0, most = 0;
    void train(int client, tutti::local_training<double>& local, tutti::random_stream random) {
      sum += local.correction()[0];
      most = std::max(most, std::abs(local.correction()[0]));
      stepping_parabolas::train(client, local, random);
    }
  };
  for (const bool at_start : {false, true}) {
    tutti::self world;
    adding_up clients;
    clients.tells = at_start;
    std::vector<double> x(1);
    tutti::strategy strategy{world, tutti::mean{}, tutti::scaffold{{.fraction = 1, .epochs = 2}, at_start}};
    auto rounds = strategy.rounds(x, tutti::sgd{.learning_rate = .1}, clients);
    while (rounds.made() < 6) {
      clients.sum = 0;
      (void)rounds.next();
      BOOST_CHECK_SMALL(clients.sum, 1e-12);
    }
    BOOST_CHECK_GT(clients.most, 1);
  }
}

namespace {

/// Eleven clients that pull towards numbers of their own in noisy steps; one in five writes nothing.
struct noisy_pulls {
  int clients() const { return 11; }
  double examples(int client) const { return client + .5; }
  void train(int client, tutti::local_training<float>& local, tutti::random_stream random) const {
    if (client % 5 == 2) return;
    std::vector<float> gradient(local.parameters().size());
    for (int k = 0; k < 3; ++k) {
      for (std::size_t i = 0; i < gradient.size(); ++i)
        gradient[i] = local.parameters()[i] - float(client) + random.uniform();
      local.step(gradient);
    }
  }
};

template <class Sync>
std::vector<float> rounds_of(int ranks, int until, const Sync& policy, const std::string& from = "",
                             const std::string& to = "") {
  std::vector<std::vector<float>> out(static_cast<std::size_t>(ranks));
  std::vector<std::string> differs;
  tutti::threads::run(ranks, [&](auto& world) {
    trial::model m{float(world.rank())};
    noisy_pulls clients;
    tutti::strategy strategy{world, tutti::reproducible_weighted_mean{}, policy};
    auto rounds = strategy.rounds(m.parameters(), tutti::sgd{.learning_rate = .05}, clients, {.seed = 3});
    if (!from.empty()) {
      const auto told = rounds.load(from);
      if (world.rank() == 0) differs = told;
    }
    while (rounds.made() < until) (void)rounds.next();
    if (!to.empty()) rounds.save(to);
    out[std::size_t(world.rank())] = m.flat();
  });
  BOOST_CHECK_MESSAGE(differs.empty(), trial::joined(differs));
  BOOST_CHECK(trial::all_same(out));
  return out[0];
}

} // namespace

BOOST_AUTO_TEST_CASE(what_clients_keep_follows_the_client_and_not_the_rank) {
  const scratch here;
  const auto check = [&](const char* name, const auto& policy) {
    const auto alone = rounds_of(1, 8, policy);
    for (const int ranks : {2, 3})
      BOOST_CHECK_MESSAGE(trial::same_bits(rounds_of(ranks, 8, policy), alone), name << " on " << ranks);
    const std::string folder = here / name;
    (void)rounds_of(2, 4, policy, "", folder);
    for (const int ranks : {1, 2, 3})
      BOOST_CHECK_MESSAGE(trial::same_bits(rounds_of(ranks, 8, policy, folder), alone),
                          name << " goes on with other bits on " << ranks);
  };
  check("scaffold", tutti::scaffold{{.fraction = .4}});
  check("fed_dyn", tutti::fed_dyn{{.fraction = .4, .proximal = .1}});
}

BOOST_AUTO_TEST_CASE(what_cannot_be_kept_is_refused) {
  const auto refused = [](const auto& policy, const char* why) {
    const auto errors = trial::errors_on_ranks(2, [&](auto& world) {
      stepping_parabolas clients;
      std::vector<double> x(1);
      tutti::strategy{world, policy}.run(x, clients);
    });
    bool told = false;
    for (const auto& e : errors) told = told || e.find(why) != std::string::npos;
    BOOST_CHECK_MESSAGE(told, trial::joined(errors));
  };
  refused(tutti::fed_dyn{{.fraction = 1}}, "fed_dyn has no alpha - give it as proximal");
  refused(tutti::scaffold{{.fraction = 1}, true}, "told no gradient, and scaffold::at_start asks for the one");
  struct short_gradient : stepping_parabolas {
    void train(int, tutti::local_training<double>& local, tutti::random_stream) const {
      local.tell_gradient(std::vector<double>(3));
    }
  };
  const auto errors = trial::errors_on_ranks(1, [](auto& world) {
    short_gradient clients;
    std::vector<double> x(1);
    tutti::strategy{world, tutti::scaffold{{.fraction = 1}, true}}.run(x, clients);
  });
  BOOST_CHECK_MESSAGE(trial::all_contain(errors, "a gradient of 3 values is told, and the model has 1"),
                      trial::joined(errors));
}

BOOST_AUTO_TEST_SUITE_END()
