// Private rounds of small populations on threads, for tests.
#pragma once

#include <tutti/federated/accountants/privacy_loss.hpp>
#include <tutti/federated/privacy/plan.hpp>
#include <tutti/tutti.hpp>

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

namespace trial {

/// Client c of so many adds moves[c], or moves[0] where that is all there is, to every value; one of 0 writes nothing.
struct movers {
  int size = 10;
  std::vector<double> moves = {1};
  std::vector<double> holds = {};
  int clients() const { return size; }
  double examples(int client) const { return holds.empty() ? 1 : holds[std::size_t(client)]; }
  template <class T>
  void train(int client, tutti::local_training<T>& local, tutti::random_stream) const {
    const double move = moves.size() == 1 ? moves[0] : moves[std::size_t(client)];
    for (T& x : local.parameters()) x = T(double(x) + move);
  }
};

/// Hardly any, so that what is released is what was added up.
inline constexpr tutti::gaussian_noise next_to_no_noise{.multiplier = 1e-6};

template <class Noise>
auto known(const Noise& noise, std::uint64_t seed = 7) {
  return tutti::seeded_in_tests<Noise>{noise, seed};
}

struct outcome {
  std::vector<double> values;
  std::vector<tutti::round_report> rounds;
};

/// What rank 0 has after so many rounds.
template <class Population, class Plan>
outcome private_rounds(int ranks, int rounds, const Population& people, const Plan& privacy, std::vector<double> start) {
  outcome out;
  tutti::threads::run(ranks, [&](auto& world) {
    Population mine = people;
    std::vector<double> x = start;
    tutti::strategy strategy{world, tutti::federated{}, privacy};
    const auto report = strategy.run(x, mine, {.rounds = rounds});
    if (world.rank() == 0) out = {x, report.rounds};
  });
  return out;
}

} // namespace trial
