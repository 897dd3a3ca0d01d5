// strategy: a communicator, a topology, a reducer, a codec and a sync policy, put together.
//
//   tutti::strategy{world, tutti::ring{}, tutti::mean{}, tutti::synchronous{}}
//
// Parts are given in any order. A communicator is required; the others default to
//   topology   default_topology; star when the sync policy is carried by servers; the graph that a policy names
//   reducer    mean; weighted_mean over a population, and where the sync policy weighs pushes;
//              reproducible_weighted_mean where clients are added up in integers
//   codec      identity; the one that a policy names
//   sync       synchronous
//   accumulator as_reduced: how clients are added up is the reducer's affair (federated/accumulator.hpp)
//   options    options{}, and training_options{}
// and without a privacy_plan (federated/privacy/plan.hpp) federated rounds are not private.
// A communicator given as an lvalue is referred to and must outlive the strategy; everything else is
// owned. `at_least<determinism::run_to_run>{}` among the parts asks for a level of determinism. What
// cannot work does not compile, and one sentence says why.
#pragma once

#include <tutti/core/exact_arithmetic.hpp>
#include <tutti/strategy/checks.hpp>
#include <tutti/strategy/bound.hpp>
#include <tutti/strategy/bound_rounds.hpp>
#include <tutti/sync/asynchronous.hpp>
#include <tutti/sync/backup_workers.hpp>
#include <tutti/sync/correcting.hpp>
#include <tutti/sync/diloco.hpp>
#include <tutti/sync/federated.hpp>
#include <tutti/sync/gossip.hpp>
#include <tutti/sync/local_sgd.hpp>
#include <tutti/sync/no_loco.hpp>
#include <tutti/sync/pairwise.hpp>
#include <tutti/sync/post_local_sgd.hpp>
#include <tutti/sync/quorum.hpp>
#include <tutti/sync/sparse_loco.hpp>
#include <tutti/sync/synchronous.hpp>

#include <concepts>
#include <tuple>
#include <type_traits>
#include <utility>

namespace tutti {

namespace detail {

struct no_communicator {};

/// A part as the strategy holds it: communicators given as lvalues by reference, all else by value.
template <class Part>
using held_part =
    std::conditional_t<part_is<Part, communicator_part>, Part, std::remove_cvref_t<Part>>;

/// What a policy is carried over where no topology is given.
template <class Sync>
struct default_topology_of
    : std::type_identity<std::conditional_t<carrier_of<Sync> == carried_by::placement, star, default_topology>> {};
template <class Sync>
  requires requires { typename Sync::default_topology; }
struct default_topology_of<Sync> : std::type_identity<typename Sync::default_topology> {};

/// What is sent under a policy where no codec is given.
template <class Sync>
inline constexpr const auto& default_codec_of = default_part<identity>;
template <class Sync>
  requires requires { Sync::default_codec; }
inline constexpr const auto& default_codec_of<Sync> = Sync::default_codec;

template <class Comm, class Sync, class... Parts>
struct strategy_parts_sentences {
  static_assert(count_parts<memory_part, Parts...> == 0,
                "tutti::strategy: a trainer keeps the memory of its codec - leave tutti::codec_memory out");
  static_assert(!std::is_same_v<Comm, no_communicator>,
                "tutti::strategy: there is no communicator - give tutti::mpi::world(), the "
                "communicator of tutti::threads::run, or tutti::self{}");
  static_assert(std::copy_constructible<Sync>, "tutti::strategy: a sync policy is a value that can be "
                                               "copied - hold what cannot by reference");
  static_assert(sync_policy<Sync> || !std::copy_constructible<Sync>,
                "tutti::strategy: an answer of this sync policy has another type than the one that it is "
                "read as, and would count for nothing - give whole numbers as period (or a function of the "
                "step), fragments, delay and staleness, see tutti/sync/sync_policy.hpp");
};

/// What a privacy plan stands for itself.
template <class Sync, class... Parts>
struct privacy_beside_sentences {
  static constexpr bool draws = [] {
    if constexpr (requires(const Sync s) { s.sampler; }) return !std::is_same_v<decltype(Sync::sampler), by_fraction>;
    return false;
  }();
  static_assert(count_parts<privacy_part, Parts...> == 1, "tutti::strategy: two privacy plans were given - keep one");
  static_assert(over_population<Sync>, "tutti::strategy: a privacy plan is about the clients of federated rounds - add "
                                       "tutti::federated{}");
  static_assert(count_parts<reducer_part, Parts...> == 0,
                "tutti::strategy: a privacy plan says what a client weighs and how clients are added up - leave the "
                "reducer out");
  static_assert(count_parts<accumulator_part, Parts...> == 0,
                "tutti::strategy: a privacy plan adds clients up in a way of its own - leave the secure sum out");
  static_assert(!draws, "tutti::strategy: a privacy plan says who takes part - leave the sampler out of the sync policy");
  static_assert(keeps_of<Sync> == client_keeps::nothing,
                "tutti::strategy: what clients keep for their corrections is told without noise, and a privacy plan does "
                "not account for it - use tutti::federated");
};

/// The parts of a strategy, each as it was given or as its default.
template <class... Parts>
struct strategy_parts {
  using comm = part_type<communicator_part, no_communicator, Parts...>;
  using given_sync = std::remove_cvref_t<part_type<sync_part, synchronous, Parts...>>;
  using sync = std::conditional_t<sync_policy<given_sync>, given_sync, synchronous>;
  using privacy = std::remove_cvref_t<part_type<privacy_part, no_privacy, Parts...>>;
  using topology = std::remove_cvref_t<
      part_type<topology_part, typename default_topology_of<sync>::type, Parts...>>;
  using accumulator = std::remove_cvref_t<part_type<accumulator_part, as_reduced, Parts...>>;
  using mean_of_clients =
      std::conditional_t<accumulator::in_integers, reproducible_weighted_mean, weighted_mean>;
  using reducer = std::remove_cvref_t<
      part_type<reducer_part,
                std::conditional_t<is_private<privacy>, mean,
                                   std::conditional_t<over_population<sync> || weighs_pushes<sync>, mean_of_clients, mean>>,
                Parts...>>;
  using codec = std::remove_cvref_t<part_type<codec_part, decltype(default_codec_of<sync>), Parts...>>;
  template <template <class...> class About>
  using resolved = About<std::remove_cvref_t<comm>, topology, reducer, codec, sync>;

