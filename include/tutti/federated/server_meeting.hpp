// What may be said of a round_server: its options, how answers become one, and what of that cannot be.
#pragma once

#include <tutti/core/element.hpp>
#include <tutti/core/part.hpp>
#include <tutti/federated/calling.hpp>
#include <tutti/federated/meetings.hpp>
#include <tutti/federated/rounds_plan.hpp>
#include <tutti/reducers/reducer.hpp>
#include <tutti/sync/correcting.hpp>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>

namespace tutti {

/// What a round_server is told beside its policy.
struct serving_options {
  std::uint64_t seed = 1; ///< names every draw of the run
  int buffer = 0;         ///< answers to a step, from whoever is ready; 0 for rounds of a cohort
  double staleness = 0.5; ///< the exponent of (1 + tau)^-staleness
  int clients = 1;        ///< who have to be there before a round begins
  /// How many there are in all, numbered from 0: others do not enter. 0 for any; a privacy plan draws from as many.
  int population = 0;
};

namespace detail {

/// Facts, then sentences about them: `By` is a privacy_plan or a reducer.
template <class Sync, class By>
struct serving_checks {
  static constexpr bool draws = draws_a_cohort<Sync>;
  static constexpr bool in_one_step = !part_is<By, accumulator_part>;
  static constexpr bool is_private = part_is<By, privacy_part>;
  static constexpr bool says_how = !in_one_step || is_private || part_is<By, reducer_part>;
  static constexpr bool compares = [] {
    if constexpr (part_is<By, reducer_part>) return needs_every_contribution<By, float>;
    return false;
  }();
  static constexpr bool in_any_order = [] {
    if constexpr (part_is<By, reducer_part>)
      return compares || repeats_of<By> == determinism::rank_count_invariant;
    return true;
  }();
};
template <class Sync, class By>
struct serving_sentences {
  using facts = serving_checks<Sync, By>;
  static_assert(facts::draws, "tutti::round_server: clients come and go, and this sampler of the sync policy draws "
                              "from a population - draw by fraction, or give a privacy plan, which says who is drawn");
  static_assert(facts::in_one_step, "tutti::round_server: a secure sum asks each client four times in a round, and a "
                                    "round_client answers once - run tutti::strategy::rounds, or leave it out");
  static_assert(facts::says_how, "tutti::round_server: this does not say how answers become one - give a reducer or a "
                                 "privacy plan");
  static_assert(facts::in_any_order, "tutti::round_server: with this reducer bits depend on who answers first - use "
                                     "tutti::reproducible_weighted_mean, tutti::reproducible_mean or a rule that "
                                     "compares clients");
};

/// Of n values; differences are clipped to `clip`, 0 for any, and `clients` are all that a privacy plan draws from. The
/// rule outlives it.
template <class T, class By>
auto meeting_at_server(const By& by, std::size_t n, double clip, int clients) {
  if constexpr (part_is<By, privacy_part>) {
    return by.template meeting<T>(n, clients, [](std::span<std::int64_t>) {});
  } else if constexpr (needs_every_contribution<By, T>) {
    auto gather = [](std::span<const T> mine, std::span<T> all) { std::copy(mine.begin(), mine.end(), all.begin()); };
    return meeting_of_rows<T, By, decltype(gather)>{n, clip, by, gather};
  } else {
    auto reduce = [](const auto&) {};
    return meeting_of_sums<T, decltype(reduce)>{n, clip, reduce};
  }
}

/// Whether a round is over when all who were asked have answered, and not before.
template <class Sync>
bool waits_for_all(const Sync& sync, const serving_options& how) {
  const attendance stands = detail::attendance_of(sync);
  return how.buffer == 0 && stands.deadline == 0 && stands.over_select == 1;
}

/// What is wrong with the numbers of a server on that rank; empty when nothing is.
template <class Sync, class By>
std::string wrong_serving(int rank, const Sync& sync, const By& by, const serving_options& how) {
  using facts = serving_checks<Sync, By>;
  if (rank != 0) return "the server of rounds is rank 0 - make a round_client on the others";
  if (std::string wrong = detail::wrong_policy(sync); !wrong.empty()) return wrong;
  if (detail::normalizes(sync) || detail::fairness_of(sync) > 0)
    return "a round_server averages differences as they come - leave normalized and q out, or run rounds over a "
           "population";
  if (keeps_of<Sync> == client_keeps::duals && detail::proximal_of(sync) == 0)
    return "fed_dyn has no alpha - give it as proximal";
  if (keeps_of<Sync> != client_keeps::nothing && how.buffer > 0)
    return "what clients keep is of rounds of a cohort, and a buffer takes whoever is ready - leave one of them out";
  if (keeps_of<Sync> != client_keeps::nothing && how.population <= 0)
    return "corrections of clients count who took part among all that there are - give serving_options::population";
  if (keeps_of<Sync> == client_keeps::variates && facts::is_private)
    return "SCAFFOLD's variates leave clients beside what a privacy plan hides - leave one of them out";
  if (how.buffer < 0) return "the buffer of a round_server is negative - give how many answers make a step";
  if (how.buffer > 0 && facts::is_private)
    return "a buffer takes whoever is ready, and a privacy plan accounts for who is drawn - leave one of them out";
  if (how.buffer > 0 && facts::compares)
    return "a rule that compares clients is given a cohort - leave buffer out, or give a mean";
  if (!(how.staleness >= 0) || !is_finite(how.staleness))
    return "staleness of a round_server is negative or not finite - give the exponent, .5 or 0";
  if (how.clients < 1) return "a round_server waits for less than one client - give how many have to be there";
  if (how.population < 0 || (facts::is_private && how.population == 0))
    return "the population of a round_server is negative, or none where a privacy plan draws from it - give how many "
           "clients there are";
  if constexpr (facts::is_private)
    return detail::wrong_privacy(by, sync, how.population);
  else
    return detail::wrong_rule(by);
}

} // namespace detail
} // namespace tutti
