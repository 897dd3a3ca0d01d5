// Sync policies: when do replicas agree? Eight questions; a policy is its answers.
//
//   period()            after how many local steps is there an exchange?
//   fragment(k)         which part of the parameters takes part in the k-th exchange? {i, m}: the i-th
//                       of m equal pieces
//   contribution        what is contributed? gradient, difference (local progress since the last
//                       agreement) or the parameters themselves
//   quorum(n)           how many contributions of n close a step?
//   lead()              how many steps may one rank be ahead of the slowest? `unbounded` for any
//   worth(tau)          what is a contribution worth that comes tau steps late?
//   update              where does the optimizer run? on every replica, or at the owner of a key range
//   delay()             how many steps later is the result applied?
//
// and two facts about it: `carrier`, what kind of topology moves its data (schedules, a placement of
// key ranges on servers, or a mixing matrix), and `repeats`, the determinism it leaves to the reducer: a
// strategy promises the lesser of the two. A policy over a population of clients (federated/) also says
// `over_population = true` and has a `server_rate`.
//
// `sync_defaults` answers like synchronous data parallelism. A policy without members derives from it and
// overrides what it does differently; one with members writes all its answers, or designated
// initialisers of it would warn. An answer that no training loop carries out is refused when bound.
#pragma once

#include <tutti/core/determinism.hpp>
#include <tutti/core/part.hpp>

#include <concepts>
#include <cstdint>

namespace tutti {

enum class contributes : std::uint8_t { gradient, difference, parameters };
enum class updates_at : std::uint8_t { replica, owner };
enum class carried_by : std::uint8_t { schedule, placement, mixing };

inline constexpr int unbounded = -1;

/// Piece `index` of `count` equal pieces of the parameters.
struct fragment_of {
  int index = 0;
  int count = 1;
};

struct sync_defaults {
  using part = sync_part;
  static constexpr contributes contribution = contributes::gradient;
  static constexpr updates_at update = updates_at::replica;
  static constexpr carried_by carrier = carried_by::schedule;
  static constexpr determinism repeats = determinism::rank_count_invariant;

  constexpr int period() const noexcept { return 1; }
  constexpr fragment_of fragment(std::int64_t /*exchange*/) const noexcept { return {}; }
  constexpr int quorum(int n) const noexcept { return n; }
  constexpr int lead() const noexcept { return 0; }
  constexpr double worth(int late) const noexcept { return late == 0 ? 1.0 : 0.0; }
  constexpr int delay() const noexcept { return 0; }
};

template <class P>
concept sync_policy =
    detail::part_is<P, sync_part> &&
    requires(const P p, int n, std::int64_t exchange) {
      { P::contribution } -> std::convertible_to<contributes>;
      { P::update } -> std::convertible_to<updates_at>;
      { P::carrier } -> std::convertible_to<carried_by>;
      { P::repeats } -> std::convertible_to<determinism>;
      { p.period() } -> std::same_as<int>;
      { p.fragment(exchange) } -> std::same_as<fragment_of>;
      { p.quorum(n) } -> std::same_as<int>;
      { p.lead() } -> std::same_as<int>;
      { p.worth(n) } -> std::same_as<double>;
      { p.delay() } -> std::same_as<int>;
    };

} // namespace tutti
