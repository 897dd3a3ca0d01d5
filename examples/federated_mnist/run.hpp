// One run of federated_mnist, whatever its parts. Each family of strategies is compiled in a file of its own.
#pragma once

#include "clients.hpp"
#include "support/progress.hpp"

#include <tutti/communicators/threads.hpp>
#include <tutti/federated/attacks.hpp>
#include <tutti/tutti.hpp>

#include <string>
#include <utility>
#include <vector>

namespace federated_mnist {

using world_type = tutti::threads::communicator;

/// An attack that is chosen while the program runs.
struct any_attack {
  std::string name;
  double strength = 0;
  bool wants_known = name == "a_little_is_enough" || name == "inner_product";

  void operator()(tutti::attacks::known_updates known, std::span<double> own, tutti::random_stream draw) const {
    const auto of = [&](double usual) { return strength > 0 ? strength : usual; };
    using namespace tutti::attacks;
    if (name == "sign_flip") return sign_flip{of(10)}(known, own, draw);
    if (name == "gaussian") return gaussian{of(1)}(known, own, draw);
    if (name == "a_little_is_enough") return a_little_is_enough{of(1)}(known, own, draw);
    if (name == "inner_product") return inner_product_manipulation{of(10)}(known, own, draw);
  }
};
using population = tutti::attacked<people, any_attack>;
inline population attacked(const settings& s, people& honest) {
  return {honest, s.attack == "label_flip" ? 0 : s.attackers, any_attack{s.attack, s.strength}, s.seed};
}

/// Collective: rounds until they are over, or good enough.
template <class Strategy>
tutti::federated_report run_rounds(Strategy strategy, world_type& world, const settings& s,
                                   const models::digits& data) {
  people honest{s, data};
  population clients = attacked(s, honest);
  std::vector<float> parameters = honest.initial();
  support::progress bar{world.rank() == 0, s.rounds};
  auto rounds = strategy.rounds(parameters, tutti::sgd{.learning_rate = s.learning_rate}, clients,
                                tutti::run_options{.rounds = s.rounds, .seed = s.seed});
  const auto report = rounds.run([&](const tutti::round_report& round) {
    bar.update(round.round, "test accuracy " + std::to_string(round.metric));
    return round.metric < s.until; // the same on every rank
  });
  if (world.rank() == 0 && !s.onnx.empty()) honest.write_onnx(s.onnx, parameters);
  return report;
}

tutti::federated_report averaged(world_type& world, const settings& s, const models::digits& data);
tutti::federated_report buffered(world_type& world, const settings& s, const models::digits& data);
tutti::federated_report adaptive(world_type& world, const settings& s, const models::digits& data);
tutti::federated_report corrected(world_type& world, const settings& s, const models::digits& data);
tutti::federated_report compared(world_type& world, const settings& s, const models::digits& data);
tutti::federated_report hidden(world_type& world, const settings& s, const models::digits& data);

/// What all policies have in common.
template <class Sync>
Sync policy(const settings& s, double usual_rate) {
  Sync sync;
  sync.fraction = s.fraction;
  sync.epochs = s.epochs;
  sync.clip = s.clip;
  sync.outer.learning_rate = s.server_rate > 0 ? s.server_rate : usual_rate;
  return sync;
}
/// FedAvg and those that are it with one number more.
inline tutti::federated plain_policy(const settings& s) {
  auto sync = policy<tutti::federated>(s, s.rule == "fed_avgm" ? .3 : 1);
  if (s.rule == "fed_avgm") sync.outer.momentum = s.momentum;
  if (s.rule == "fed_prox") sync.proximal = s.mu;
  sync.normalized = s.rule == "fed_nova";
  return sync;
}

} // namespace federated_mnist
