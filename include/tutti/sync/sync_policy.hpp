// Sync policies: when do replicas agree, and on what? A policy is its answers; what it does not say is what
// `synchronous` does.
//
//   contribution   what is contributed?                  gradient; difference: what this rank has come
//                                                        away from the last agreement; parameters
//   period         after how many local steps?           1; a number, or a function of the step
//   fragments      which part?                           1: all of it; k: the k-th parts in turn
//   delay          how many steps later is it applied?   0
//   keep           of what was learnt meanwhile          0, to 1: p = agreed + keep (p - agreed)
//   owners         updated at the owner of each range?   false: on every replica
//   outer          by what?                              the optimizer of bind; for a difference that is the
//                                                        local one, and `outer` makes the common step
//   staleness      how many steps may a worker lead?     of servers; `unbounded` for any
//   on_loss        what if a rank is lost?               of servers and pairs: an error everywhere, or the others go on
//
// and where a mixing moves the data, so that every rank has values of its own:
//
//   offers_first   mixed before the local step?          false: after it. true: while the gradient is computed
//   ratios         what is mixed?                        false: values; true: numerators, with a weight beside them
//   tracks         descend by what?                      false: the own gradient; true: a mixed estimate of all
//                                                        ranks' mean gradient
//   pull           of differences: how much of its       0
//                  distance from those that it was mixed
//                  with is added to a rank's outer gradient
//
// `keep` is alpha of Streaming DiLoCo (Douillard et al., arXiv 2501.18512), where replicas go on with
// alpha p + (1 - alpha) agreed: the same mixture, written so that 0 leaves the bits of what was agreed on.
//
// and facts: `carrier`, what kind of topology moves its data (schedules, a placement of key ranges on
// servers, a mixing matrix, or pairs of it that nobody waits for), and `repeats`, the determinism that it leaves to the reducer: a strategy
// promises the lesser of the two. A policy over a population of clients (federated/) says
// `over_population = true`. Where a strategy has no topology or no codec, a type `default_topology` and a constant
// `default_codec` of the policy are what it takes.
//
// Numbers are members, static or not, so that bind can compare them on all ranks; a policy with members is
// an aggregate. An answer that is there has the type that it is read as, or this is no sync policy.
// tutti::answers_of reads them; tutti::check_sync_policy (sync/laws.hpp) tries them.
#pragma once

#include <tutti/core/determinism.hpp>
#include <tutti/core/part.hpp>

#include <concepts>
#include <cstdint>
#include <string>
#include <type_traits>