  static constexpr bool complete =
      !std::is_same_v<comm, no_communicator> && sync_policy<given_sync>;
  static constexpr bool valid = [] {
    if constexpr (complete)
      return resolved<strategy_checks>::value && accumulator_checks<accumulator, reducer, sync>::value;
    else
      return false;
  }();
  static constexpr void explain() {
    detail::explain<known_parts_sentences<Parts...>, strategy_parts_sentences<comm, given_sync, Parts...>>();
    if constexpr (is_private<privacy>) detail::explain<privacy_beside_sentences<sync, Parts...>>();
    if constexpr (complete)
      detail::explain<resolved<strategy_sentences>, accumulator_sentences<accumulator, reducer, sync>>();
  }
};

template <class Demand>
inline constexpr determinism demanded = determinism::none;
template <determinism Level>
inline constexpr determinism demanded<at_least<Level>> = Level;

} // namespace detail

template <class... Parts>
class strategy {
  using chosen = detail::strategy_parts<Parts...>;

public:
  using comm_type = std::remove_cvref_t<typename chosen::comm>;
  using topology_type = typename chosen::topology;
  using reducer_type = typename chosen::reducer;
  using codec_type = typename chosen::codec;
  using sync_type = typename chosen::sync;

  /// What the parameters' bits depend on: as much as sync policy, reducer and topology promise; with noise nothing.
  static constexpr tutti::determinism determinism =
      detail::is_private<typename chosen::privacy> ? tutti::determinism::none
                                                   : detail::joint_determinism<sync_type, reducer_type, topology_type>;
  static_assert(determinism >= detail::demanded<std::remove_cvref_t<
                                   detail::part_type<demand_part, void, Parts...>>>,
                "tutti::strategy: more determinism is asked for than these parts promise - "
                "run_to_run needs a policy that does not depend on the order of arrival, such as "
                "tutti::synchronous, and rank_count_invariant a reducer that promises it");

  /// Not collective; nothing is sent before bind() or run().
  explicit strategy(Parts... parts) : parts_{std::forward<Parts>(parts)...} {
    chosen::explain();
    detail::require_exact_arithmetic();
  }

  comm_type& comm() noexcept { return std::get<index_of<communicator_part>>(parts_); }
  const topology_type& topology() const { return part<topology_part, topology_type>(); }
  const reducer_type& reducer() const { return part<reducer_part, reducer_type>(); }
  const codec_type& codec() const {
    if constexpr (index_of<codec_part> < sizeof...(Parts))
      return part<codec_part, codec_type>();
    else
      return detail::default_codec_of<sync_type>;
  }
  const sync_type& sync() const { return part<sync_part, sync_type>(); }

