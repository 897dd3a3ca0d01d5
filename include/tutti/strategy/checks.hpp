// Which parts go together in a strategy; every "no" is one sentence.
#pragma once

#include <tutti/codecs/identity.hpp>
#include <tutti/collectives/checks.hpp>
#include <tutti/communicators/communicator.hpp>
#include <tutti/core/determinism.hpp>
#include <tutti/core/float16.hpp>
#include <tutti/federated/accumulator.hpp>
#include <tutti/federated/corrections.hpp>
#include <tutti/federated/population.hpp>
#include <tutti/optimizers/muon.hpp>
#include <tutti/optimizers/optimizer.hpp>
#include <tutti/reducers/elementary.hpp>
#include <tutti/sync/closing_rule.hpp>
#include <tutti/sync/sync_policy.hpp>
#include <tutti/topologies/mixing.hpp>
#include <tutti/topologies/placement.hpp>

#include <algorithm>
#include <concepts>
#include <type_traits>

namespace tutti::detail {

/// What a policy, a reducer and a topology promise together: the least of the three. A topology that
/// says nothing takes nothing away; one that chooses by what it has measured does.
template <class Topology>
inline constexpr determinism topology_repeats = determinism::rank_count_invariant;
template <class Topology>
  requires requires { Topology::repeats; }
inline constexpr determinism topology_repeats<Topology> = Topology::repeats;

template <class Sync, class Reducer, class Topology>
inline constexpr determinism joint_determinism =
    (std::min)((std::min)(policy_repeats<Sync>, repeats_of<Reducer>), topology_repeats<Topology>);

template <class Topology>
inline constexpr bool is_schedule =
    schedule_topology<Topology> || chooses<Topology>;

/// Facts over float, the element that every reducer of real numbers takes; then sentences about them.
template <class Comm, class Topology, class Reducer, class Codec, class Sync>
struct strategy_checks {
  static constexpr bool by_servers = carrier_of<Sync> == carried_by::placement;
  static constexpr bool by_schedule = carrier_of<Sync> == carried_by::schedule;
  static constexpr bool by_mixing = carrier_of<Sync> == carried_by::mixing;
  static constexpr bool by_pairs = carrier_of<Sync> == carried_by::pairs;
  static constexpr bool by_graph = by_mixing || by_pairs;
  using coded_by = codec_of_tensors_t<Codec>; // of tensors that are not exempt
  static constexpr bool exempts_by_schedule = !exempts_tensors<Codec> || (by_schedule && !over_population<Sync>);
  static constexpr bool prices_by_schedule = !chooses_parts<Codec> || (by_schedule && !over_population<Sync>);
  static constexpr bool exempts_of_one_range =
      !exempts_tensors<Codec> || !exempts_by_schedule ||
      (!agreeing_reducer<Reducer> && (contribution_of<Sync> == contributes::gradient || !has_owners<Sync>));
  static constexpr bool communicates = communicator<Comm>;
  static constexpr bool has_placement = !by_servers || placement_topology<Topology>;
  static constexpr bool has_schedule = !by_schedule || is_schedule<Topology>;
  static constexpr bool has_graph = !by_graph || mixing_topology<Topology>;
  static constexpr bool mixes_replicas = !by_mixing || (contribution_of<Sync> != contributes::gradient &&
                                                       !over_population<Sync> && !has_owners<Sync>);
  static constexpr bool mixes_by_graph = !by_graph || std::is_same_v<Reducer, mean>;
  static constexpr bool pairs_replicas =
      !by_pairs || (contribution_of<Sync> == contributes::gradient && !over_population<Sync> && !has_owners<Sync> &&
                    std::is_same_v<Codec, identity>);
  static constexpr bool mixes_nothing = by_mixing || !names_what_mixes<Sync>;
  static constexpr bool mixes_what_it_says =
      !by_mixing || (contribution_of<Sync> == contributes::parameters
                        ? !names_pull<Sync>
                        : !offers_first_of<Sync> && !has_ratios<Sync> && !tracks_gradients<Sync>);
  static constexpr bool serves_gradients =
      !by_servers || contribution_of<Sync> == contributes::gradient;
  static constexpr bool local = contribution_of<Sync> != contributes::gradient;
  static constexpr bool reads_periods =
      (local && !over_population<Sync>) ||
      !(names_period<Sync> || names_fragments<Sync> || names_delay<Sync> || names_keep<Sync>);
  static constexpr bool steps_outside =
      contribution_of<Sync> == contributes::difference || over_population<Sync> || !names_outer<Sync>;
  static constexpr bool averages_parameters = contribution_of<Sync> != contributes::parameters ||
                                              !std::derived_from<Reducer, sum> ||
                                              std::derived_from<Reducer, mean>;
  static constexpr bool runs_rounds =
      !over_population<Sync> || requires(const Sync s) {
        { s.epochs } -> std::convertible_to<int>;
        { s.cohort(1) } -> std::convertible_to<int>;
      };
  static constexpr bool has_outer = (contribution_of<Sync> != contributes::difference && !over_population<Sync>) ||
                                    requires(const Sync s) {
                                      requires optimizer<std::remove_cvref_t<decltype(s.outer)>, float>;
                                      requires !takes_matrices<std::remove_cvref_t<decltype(s.outer)>>;
                                      requires !offers_another<std::remove_cvref_t<decltype(s.outer)>>;
                                    };
  static constexpr bool pairwise_at_server = !by_servers || !needs_every_contribution<Reducer, float>;
  static constexpr bool unweighted_at_server = !by_servers || !is_weighted<Reducer> || pushes_together<Sync>;
  static constexpr bool closes = !names_closing<Sync> || closes_steps<Sync>;
  static constexpr bool closes_at_servers = by_servers || !names_closing<Sync>;
  static constexpr bool adds_at_server = !by_servers || !unweighted_at_server || !pairwise_at_server ||
                                         std::derived_from<Reducer, sum>;
  static constexpr bool by_stages = staged_codec<Codec, float>;
  static constexpr bool encodes = codec_of<coded_by, float> || by_stages;
  static constexpr bool adds_in_stages = !by_stages || std::derived_from<Reducer, sum>;
  static constexpr bool follows_alike = !detail::follows<coded_by> || (std::derived_from<Reducer, sum> && !is_weighted<Reducer>);
  static constexpr bool keeps_memory =
      !encodes || stateless_codec_of<coded_by, float> || (by_schedule && !over_population<Sync>);
  static constexpr bool remembers_differences = !encodes || !keeps_memory || stateless_codec_of<coded_by, float> ||
                                                contribution_of<Sync> != contributes::parameters;
  static constexpr bool moves_gradients = !detail::keeps_momentum<coded_by> || !keeps_memory || !remembers_differences ||
                                          contribution_of<Sync> == contributes::gradient;
  static constexpr bool moves_all = !detail::keeps_momentum<coded_by> || (!exempts_tensors<Codec> && !chooses_parts<Codec>);
  /// Servers answer with them, and a policy that pulls towards those of its neighbours sends them beside differences.
  static constexpr bool sends_parameters = by_servers || by_mixing || contribution_of<Sync> == contributes::parameters;
  static constexpr bool keeps_parameters = !encodes || !sends_parameters || kind_of<coded_by> != codec_kind::opaque ||
                                           !exempts_by_schedule || !prices_by_schedule ||
                                           !stateless_codec_of<coded_by, float> || is_biased<coded_by>;
  static constexpr bool unbiased = !encodes || !is_biased<coded_by>;
  static constexpr bool averages_clients =
      !over_population<Sync> || std::derived_from<Reducer, mean> || needs_every_contribution<Reducer, float>;
  static constexpr bool reaches_all = !by_schedule || has_owners<Sync> || !is_schedule<Topology> ||
                                      carries_or_default<Topology>(collective::all_reduce);
  static constexpr bool scatters = !by_schedule || !has_owners<Sync> || !is_schedule<Topology> ||
                                   (carries_or_default<Topology>(collective::reduce_scatter) &&
                                    carries_or_default<Topology>(collective::all_gather));
  static constexpr bool meets = !by_schedule || !is_schedule<Topology> ||
                                !needs_every_contribution<Reducer, float> ||
                                gathers_or_default<Topology>();
  static constexpr bool decodes = kind_of<Codec> != codec_kind::opaque || !is_schedule<Topology> ||
                                  gathers_or_default<Topology>();
  static constexpr bool value = communicates && has_placement && has_schedule && has_graph && mixes_replicas &&
                                mixes_by_graph && pairs_replicas && mixes_nothing && mixes_what_it_says && serves_gradients &&
                                reads_periods && steps_outside && averages_parameters &&
                                closes && closes_at_servers && runs_rounds && has_outer && pairwise_at_server && unweighted_at_server &&
                                adds_at_server && averages_clients && exempts_by_schedule && prices_by_schedule &&
                                exempts_of_one_range &&
                                encodes && adds_in_stages && follows_alike && keeps_memory &&
                                remembers_differences && moves_gradients && moves_all &&
                                keeps_parameters && unbiased &&
                                reaches_all && scatters && meets && decodes;
};
template <class Comm, class Topology, class Reducer, class Codec, class Sync>
struct strategy_sentences {
  using facts = strategy_checks<Comm, Topology, Reducer, Codec, Sync>;
  static_assert(facts::communicates, "tutti::strategy: this is no communicator - it needs rank, "
                                     "size, exchange, progress, idle, revoke and in_flight, see "
                                     "tutti/communicators/communicator.hpp");
  static_assert(facts::has_placement, "tutti::strategy: this sync policy needs servers that own key "
                                      "ranges, and this topology has none - use tutti::star");
  static_assert(facts::has_schedule, "tutti::strategy: this sync policy reduces over a schedule, "
                                     "and this topology has none - use tutti::ring, tutti::direct "
                                     "or another schedule");
  static_assert(facts::has_graph, "tutti::strategy: this sync policy averages along a graph, and this topology "
                                  "is none - use tutti::one_peer_exponential, tutti::ring_graph or another of "
                                  "tutti/topologies/graphs.hpp");
  static_assert(facts::mixes_replicas, "tutti::strategy: along a graph the replicas of all ranks are averaged - "
                                       "contribute tutti::contributes::parameters or difference, and leave owners "
                                       "and populations out of the sync policy");
  static_assert(facts::mixes_by_graph, "tutti::strategy: a graph has weights of its own - leave the reducer out");
  static_assert(facts::pairs_replicas, "tutti::strategy: pairs average replicas that apply gradients of their own - leave "
                                       "contribution, owners, populations and codecs out");
  static_assert(facts::mixes_nothing, "tutti::strategy: offers_first, ratios, tracks and pull are answers about a "
                                      "graph, and none carries this sync policy - leave them out, or say carrier = "
                                      "tutti::carried_by::mixing");
  static_assert(facts::mixes_what_it_says, "tutti::strategy: offers_first, ratios and tracks are about parameters, and "
                                           "pull is about differences - leave out of the sync policy what it does "
                                           "not contribute");
  static_assert(facts::serves_gradients, "tutti::strategy: servers apply gradients as they come, and this "
                                         "sync policy contributes something else - use "
                                         "tutti::asynchronous, or a schedule");
  static_assert(facts::reads_periods, "tutti::strategy: gradients are contributed in every step, and rounds "
                                      "over a population agree in every round - leave period, fragments, "
                                      "delay and keep out of the sync policy, or contribute "
                                      "tutti::contributes::difference");
  static_assert(facts::steps_outside, "tutti::strategy: outer steps are made with differences, and this sync "
                                      "policy contributes something else - leave its member outer out, or "
                                      "contribute tutti::contributes::difference");
  static_assert(facts::averages_parameters, "tutti::strategy: the sum of all ranks' parameters is no model - "
                                            "use tutti::mean");
  static_assert(facts::closes, "tutti::strategy: what closing(clocks) of this sync policy returns is no closing rule - "
                               "give it takes, closes, lets_go and ends, see tutti/sync/closing_rule.hpp");
  static_assert(facts::closes_at_servers, "tutti::strategy: this sync policy says by closing() when a step at a server "
                                          "closes, and is not carried by servers - leave closing out, or say carrier = "
                                          "tutti::carried_by::placement");
  static_assert(facts::runs_rounds, "tutti::strategy: rounds over a population ask the sync policy for "
                                    "epochs and cohort(clients) - see "
                                    "tutti/sync/federated.hpp");
  static_assert(facts::has_outer, "tutti::strategy: a sync policy that contributes differences, or runs "
                                  "rounds over a population, makes a common step with them - give it an "
                                  "elementwise optimizer as its member outer");
  static_assert(facts::pairwise_at_server, "tutti::strategy: this reducer needs every "
                                           "contribution, and servers add up those that come "
                                           "- use tutti::synchronous, or tutti::mean");
  static_assert(facts::unweighted_at_server, "tutti::strategy: a weighted mean needs the weights "
                                             "of all contributions, and asynchronous servers see "
                                             "one at a time - use tutti::mean");
  static_assert(facts::adds_at_server, "tutti::strategy: servers add up what arrives, "
                                       "and this reducer does not add - use tutti::mean or "
                                       "tutti::sum");
  static_assert(facts::exempts_by_schedule, "tutti::strategy: exempt picks tensors of a model whose contributions are reduced "
                                            "over a schedule - use tutti::synchronous, tutti::local_sgd or tutti::diloco, or "
                                            "give the codec without exempt");
  static_assert(facts::prices_by_schedule, "tutti::strategy: where_it_pays chooses among parts of a model that are reduced "
                                           "over a schedule - use tutti::synchronous or tutti::diloco, or give the codec "
                                           "without where_it_pays");
  static_assert(facts::exempts_of_one_range, "tutti::strategy: exempt sends a contribution in two, and this reducer, or owners of "
                                             "differences, take it as one - use tutti::mean, and no owners, or give the codec "
                                             "without exempt");
  static_assert(facts::encodes, "tutti::strategy: this codec cannot encode the parameters - see "
                                "tutti/codecs/codec.hpp");
  static_assert(facts::adds_in_stages, "tutti::strategy: what this codec sends in stages is added up, and this reducer does "
                                       "not add - use tutti::mean or tutti::sum");
  static_assert(facts::follows_alike, "tutti::strategy: this codec sends how far contributions have moved, which are added "
                                      "up, each counting the same in every exchange - use tutti::mean or tutti::sum, "
                                      "or tutti::error_feedback");
  static_assert(facts::keeps_memory, "tutti::strategy: this codec remembers what it left out, and only trainers over a "
                                     "schedule keep a codec's memory - use tutti::synchronous, tutti::local_sgd or "
                                     "tutti::diloco, or a codec without error feedback");
  static_assert(facts::remembers_differences,
                "tutti::strategy: this codec sends later what it left out, and parameters are sent anew each time - "
                "contribute tutti::contributes::difference, as tutti::diloco does, or drop the error feedback");
  static_assert(facts::moves_gradients,
                "tutti::strategy: dgc keeps the momentum of gradients, and this sync policy contributes something else - use "
                "tutti::synchronous or tutti::sharded, or tutti::error_feedback");
  static_assert(facts::moves_all,
                "tutti::strategy: dgc keeps the momentum of what it encodes, and what is exempt from it or travels without it "
                "would have none - give it without exempt and where_it_pays");
  static_assert(facts::keeps_parameters,
                "tutti::strategy: parameters themselves travel here, and this codec would change those on which all "
                "agree - use tutti::cast, or reduce gradients or tutti::contributes::difference over a schedule");
  static_assert(facts::unbiased, "tutti::strategy: this codec is biased, and what it leaves out never arrives - use "
                                 "tutti::error_feedback{codec}, or tutti::unsafe_biased{codec} if you know what is lost");
  static_assert(facts::averages_clients, "tutti::strategy: federated rounds average the clients of "
                                         "each rank before they travel, or compare all of them - use tutti::mean, "
                                         "tutti::weighted_mean or a rule such as tutti::median");
  static_assert(facts::reaches_all, "tutti::strategy: every rank needs the result, and this "
                                    "topology does not carry all_reduce - use tutti::ring or "
                                    "tutti::direct");
  static_assert(facts::scatters, "tutti::strategy: a sharded optimizer needs reduce_scatter and "
                                 "all_gather, and this topology does not carry them - use "
                                 "tutti::ring, tutti::halving_doubling or tutti::direct");
  static_assert(facts::meets, "tutti::strategy: this reducer needs every contribution, and this "
                              "topology folds them pairwise - use tutti::star or tutti::direct");
  static_assert(facts::decodes, "tutti::strategy: what this codec writes can only be decoded where "
                                "all of it meets, and this topology combines on the way - use "
                                "tutti::star or tutti::direct");
};

/// How what clients send is added up, and what is added.
template <class Accumulator, class Reducer, class Sync>
struct accumulator_checks {
  static constexpr bool given = !std::is_same_v<Accumulator, as_reduced>;
  static constexpr bool has_clients = !given || over_population<Sync>;
  static constexpr bool sees_each = !has_clients || Accumulator::sees_each || !needs_every_contribution<Reducer, float>;
  static constexpr bool adds_integers = !has_clients || !sees_each || !Accumulator::in_integers ||
                                        repeats_of<Reducer> == determinism::rank_count_invariant;
  static constexpr bool adds_all_there = !has_clients || !given || keeps_of<Sync> != client_keeps::variates;
  static constexpr bool value = has_clients && sees_each && adds_integers && adds_all_there;
};
template <class Accumulator, class Reducer, class Sync>
struct accumulator_sentences {
  using facts = accumulator_checks<Accumulator, Reducer, Sync>;
  static_assert(facts::has_clients, "tutti::strategy: an accumulator adds up what clients send, and this sync policy "
                                    "has none - use tutti::federated, or leave the accumulator out");
  static_assert(facts::sees_each, "tutti::strategy: this reducer compares what clients send, and a secure sum shows "
                                  "what none of them has sent - use tutti::reproducible_weighted_mean, or leave the "
                                  "secure sum out");
  static_assert(facts::adds_integers, "tutti::strategy: masks cancel in sums of integers alone, and this reducer adds "
                                      "numbers that are rounded - use tutti::reproducible_mean or "
                                      "tutti::reproducible_weighted_mean");
  static_assert(facts::adds_all_there, "tutti::strategy: the variates of tutti::scaffold would be added up in the open "
                                       "beside the accumulator - use tutti::federated, or leave the accumulator out");
};

/// What bind() asks of a model and its optimizer. `Value` is what the tensors hold, const or not; `Given` is the memory
/// that they are in, `Space` the one that bind is told.
template <class Sync, class Reducer, class Codec, class Value, class Optimizer, class Given, class Space>
struct bind_checks {
  static constexpr bool placed = std::is_same_v<Given, Space>;
  using V = std::remove_const_t<Value>;
  static constexpr bool real = std::is_same_v<V, float> || std::is_same_v<V, double> ||
                               std::is_same_v<V, bfloat16> || std::is_same_v<V, half>;
  using T = std::conditional_t<std::is_same_v<V, double>, double, float>;
  static constexpr bool writable = !std::is_const_v<Value>;
  static constexpr bool optimizes = !real || optimizer<Optimizer, T>;
  static constexpr bool looped = !over_population<Sync>;
  static constexpr bool whole = !takes_matrices<Optimizer> ||
                                (!has_owners<Sync> && carrier_of<Sync> != carried_by::placement &&
                                 carrier_of<Sync> != carried_by::pairs);
  static constexpr bool within_reach = !takes_matrices<Optimizer> || std::is_same_v<Space, host_memory>;
  static constexpr bool moves_once = !optimizes || !looped || !keeps_momentum<codec_of_tensors_t<Codec>> || [] {
    if constexpr (optimizes && real)
      return slots_of<Optimizer> == 0 || (requires(const Optimizer o) { o.momentum; } && !takes_matrices<Optimizer>);
    return true;
  }();
  static constexpr bool offers_whole =
      !offers_another<Optimizer> || !looped ||
      (contribution_of<Sync> == contributes::gradient && carrier_of<Sync> == carried_by::schedule && !has_owners<Sync> &&
       (std::derived_from<Reducer, mean> || !std::derived_from<Reducer, sum>) && !staged_codec<Codec, float> &&
       std::is_same_v<Space, host_memory>);
  static constexpr bool value =
      placed && real && writable && optimizes && looped && whole && within_reach && moves_once && offers_whole;
};
template <class Facts>
struct bind_sentences {
  static_assert(Facts::placed, "tutti::strategy::bind: parameters are in another memory than bind is told - give the "
                               "memory that they are in last, such as tutti::cuda::device_memory{stream}, and nothing "
                               "where that is the host's");
  static_assert(Facts::real, "tutti::strategy::bind: parameters must be float, double, or bfloat16 or half "
                             "with masters in float - keep a float copy of others");
  static_assert(Facts::writable, "tutti::strategy::bind: every step changes the parameters, and "
                                 "these are const - give values that may be written");
  static_assert(Facts::optimizes, "tutti::strategy::bind: this is no optimizer - give tutti::sgd, "
                                  "tutti::adam or a type with slots and at, see "
                                  "tutti/optimizers/optimizer.hpp");
  static_assert(Facts::looped, "tutti::strategy::bind: a federated strategy owns its loop - call "
                               "run() with a population");
  static_assert(Facts::whole, "tutti::strategy::bind: this optimizer takes whole matrices, and owners and servers of this "
                              "sync policy have pieces of them - use tutti::synchronous, which shares the matrices out, "
                              "or a policy whose ranks keep the whole model");
  static_assert(Facts::within_reach, "tutti::strategy::bind: this optimizer multiplies whole matrices on the host, and "
                                     "parameters are in another memory - use an elementwise optimizer, such as "
                                     "tutti::adamw");
  static_assert(Facts::moves_once, "tutti::strategy::bind: this optimizer keeps moments of gradients, and those that arrive "
                                   "through dgc have gone through its momentum already - use tutti::sgd without momentum, "
                                   "or tutti::error_feedback in place of dgc");
  static_assert(Facts::offers_whole, "tutti::strategy::bind: for this optimizer its momentum is exchanged, which every rank "
                                     "keeps whole in the host's memory, and is the mean of what ranks offer, in one stage - use "
                                     "tutti::synchronous and tutti::mean, or tutti::adamw");
};

/// What rounds() asks of a model, a population and the optimizer by which its clients descend.
template <class Sync, class T, class Optimizer, class Population>
struct rounds_checks {
  static constexpr bool federates = over_population<Sync>;
  static constexpr bool real = std::is_same_v<T, float> || std::is_same_v<T, double>;
  static constexpr bool descends = !real || (optimizer<Optimizer, T> && !takes_matrices<Optimizer> && !offers_another<Optimizer>);
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
  static_assert(facts::descends, "tutti::strategy::run: this is no elementwise optimizer - give one of tutti/optimizers, "
                                 "or leave it out where clients descend by themselves");
  static_assert(facts::fits, "tutti::strategy::run: this is no population - it needs clients(), "
                             "examples(client) and train(client, local, random), which returns nothing or a "
                             "tutti::trained, local being a local_training of this element and this optimizer");
};

} // namespace tutti::detail
