// What strategy::rounds makes of the parts: rounds over a population, or a sentence.
#pragma once

#include <tutti/federated/rounds.hpp>
#include <tutti/strategy/bound.hpp>

#include <memory>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

namespace tutti::detail {

/// What rounds() returns when a sentence has said why it cannot: whatever is done with it compiles.
struct no_rounds {
  std::int64_t made() const { return 0; }
  round_report next() { return {}; }
  template <class OnRound> federated_report run(OnRound&&) { return {}; }
  template <class... All> void save(const All&...) {}
  template <class... All> std::vector<std::string> load(const All&...) { return {}; }
};

/// What clients weigh is told by the weights of the mean of each rank's.
template <class Comm, class Topology, class Reducer, class Codec, class T, class Sync, class Population,
          class Optimizer>
auto bound_rounds(const carrying_parts<Comm, Topology, Reducer, Codec>& parts,
                  rounds_plan<T, Sync, Population, Optimizer> given) {
  using mean_of_ranks = carrying_parts<Comm, Topology, weighted_mean, Codec>;
  using outer = std::remove_cvref_t<decltype(given.sync.outer)>;
  using rounds = federated_rounds<T, trainer<T, outer>, Sync, Population, Optimizer, is_weighted<Reducer>>;
  driven_by driver{.call = "run", .wrong = detail::wrong_rounds(given, parts.how.weight), .whole = true};
  driver.numbers.add(parts.reducer);
  driver.numbers.add(of_clients<Optimizer>{given.optimizer, given.training.groups});
  driver.numbers.add(given.how);
  driver.numbers.add(int(given.clients.clients()));
  const auto bind = [&, &sync = given.sync, model = given.parameters](const training_options& with,
                                                                     const std::string& wrong_groups) {
    if (driver.wrong.empty()) driver.wrong = wrong_groups;
    options plain = parts.how;
    plain.weight = 1;
    return detail::bound_trainer(
        mean_of_ranks{parts.comm, parts.topology, detail::default_part<weighted_mean>, parts.codec, plain}, sync,
        model, sync.outer, with, std::move(driver));
  };
  return rounds{std::make_unique<control_on<Comm>>(parts.comm, parts.how), std::move(given), bind};
}

} // namespace tutti::detail
