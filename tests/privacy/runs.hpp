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

/// Client c of so many adds moves[c], or moves[0] where that is all there is, to every value, times along[i] where that
/// is given; one of 0 writes nothing.
struct movers {
  int size = 10;
  std::vector<double> moves = {1};
  std::vector<double> holds = {};
  std::vector<double> along = {};
  int clients() const { return size; }
  double examples(int client) const { return holds.empty() ? 1 : holds[std::size_t(client)]; }
  template <class T>
  void train(int client, tutti::local_training<T>& local, tutti::random_stream) const {
    const double move = moves.size() == 1 ? moves[0] : moves[std::size_t(client)];
    for (std::size_t i = 0; i < local.parameters().size(); ++i)
      local.parameters()[i] = T(double(local.parameters()[i]) + move * (along.empty() ? 1 : along[i]));
  }
};

/// Everyone, every time.
inline constexpr tutti::poisson_sampling all_of_them{1};

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
