// What strategy::rounds makes of the parts: rounds over a population, or a sentence.
#pragma once

#include <tutti/federated/accumulator.hpp>
#include <tutti/federated/corrections.hpp>
#include <tutti/federated/rounds.hpp>
#include <tutti/federated/rounds_plan.hpp>
#include <tutti/reducers/reproducible_sum.hpp>
#include <tutti/strategy/bound.hpp>

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
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

/// Weights are said elsewhere.
inline options plain_options(options how) {
  how.weight = 1;
  return how;
}

/// How the clients of all ranks become one mean of n values, as the privacy plan, the accumulator or the reducer wants it.
template <class T, class Comm, class Topology, class Reducer, class Codec, class Accumulator, class Privacy>
auto meeting_for(const carrying_parts<Comm, Topology, Reducer, Codec>& parts, const Accumulator& accumulator,
                 const Privacy& privacy, std::size_t n, int clients, const accumulated_rounds& facts) {
  const options how = detail::plain_options(parts.how);
  if constexpr (is_private<Privacy>) {
    return privacy.template meeting<T>(n, clients, [&comm = parts.comm, how](std::span<std::int64_t> values) {
      tutti::reduce(comm, values, 0, sum{}, how);
    });
  } else if constexpr (requires { accumulator.wrong(facts); }) {
    auto reduce = [&comm = parts.comm, how](auto values) { tutti::reduce(comm, values, 0, sum{}, how); };
    return accumulator.template meeting<T>(n, facts, reduce);
  } else if constexpr (needs_every_contribution<Reducer, T>) {
    auto gather = [&comm = parts.comm, how](std::span<const T> mine, std::span<T> all) {
      tutti::gather(comm, mine, all, 0, how);
    };
    return meeting_of_rows<T, Reducer, decltype(gather)>{n, facts.clip, parts.reducer, gather};
  } else if constexpr (repeats_of<Reducer> == determinism::rank_count_invariant) {
    auto reduce = [&comm = parts.comm, how]<class A>(std::span<A> values) {
      using adds = std::conditional_t<std::is_same_v<A, std::int64_t>, sum, reproducible_sum>;
      tutti::reduce(comm, values, 0, adds{}, how);
    };
    return meeting_of_sums<T, decltype(reduce)>{n, facts.clip, reduce};
  } else {
    return meeting_of_means<T>{n, facts.clip};
  }
}

/// What clients keep from round to round, as the policy wants it.
template <class T, class Parts, class Plan>
auto corrections_for(const Parts& parts, const Plan& given) {
  using sync = std::remove_cvref_t<decltype(given.sync)>;
  if constexpr (keeps_of<sync> == client_keeps::nothing) {
    return no_corrections<T>{};
  } else {
    auto reduce = [&comm = parts.comm, how = detail::plain_options(parts.how)]<class A>(std::span<A> values) {
      using adds = std::conditional_t<std::is_same_v<A, std::int64_t>, sum, reproducible_sum>;
      tutti::reduce(comm, values, 0, adds{}, how);
    };
    return corrections<T, decltype(reduce)>{detail::keeping_of(given.sync), given.parameters,
                                            int(given.clients.clients()), parts.comm.rank(), parts.comm.size(), reduce};
  }
}

/// How many of so many clients are drawn; 0 where a sampler says it, in each round anew.
template <class Sync>
int cohort_of(const Sync& sync, int clients) {
  if (!draws_a_cohort<Sync>) return 0;
  return clients > 0 ? detail::asked_of(sync, clients) : 0;
}

/// What is wrong with clients that are weighed by their losses.
template <class Reducer, class T, class Privacy, class Sync>
std::string wrong_fairness(const Sync& sync, bool accumulates) {
  if (detail::fairness_of(sync) == 0) return {};
  if (needs_every_contribution<Reducer, T>)
    return "clients are weighed by their losses, and this reducer compares clients - give a mean";
  if (is_private<Privacy> || accumulates)
    return "clients are weighed by their losses, which are told in the open - leave the privacy plan or the secure sum "
           "out";
  return {};
}

/// What clients weigh is told by the weights of the mean of each rank's.
template <class Comm, class Topology, class Reducer, class Codec, class T, class Sync, class Population,
          class Optimizer, class Accumulator, class Privacy>
auto bound_rounds(const carrying_parts<Comm, Topology, Reducer, Codec>& parts, const Accumulator& accumulator,
                  const Privacy& privacy, rounds_plan<T, Sync, Population, Optimizer> given) {
  using mean_of_ranks = carrying_parts<Comm, Topology, weighted_mean, Codec>;
  using outer = std::remove_cvref_t<decltype(given.sync.outer)>;
  driven_by driver{.call = "run", .wrong = detail::wrong_rounds(given, parts.how.weight), .whole = true};
  if (driver.wrong.empty()) driver.wrong = detail::wrong_rule(parts.reducer);
  const int all_clients = int(given.clients.clients());
  if (driver.wrong.empty()) driver.wrong = detail::wrong_privacy(privacy, given.sync, all_clients);
  if (driver.wrong.empty())
    driver.wrong = detail::wrong_fairness<Reducer, T, Privacy>(given.sync, !std::is_same_v<Accumulator, as_reduced>);
  const accumulated_rounds facts{.clip = detail::clip_of(given.sync),
                                 .cohort = detail::cohort_of(given.sync, all_clients),
                                 .normalized = detail::normalizes(given.sync),
                                 .seed = given.how.seed};
  if constexpr (requires { accumulator.wrong(facts); })
    if (driver.wrong.empty()) driver.wrong = accumulator.wrong(facts);
  driver.numbers.add(parts.reducer);
  driver.numbers.add(accumulator);
  if constexpr (is_private<Privacy>) privacy.compare(driver.numbers);
  driver.numbers.add(of_clients<Optimizer>{given.optimizer, given.training.groups});
  driver.numbers.add(given.how);
  driver.numbers.add(all_clients);
  const auto bind = [&, &sync = given.sync, model = given.parameters](const training_options& with,
                                                                     const std::string& wrong_groups) {
    if (driver.wrong.empty()) driver.wrong = wrong_groups;
    return detail::bound_trainer(mean_of_ranks{parts.comm, parts.topology, detail::default_part<weighted_mean>,
                                               parts.codec, detail::plain_options(parts.how)},
                                 sync, model, sync.outer, with, std::move(driver));
  };
  std::size_t n = 0;
  for (const auto& p : given.parameters) n += p.values.size();
  auto meeting = detail::meeting_for<T>(parts, accumulator, privacy, n, all_clients, facts);
  auto kept = detail::corrections_for<T>(parts, given);
  using rounds = federated_rounds<T, trainer<T, outer>, Sync, Population, Optimizer, is_weighted<Reducer>,
                                  decltype(meeting), decltype(kept)>;
  return rounds{std::make_unique<control_on<Comm>>(parts.comm, parts.how), std::move(given), bind, std::move(meeting),
                std::move(kept)};
}

} // namespace tutti::detail
