// Which parts go together in a strategy; every "no" is one sentence.
#pragma once

#include <tutti/collectives/checks.hpp>
#include <tutti/communicators/communicator.hpp>
#include <tutti/core/determinism.hpp>
#include <tutti/reducers/elementary.hpp>
#include <tutti/sync/sync_policy.hpp>
#include <tutti/topologies/placement.hpp>

namespace tutti::detail {

template <class Sync>
inline constexpr bool over_population = false;
template <class Sync>
  requires requires { Sync::over_population; }
inline constexpr bool over_population<Sync> = Sync::over_population;

template <class Topology>
inline constexpr bool is_schedule =
    schedule_topology<Topology> || std::is_same_v<Topology, default_topology>;

/// Checked over float, the element that every reducer of real numbers takes.
template <class Comm, class Topology, class Reducer, class Codec, class Sync>
struct strategy_checks {
  static_assert(sync_policy<Sync>, "tutti::strategy: this sync policy does not answer all eight "
                                   "questions - derive from tutti::sync_defaults and override");

  static constexpr bool has_placement =
      Sync::carrier != carried_by::placement || placement_topology<Topology>;
  static_assert(has_placement, "tutti::strategy: asynchronous needs servers that own key ranges, and "
                               "this topology has none - use tutti::star");

  static constexpr bool has_schedule = Sync::carrier != carried_by::schedule || is_schedule<Topology>;
  static_assert(has_schedule, "tutti::strategy: this sync policy reduces over a schedule, and this "
                              "topology has none - use tutti::ring, tutti::direct or another schedule");

  static constexpr bool selects =
      Sync::carrier != carried_by::placement || selective_communicator<Comm>;
  static_assert(selects, "tutti::strategy: asynchronous servers answer whoever is ready, and this "
                         "communicator cannot tell who is - use tutti::threads or tutti::mpi");

  static constexpr bool pairwise_at_server =
      Sync::carrier != carried_by::placement || !needs_every_contribution<Reducer, float>;
  static_assert(pairwise_at_server,
                "tutti::strategy: this reducer needs every contribution, and asynchronous servers "
                "apply each as it arrives - use tutti::synchronous, or tutti::mean");

  static constexpr bool unweighted_at_server =
      Sync::carrier != carried_by::placement || !is_weighted<Reducer>;
  static_assert(unweighted_at_server,
                "tutti::strategy: a weighted mean needs the weights of all contributions, and "
                "asynchronous servers see one at a time - use tutti::mean");

  static constexpr bool averages_clients =
      !over_population<Sync> || std::derived_from<Reducer, mean>;
  static_assert(averages_clients,
                "tutti::strategy: federated rounds average the clients of each rank before they "
                "travel - use tutti::mean or tutti::weighted_mean");

  static constexpr bool reaches_all =
      Sync::carrier != carried_by::schedule || Sync::update != updates_at::replica ||
      !is_schedule<Topology> || carries_or_default<Topology>(collective::all_reduce);
  static_assert(reaches_all, "tutti::strategy: every rank needs the result, and this topology does not "
                             "carry all_reduce - use tutti::ring or tutti::direct");

  static constexpr bool scatters =
      Sync::carrier != carried_by::schedule || Sync::update != updates_at::owner ||
      !is_schedule<Topology> ||
      (carries_or_default<Topology>(collective::reduce_scatter) &&
       carries_or_default<Topology>(collective::all_gather));
  static_assert(scatters, "tutti::strategy: a sharded optimizer needs reduce_scatter and all_gather, "
                          "and this topology does not carry them - use tutti::ring, "
                          "tutti::halving_doubling or tutti::direct");

  static constexpr bool meets = Sync::carrier != carried_by::schedule || !is_schedule<Topology> ||
                                !needs_every_contribution<Reducer, float> ||
                                gathers_or_default<Topology>();
  static_assert(meets, "tutti::strategy: this reducer needs every contribution, and this topology folds "
                       "them pairwise - use tutti::star or tutti::direct");

  static constexpr bool decodes = Codec::kind != codec_kind::opaque || !is_schedule<Topology> ||
                                  gathers_or_default<Topology>();
  static_assert(decodes, "tutti::strategy: what this codec writes can only be decoded where all of it "
                         "meets, and this topology combines on the way - use tutti::star or "
                         "tutti::direct");

  static constexpr bool value = has_placement && has_schedule && selects && pairwise_at_server &&
                                unweighted_at_server && averages_clients && reaches_all &&
                                scatters && meets && decodes;
};

} // namespace tutti::detail