namespace tutti {

enum class contributes : std::uint8_t { gradient, difference, parameters };
enum class carried_by : std::uint8_t { schedule, placement, mixing, pairs };

inline constexpr int unbounded = -1;

/// What becomes of the others when a rank has left, or is silent for options::timeout where it is waited for: a worker
/// of servers, or one of pairs. error: every rank throws `peer_lost` or `timeout` that names it. go_on: it counts as
/// finished, trainer::lost() names it, and the others go on; it throws when it is heard of again. A server that is lost
/// is everybody's error.
enum class on_loss : std::uint8_t { error, go_on };

namespace detail {

// Whether a policy has an answer of a name, of whatever type.
template <class P>
concept names_period = requires { &P::period; } ||
                       requires(const P& p, std::int64_t step) { p.period(step); };
template <class P>
concept names_fragments = requires { &P::fragments; };
template <class P>
concept names_delay = requires { &P::delay; };
template <class P>
concept names_keep = requires { &P::keep; };
template <class P>
concept names_outer = requires { &P::outer; };
template <class P>
concept names_pull = requires { &P::pull; };
template <class P>
concept names_what_mixes = requires { &P::offers_first; } || requires { &P::ratios; } ||
                           requires { &P::tracks; } || names_pull<P>;

template <class X>
concept counts = std::integral<std::remove_cvref_t<X>> && !std::same_as<std::remove_cvref_t<X>, bool>;

template <class P>
concept says_its_contribution = !requires { &P::contribution; } ||
                                requires { { P::contribution } -> std::same_as<const contributes&>; };
template <class P>
concept says_its_owners =
    !requires { &P::owners; } || requires { { P::owners } -> std::same_as<const bool&>; };
template <class P>
concept says_what_mixes =
    (!requires { &P::offers_first; } || requires { { P::offers_first } -> std::same_as<const bool&>; }) &&
    (!requires { &P::ratios; } || requires { { P::ratios } -> std::same_as<const bool&>; }) &&
    (!requires { &P::tracks; } || requires { { P::tracks } -> std::same_as<const bool&>; }) &&
    (!names_pull<P> || requires(const P& p) { requires std::is_arithmetic_v<std::remove_cvref_t<decltype(p.pull)>>; });
template <class P>
concept says_its_carrier =
    !requires { &P::carrier; } || requires { { P::carrier } -> std::same_as<const carried_by&>; };
template <class P>
concept says_its_determinism =
    !requires { &P::repeats; } || requires { { P::repeats } -> std::same_as<const determinism&>; };
template <class P>
concept says_its_population = !requires { &P::over_population; } ||
                              requires { { P::over_population } -> std::same_as<const bool&>; };
template <class P>
concept counts_its_period =
    !names_period<P> || requires(const P& p) { requires counts<decltype(p.period)>; } ||
    requires(const P& p, std::int64_t step) { requires counts<decltype(p.period(step))>; };
template <class P>
concept counts_its_fragments =
    !names_fragments<P> || requires(const P& p) { requires counts<decltype(p.fragments)>; };
template <class P>
concept counts_its_delay =
    !names_delay<P> || requires(const P& p) { requires counts<decltype(p.delay)>; };
template <class P>
concept counts_its_staleness =
    !requires { &P::staleness; } || requires(const P& p) { requires counts<decltype(p.staleness)>; };
template <class P>
concept says_what_it_keeps =
    !names_keep<P> || requires(const P& p) { requires std::is_arithmetic_v<std::remove_cvref_t<decltype(p.keep)>>; };

} // namespace detail

template <class P>
concept sync_policy =
    detail::part_is<P, sync_part> && std::copy_constructible<P> && detail::says_its_contribution<P> &&
    detail::says_its_owners<P> && detail::says_its_carrier<P> && detail::says_its_determinism<P> &&
    detail::says_its_population<P> && detail::counts_its_period<P> &&
    detail::counts_its_fragments<P> && detail::counts_its_delay<P> &&
    detail::counts_its_staleness<P> && detail::says_what_it_keeps<P> && detail::says_what_mixes<P>;

namespace detail {

template <class P>
inline constexpr contributes contribution_of = contributes::gradient;
template <class P>
  requires requires { P::contribution; }
inline constexpr contributes contribution_of<P> = P::contribution;

template <class P>
inline constexpr bool has_owners = false;
template <class P>
  requires requires { P::owners; }
inline constexpr bool has_owners<P> = P::owners;

/// An answer that is there, of a type; false where it is not.
template <class P>
inline constexpr bool offers_first_of = false;
template <class P>
  requires requires { P::offers_first; }
inline constexpr bool offers_first_of<P> = P::offers_first;
template <class P>
inline constexpr bool has_ratios = false;
template <class P>
  requires requires { P::ratios; }
inline constexpr bool has_ratios<P> = P::ratios;
template <class P>
inline constexpr bool tracks_gradients = false;
template <class P>
  requires requires { P::tracks; }
inline constexpr bool tracks_gradients<P> = P::tracks;

template <class P>
inline constexpr carried_by carrier_of = carried_by::schedule;
template <class P>
  requires requires { P::carrier; }
inline constexpr carried_by carrier_of<P> = P::carrier;

template <class P>
inline constexpr determinism policy_repeats = determinism::rank_count_invariant;
template <class P>
  requires requires { P::repeats; }
inline constexpr determinism policy_repeats<P> = P::repeats;

template <class P>
inline constexpr bool over_population = false;
template <class P>
  requires requires { P::over_population; }
inline constexpr bool over_population<P> = P::over_population;

/// What a policy that has the answer says.
template <class P>
constexpr on_loss on_loss_of(const P& p) {
  if constexpr (requires { { p.on_loss } -> std::convertible_to<on_loss>; })
    return p.on_loss;
  else
    return on_loss::error;
}

} // namespace detail

/// The answers of a policy in numbers.
struct answers {
  contributes contribution = contributes::gradient;
  bool owners = false;
  int fragments = 1;
  int delay = 0;
  double keep = 0;
  int staleness = unbounded;
  bool offers_first = false, tracks = false;
  double pull = 0;
};

template <sync_policy P>
constexpr answers answers_of(const P& p) {
  answers a{.contribution = detail::contribution_of<P>,
            .owners = detail::has_owners<P>,
            .offers_first = detail::offers_first_of<P>,
            .tracks = detail::tracks_gradients<P>};
  if constexpr (requires { a.fragments = p.fragments; }) a.fragments = p.fragments;
  if constexpr (requires { a.delay = p.delay; }) a.delay = p.delay;
  if constexpr (requires { a.keep = p.keep; }) a.keep = p.keep;
  if constexpr (requires { a.staleness = p.staleness; }) a.staleness = p.staleness;
  if constexpr (requires { a.pull = p.pull; }) a.pull = p.pull;
  return a;
}

/// After how many steps since the last agreement the next one is due, when `step` is the one that ends.
template <sync_policy P>
constexpr int period_of(const P& p, std::int64_t step) {
  if constexpr (requires { { p.period(step) } -> std::convertible_to<int>; })
    return p.period(step);
  else if constexpr (requires { { p.period } -> std::convertible_to<int>; })
    return p.period;
  else
    return 1;
}

namespace detail {

/// add(name, sentence) for each answer that cannot be.
template <class Add>
void each_wrong_answer(const answers& policy, int period, Add&& add) {
  if (period < 1)
    add("period", "the period of the sync policy is " + std::to_string(period) +
                      " steps - give at least 1");
  if (policy.fragments < 1)
    add("fragments", "the sync policy has " + std::to_string(policy.fragments) +
                         " fragments - give at least 1");
  if (policy.delay < 0 || (period >= 1 && policy.fragments >= 1 &&
                           policy.delay >= std::int64_t(period) * policy.fragments))
    add("delay", "the delay of the sync policy is " + std::to_string(policy.delay) +
                     " steps - give at least 0, and less than passes until the same fragment is offered "
                     "again");
  if (policy.offers_first && (period != 1 || policy.fragments != 1 || policy.delay != 0))
    add("offers_first", "offers_first mixes everything in every step - give a period of 1, one fragment and no "
                        "delay");
  if (!(policy.keep >= 0 && policy.keep <= 1))
    add("keep", "keep of the sync policy is not between 0 and 1");
  if (policy.staleness < 0 && policy.staleness != unbounded)
    add("staleness", "the staleness of the sync policy is " + std::to_string(policy.staleness) +
                         " - give at least 0, or tutti::unbounded");
  if (!(policy.pull >= 0 && policy.pull <= 1e6))
    add("pull", "the pull of the sync policy is negative or not finite - give at least 0");
}

/// period_of a policy that outlives it.
class period_answer {
public:
  template <class P>
    requires(!std::is_same_v<P, period_answer> && sync_policy<P>) // which clang asks when it is copied
  explicit period_answer(const P& p)
      : policy_{&p}, ask_{[](const void* policy, std::int64_t step) {
          return period_of(*static_cast<const P*>(policy), step);
        }} {}
  int operator()(std::int64_t step) const { return ask_(policy_, step); }

private:
  const void* policy_;
  int (*ask_)(const void*, std::int64_t);
};

} // namespace detail
} // namespace tutti
