// Federated rounds of drawn clients, compared with plain federated averaging.
#include "by_others/plain_training.hpp"
#include "communicators/on_threads.hpp"

#include <tutti/training/checkpoint.hpp>
#include <tutti/tutti.hpp>

#include <cmath>
#include <filesystem>
#include <string>

#include <unistd.h>

BOOST_AUTO_TEST_SUITE(rounds_as_others_test)

namespace {

constexpr int all_clients = 11;

/// Which clients there are: some without examples, and some steps without a gradient of a tensor.
struct population {
  bool idle = true, gaps = true;

  double examples_of(int client) const { return idle && client % 4 == 1 ? 0 : 1 + client * client % 7; }
  bool has(int client, int step) const { return !gaps || (step + client) % 3 != 0; }
};

double gradient_of(int client, std::int64_t round, int step, std::size_t i, double x, double noise) {
  const auto block = tutti::philox(
      {std::uint32_t(client), std::uint32_t(round), std::uint32_t(step), std::uint32_t(i)}, {9, 9});
  return double(block[0] % 1000) / 500 - 1 + 0.3 * x + noise;
}
int steps_of(int client) { return 1 + client % 3; }

/// Clients with unlike numbers of examples and steps.
template <class Optimizer> struct drawn_clients {
  population who;
  int clients() const { return all_clients; }
  double examples(int client) const { return who.examples_of(client); }
  void train(int client, tutti::local_training<double, Optimizer>& local, tutti::random_stream random) {
    for (int step = 1; step <= steps_of(client) * local.epochs(); ++step) {
      const double noise = random.uniform();
      std::vector<std::vector<double>> g{std::vector<double>(3), {}};
      for (std::size_t i = 0; i < 3; ++i)
        g[0][i] = gradient_of(client, local.round(), step, i, local.tensors()[0].values[i], noise);
      for (std::size_t i = 0; i < 4 && who.has(client, step); ++i)
        g[1].push_back(gradient_of(client, local.round(), step, 3 + i, local.tensors()[1].values[i], noise));
      std::vector<tutti::tensor<const double>> given;
      given.push_back({"a", g[0], {}});
      given.push_back({"b", g[1], {}});
      local.step(given);
    }
  }
};

/// The same in plain loops.
struct plain_rounds {
  plain::rule inner, outer;
  bool weighted;
  double fraction;
  int epochs;
  double clip;
  population who{};
  std::vector<double> x = {1, -2, 3, 0.5, -1, 2, 4}, m = std::vector<double>(7), v = m;

