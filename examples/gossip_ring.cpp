// Gossip: ranks that average with neighbours alone come to the mean of all, on a ring slowly, with another peer in each
// round in log2 p rounds, with everybody at once. Ranks are simulated, so there may be hundreds.
// test: --graph ring --rounds 120 --contracts 0.949253
// test: --graph ring --ranks 3 --exact-after 1
// test: --graph one_peer --exact-after 4
// test: --graph one_peer --ranks 32 --exact-after 5
// test: --graph complete --ranks 7 --exact-after 1
// test: --ranks 5 --rounds 12
// refuses: --graph star => --graph star: give ring, one_peer, complete or all
// refuses: --ranks 1 => --ranks 1: give 2 to 1024
// refuses: --rounds 0 => --rounds 0: give at least 1
// refuses: --graph one_peer --ranks 6 --exact-after 3 => one_peer: after 3 rounds replicas are .* apart
// refuses: --graph ring --ranks 32 --rounds 120 --contracts 0.949253 => ring: the last round contracts by
// refuses: --svg /no/such/folder/out.svg => --svg /no/such/folder/out.svg: No such file .* - give a file
#include "support/json.hpp"
#include "support/options.hpp"
#include "support/plot.hpp"

#include <CLI/CLI.hpp>
#include <tutti/communicators/simulated.hpp>
#include <tutti/tutti.hpp>

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

/// How far replicas are from their mean, root mean square, in the beginning and after each round.
template <class Graph>
std::vector<double> distances(const Graph& graph, int ranks, int rounds) {
  std::vector<double> out;
  tutti::simulated::run(ranks, {}, [&](auto& world) {
    std::vector<double> replica(100), apart(100);
    tutti::random_stream draw{1, 0, std::uint64_t(world.rank())};
    for (double& x : apart) x = double(draw.uniform()) - .5;

    const auto measure = [&](std::vector<double> x) {
      std::vector<double> mean = x;
      tutti::all_reduce(world, mean, tutti::mean{});
      std::vector<double> square(1);
      for (std::size_t i = 0; i < x.size(); ++i) square[0] += (x[i] - mean[i]) * (x[i] - mean[i]) / double(x.size());
      tutti::all_reduce(world, square, tutti::mean{});
      if (world.rank() == 0) out.push_back(std::sqrt(square[0]));
    };

    tutti::strategy strategy{world, graph, tutti::gossip{}};
    auto trainer = strategy.bind(replica, tutti::sgd{.learning_rate = 1}); // all begin at zero
    measure(apart);
    for (int round = 0; round < rounds; ++round) {
      trainer.step(apart); // descends, then mixes
      measure(replica);
      apart.assign(apart.size(), 0); // there is nothing to learn after the first step
    }
  });
  return out;
}

struct trace {
  std::string name;
  std::vector<double> distances;
  double last_contraction() const { return distances.back() / distances[distances.size() - 2]; }
};

void print(const std::vector<trace>& all, int rounds) {
  std::printf("%7s", "round");
  for (const trace& t : all) std::printf("  %12s", t.name.c_str());
  for (int k = 0; k <= rounds; k = k == rounds ? k + 1 : std::min(rounds, k < 6 ? k + 1 : k * 3 / 2)) {
    std::printf("\n%7d", k);
    for (const trace& t : all) std::printf("  %12.3g", t.distances[std::size_t(k)]);
  }
  std::printf("\n");
}

int main(int argc, char** argv) try {
  int ranks = 16, rounds = 40, exact_after = 0;
  double contracts = 0;
  std::string graph = "all", svg, json;
  CLI::App app{"How fast gossip brings replicas together"};
  app.option_defaults()->always_capture_default();
  app.add_option("--ranks", ranks, "simulated ranks");
  app.add_option("--graph", graph, "who averages with whom: ring, one_peer, complete or all");
  app.add_option("--rounds", rounds, "of averaging");
  app.add_option("--svg", svg, "draw the distance over rounds into this file");
  app.add_option("--json", json, "write the distances to this file");
  app.add_option("--contracts", contracts, "fail unless the last round multiplies the distance by this");
  app.add_option("--exact-after", exact_after, "fail unless this is the first round after which all have the mean");
  CLI11_PARSE(app, argc, argv);
  if (ranks < 2 || ranks > 1024) throw std::runtime_error("--ranks " + std::to_string(ranks) + ": give 2 to 1024");
  if (rounds < 1) throw std::runtime_error("--rounds " + std::to_string(rounds) + ": give at least 1");
  support::check_writable("--svg", svg);
  support::check_writable("--json", json);

  std::vector<trace> all;
  const auto add = [&](const char* name, const auto& with) {
    if (graph == "all" || graph == name) all.push_back({name, distances(with, ranks, rounds)});
  };
  add("ring", tutti::ring_graph{});
  add("one_peer", tutti::one_peer_exponential{});
  add("complete", tutti::complete_graph{});
  if (all.empty()) throw std::runtime_error("--graph " + graph + ": give ring, one_peer, complete or all");
  std::printf("root mean square distance of %d replicas to their mean\n", ranks);
  print(all, rounds);

  constexpr double least = 1e-9; // what is less is drawn as this
  const char* const colours[] = {"#3b82f6", "#16a34a", "#dc2626"};
  std::vector<support::line> lines;
  nlohmann::json results{{"ranks", ranks}, {"rounds", rounds}};
  for (const trace& t : all) {
    results["distance"][t.name] = t.distances;
    support::line line{t.name, {}, colours[lines.size()]};
    for (std::size_t k = 0; k < t.distances.size(); ++k)
      line.points.push_back({double(k), std::log10(std::max(t.distances[k], least))});
    lines.push_back(std::move(line));
  }
  if (!svg.empty())
    support::write_plot(svg, "Gossip, " + std::to_string(ranks) + " ranks", "rounds",
                        "log10 of the distance to the mean", lines);
  support::write_json(json, results);

  for (const trace& t : all) {
    if (contracts > 0 && std::abs(t.last_contraction() - contracts) > 1e-6)
      throw std::runtime_error(t.name + ": the last round contracts by " + std::to_string(t.last_contraction()));
    const auto apart = [&](int round) { return t.distances[std::size_t(std::min(round, rounds))] / t.distances[0]; };
    if (exact_after > 0 && (apart(exact_after) > 1e-14 || apart(exact_after - 1) < 1e-2))
      throw std::runtime_error(t.name + ": after " + std::to_string(exact_after) + " rounds replicas are " +
                               std::to_string(apart(exact_after)) + " of the beginning apart, after one round less " +
                               std::to_string(apart(exact_after - 1)));
  }
} catch (const std::exception& e) {
  std::fprintf(stderr, "gossip_ring: %s\n", e.what());
  return 1;
}
