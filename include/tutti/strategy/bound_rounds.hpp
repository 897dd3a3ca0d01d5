// What strategy::rounds makes of the parts: rounds over a population, or a sentence.
#pragma once

#include <tutti/federated/rounds.hpp>
#include <tutti/strategy/bound.hpp>
#include <tutti/strategy/checks.hpp>

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

template <class Sync, class T, class Optimizer, class Population>
struct rounds_checks {
  static constexpr bool federates = over_population<Sync>;
  static constexpr bool real = std::is_same_v<T, float> || std::is_same_v<T, double>;
  static constexpr bool descends = !real || optimizer<Optimizer, T>;
  static constexpr bool fits = [] {
    if constexpr (real && descends) return population<Population, T, Optimizer>;
    return true;
  }();
  static constexpr bool value = federates && real && descends && fits;
};

template <class Sync, class T, class Optimizer, class Population>
struct rounds_sentences {
  using facts = rounds_checks<Sync, T, Optimizer, Population>;
  static_assert(facts::federates, "tutti::strategy::run: only a federated strategy runs a population - add "
                                  "tutti::federated{}, or call bind()");
  static_assert(facts::real, "tutti::strategy::run: parameters must be float or double - keep a float copy "
                             "of shorter ones");
  static_assert(facts::descends, "tutti::strategy::run: this is no optimizer - give one of tutti/optimizers, or "
                                 "leave it out where clients descend by themselves");
  static_assert(facts::fits, "tutti::strategy::run: this is no population - it needs clients(), "
                             "examples(client) and train(client, local, random), local being a local_training of this "
                             "element and this optimizer");
};

/// What clients weigh is told by the weights of the mean of each rank's.
template <class Comm, class Topology, class Reducer, class Codec, class Sync, class T, class Optimizer,
          class Population>
auto bound_rounds(const carrying_parts<Comm, Topology, Reducer, Codec>& parts, const Sync& sync,
                  std::vector<tensor<T>> parameters, Optimizer optimizer, Population& clients, run_options how,
                  const training_options& training) {
  using mean_of_ranks = carrying_parts<Comm, Topology, weighted_mean, Codec>;
  using outer = std::remove_cvref_t<decltype(sync.outer)>;
  using rounds = federated_rounds<T, trainer<T, outer>, Sync, Population, Optimizer, is_weighted<Reducer>>;
  driven_by driver{.call = "run", .whole = true};
  driver.numbers.add(parts.reducer);
  driver.numbers.add(of_clients<Optimizer>{optimizer, training.groups});
  driver.numbers.add(how);
  driver.numbers.add(int(clients.clients()));
  return rounds{std::make_unique<control_on<Comm>>(parts.comm, parts.how),
                sync,
                parameters,
                optimizer,
                clients,
                how,
                training,
                parts.how.weight,
                [&](const training_options& with, std::string wrong) {
                  driver.wrong = std::move(wrong);
                  options plain = parts.how;
                  plain.weight = 1;
                  return detail::bound_trainer(
                      mean_of_ranks{parts.comm, parts.topology, detail::default_part<weighted_mean>, parts.codec, plain}, sync, parameters,
                      sync.outer, with, std::move(driver));
                }};
}

} // namespace tutti::detail