  /// Binds a model: `parameters` are tensors (or plain values) that belong to the caller, `optimizer` is
  /// one of tutti/optimizers. Collective: all ranks bind the same names and shapes with the same numbers, or
  /// every rank throws `mismatch`; then rank 0's values are broadcast. The strategy and the values must
  /// outlive the trainer. Options given here take the place of the strategy's.
  template <class Parameters, class Optimizer>
  auto bind(Parameters&& parameters, Optimizer optimizer) & {
    return bind(parameters, std::move(optimizer), given_training(), given_options());
  }
  template <class Parameters, class Optimizer>
  auto bind(Parameters&& parameters, Optimizer optimizer, const training_options& training) & {
    return bind(parameters, std::move(optimizer), training, given_options());
  }
  template <class Parameters, class Optimizer>
  auto bind(Parameters&& parameters, Optimizer optimizer, const options& how) & {
    return bind(parameters, std::move(optimizer), given_training(), how);
  }
  template <class Parameters, class Optimizer>
  auto bind(Parameters&& parameters, Optimizer optimizer, const training_options& training,
            const options& how) & {
    return bind(parameters, std::move(optimizer), training, how, host_memory{});
  }
  /// The same of tensors in the memory `space`, and gradients there: cuda::device_memory.
  template <class Parameters, class Optimizer, memory_space Space>
  auto bind(Parameters&& parameters, Optimizer optimizer, const Space& space) & {
    return bind(parameters, std::move(optimizer), given_training(), given_options(), space);
  }
  template <class Parameters, class Optimizer, memory_space Space>
  auto bind(Parameters&& parameters, Optimizer optimizer, const training_options& training, const Space& space) & {
    return bind(parameters, std::move(optimizer), training, given_options(), space);
  }
  template <class Parameters, class Optimizer, memory_space Space>
  auto bind(Parameters&& parameters, Optimizer optimizer, const training_options& training, const options& how,
            const Space& space) & {
    using V = detail::tensor_value<Parameters>;
    using checks =
        detail::bind_checks<sync_type, reducer_type, codec_type, V, Optimizer, detail::tensor_space<Parameters>, Space>;
    detail::explain<detail::bind_sentences<checks>>();
    if constexpr (chosen::valid && checks::value)
      return detail::bound_trainer(resolve(how), sync(), detail::as_tensors(parameters), std::move(optimizer), training,
                                   {}, space);
    else
      return detail::unbound<Optimizer>{};
  }
  template <class Parameters, class Optimizer, class... More>
  detail::unbound<Optimizer> bind(Parameters&&, Optimizer, More&&...) && {
    static_assert(detail::always_false<Parameters>,
                  "tutti::strategy::bind: the trainer refers to its strategy, which must outlive it - "
                  "give the strategy a name");
    return {};
  }

  /// Federated rounds over a population, see federated/rounds.hpp; clients descend by `optimizer`. Collective.
  /// `parameters` are the initial values on rank 0, and after each round the same on every rank. They, the
  /// strategy and the population must outlive what is returned.
  template <class Parameters, class Optimizer, class Population>
  auto rounds(Parameters&& parameters, Optimizer optimizer, Population& clients, run_options how = {}) & {
    using T = detail::tensor_value<Parameters>;
    using checks = detail::rounds_checks<sync_type, T, Optimizer, Population>;
    detail::explain<detail::rounds_sentences<sync_type, T, Optimizer, Population>>();
    if constexpr (chosen::valid && checks::value)
      return detail::bound_rounds(
          resolve(given_options()), part<accumulator_part, typename chosen::accumulator>(),
          part<privacy_part, typename chosen::privacy>(),
          detail::rounds_plan<T, sync_type, Population, Optimizer>{
              sync(), detail::as_tensors(parameters), clients, std::move(optimizer), how, given_training()});
    else
      return detail::no_rounds{};
  }
  /// The same, at once: `how.rounds` of them, as long as `on_round(report)` says to go on; it must answer the same
  /// on every rank.
  template <class Parameters, class Optimizer, class Population, class OnRound>
  federated_report run(Parameters&& parameters, Optimizer optimizer, Population& clients, run_options how,
                       OnRound&& on_round) {
    return rounds(parameters, std::move(optimizer), clients, how).run(on_round);
  }
  /// The same with clients that descend by themselves, or by sgd{}.
  template <class Parameters, class Population, class OnRound>
  federated_report run(Parameters&& parameters, Population& clients, run_options how, OnRound&& on_round) {
    return rounds(parameters, sgd{}, clients, how).run(on_round);
  }
  template <class Parameters, class Population>
  federated_report run(Parameters&& parameters, Population& clients, run_options how = {}) {
    return rounds(parameters, sgd{}, clients, how).run([](const round_report&) { return true; });
  }

private:
  using carried = carrying_parts<detail::stationary_type<comm_type>, topology_type, reducer_type,
                                 codec_type>;

  template <class Noun>
  static constexpr std::size_t index_of = [] {
    std::size_t found = sizeof...(Parts), k = 0;
    ((detail::part_is<Parts, Noun> ? void(found = k++) : void(++k)), ...);
    return found;
  }();

  template <class Noun, class Default>
  const Default& part() const {
    if constexpr (index_of<Noun> < sizeof...(Parts))
      return std::get<index_of<Noun>>(parts_);
    else
      return detail::default_part<Default>;
  }
  options given_options() const { return part<options_part, options>(); }
  training_options given_training() const { return part<training_part, training_options>(); }
  carried resolve(const options& how) {
    return {detail::stationary(comm()), topology(), reducer(), codec(), how};
  }

  std::tuple<Parts...> parts_;
};

/// A strategy of the given parts. (Copies of a strategy are copies, not strategies of strategies.)
template <class First, class... Rest>
  requires(detail::has_part<First> || sizeof...(Rest) > 0)
strategy(First&&, Rest&&...)
    -> strategy<detail::held_part<First>, detail::held_part<Rest>...>;

} // namespace tutti