  void round(std::int64_t number, std::uint64_t seed) {
    const int cohort = tutti::federated{.fraction = fraction}.cohort(all_clients);
    std::vector<double> sum(7);
    double total = 0;
    for (const int client : tutti::draw_cohort(all_clients, cohort, seed, std::uint32_t(number))) {
      if (who.examples_of(client) == 0) continue;
      auto y = x, s1 = std::vector<double>(7), s2 = s1;
      std::int64_t steps[2] = {0, 0};
      tutti::random_stream random{seed, std::uint32_t(number), std::uint64_t(client)};
      for (int step = 1; step <= steps_of(client) * epochs; ++step) {
        const double noise = random.uniform();
        const auto from = y;
        ++steps[0];
        const bool has = who.has(client, step);
        steps[1] += has;
        for (std::size_t i = 0; i < (has ? 7u : 3u); ++i)
          inner.move(steps[i >= 3], y[i], gradient_of(client, number, step, i, from[i], noise), s1[i], s2[i]);
      }
      const double w = weighted ? who.examples_of(client) : 1;
      total += w;
      for (std::size_t i = 0; i < 7; ++i) sum[i] += w * (x[i] - y[i]);
    }
    if (total == 0) return;
    double squares = 0;
    for (double& s : sum) s /= total, squares += s * s;
    const double norm = std::sqrt(squares), shrink = clip > 0 && norm > clip ? clip / norm : 1;
    for (std::size_t i = 0; i < 7; ++i) outer.move(number, x[i], shrink * sum[i], m[i], v[i]);
  }
};

template <class Reducer, class Optimizer>
void compare(const std::string& what, const Optimizer& inner, plain_rounds wanted) {
  for (const int ranks : {1, 2, 3, 5})
    for (const std::uint64_t seed : {3u, 4u})
      on_threads(ranks, [&](auto& comm, report& r) {
        const auto temporary = std::filesystem::temp_directory_path();
        const std::string folder = (temporary / ("tutti_rounds" + std::to_string(::getpid()))).string();
        plain_rounds plain = wanted;
        std::vector<double> x;
        drawn_clients<Optimizer> clients{wanted.who};
        const tutti::sgd outer{wanted.outer.rate, wanted.outer.momentum, wanted.outer.nesterov, wanted.outer.decay};
        tutti::strategy s{comm, tutti::star{}, Reducer{}, tutti::training_options{.clip = wanted.clip},
                          tutti::federated{.fraction = wanted.fraction, .epochs = wanted.epochs, .outer = outer}};
        for (int part = 0; part < 2; ++part) {
          x = part == 0 ? plain.x : std::vector<double>(7, 99.0);
          std::vector<tutti::tensor<double>> model;
          model.push_back({"a", std::span{x}.first(3), {}});
          model.push_back({"b", std::span{x}.subspan(3), {}});
          auto rounds = s.rounds(model, inner, clients, {.rounds = 8, .seed = seed});
          if (part == 1) rounds.load(folder);
          for (int round = 4 * part + 1; round <= 4 * part + 4; ++round) {
            const auto made = rounds.next();
            plain.round(round, seed);
            double away = 0;
            for (std::size_t i = 0; i < 7; ++i) away = std::max(away, std::abs(x[i] - plain.x[i]));
            r.check(away < 1e-9, what + ", round " + std::to_string(round) + ": away by " + std::to_string(away));
            r.check(made.round == round && rounds.made() == round, what + ": round " + std::to_string(made.round));
          }
          if (part == 0) rounds.save(folder);
        }
        if (comm.rank() == 0) std::filesystem::remove_all(folder);
      });
}

} // namespace

BOOST_AUTO_TEST_CASE(federated_rounds) {
  const plain::rule sgd{.rate = 0.1, .momentum = 0.5, .decay = 0.1}, adamw{.adam = true, .rate = 0.05, .decay = 0.1};
  const plain::rule average{.rate = 1}, with_momentum{.rate = 0.7, .momentum = 0.9, .nesterov = true, .decay = 0.05};
  const tutti::sgd inner_sgd{.learning_rate = 0.1, .momentum = 0.5, .weight_decay = 0.1};
  const tutti::adamw inner_adamw{.learning_rate = 0.05, .weight_decay = 0.1};
  const population no_gaps{.gaps = false}, none_idle{.idle = false};
  compare<tutti::weighted_mean>("weighted, sgd", inner_sgd, {sgd, average, true, 0.5, 1, 0});
  compare<tutti::weighted_mean>("weighted, adamw, outer momentum", inner_adamw,
                                {adamw, with_momentum, true, 0.3, 2, 0.5, no_gaps});
  compare<tutti::mean>("mean, sgd, outer momentum", inner_sgd, {sgd, with_momentum, false, 1, 2, 0.5, none_idle});
}

// Absent tensors keep their state, Adam's count of steps in it: a trainer counts by tensor, and so do clients.
BOOST_AUTO_TEST_CASE(adam_of_clients_whose_steps_have_gaps) {
  compare<tutti::weighted_mean>("adamw", tutti::adamw{.learning_rate = 0.05, .weight_decay = 0.1},
                                {{.adam = true, .rate = 0.05, .decay = 0.1}, {.rate = 1}, true, 1, 1, 0});
}

BOOST_AUTO_TEST_SUITE_END()
