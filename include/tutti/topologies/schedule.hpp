// Topologies as schedules: who sends what to whom in which round, as a value.
//
// A topology does not communicate. It is asked for the schedule of one rank and emits transfers; that
// value is then run, proven, priced, simulated, broken or drawn by code that is written once.
//
// Rules of a schedule
//   * The data is cut into `chunks(size)` chunks. When that is a multiple of the rank count, rank r
//     owns the r-th share of them (chunk r itself when the numbers are equal).
//   * Rounds are global. A transfer meets the one of the same round, ends and chunks on the other
//     rank: `send` meets `combine`, `publish` meets `store`. Everything of a round is posted before
//     anything is waited for, so a schedule whose transfers all meet cannot deadlock.
//   * `send` gives a contribution, or a partial result, to be folded in by the receiver.
//     `publish` gives a finished result, or data that is only copied, to be stored.
//   * Both read the values that stand at the start of the round.
//   * All combines of one round into one chunk are one left fold in rank order, the rank's own value
//     included at its place.
//   * A chunk is stored at most once a round, and never combined and stored in the same round.
//
// A topology gives some collectives itself; `visit` composes all_reduce out of reduce_scatter and
// all_gather, or of reduce and broadcast.
#pragma once

#include <tutti/core/part.hpp>

#include <concepts>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>

namespace tutti {

enum class collective : std::uint8_t { all_reduce, reduce_scatter, all_gather, broadcast, reduce };

inline constexpr collective all_collectives[] = {collective::all_reduce, collective::reduce_scatter,
                                                 collective::all_gather, collective::broadcast,
                                                 collective::reduce};

constexpr std::string_view name(collective what) noexcept {
  switch (what) {
  case collective::all_reduce: return "all_reduce";
  case collective::reduce_scatter: return "reduce_scatter";
  case collective::all_gather: return "all_gather";
  case collective::broadcast: return "broadcast";
  case collective::reduce: return "reduce";
  }
  return "unknown";
}

enum class action : std::uint8_t {
  send,    ///< give a contribution or partial result; meets combine
  combine, ///< receive and fold
  publish, ///< give a finished result; meets store
  store    ///< receive and overwrite
};

constexpr bool is_outgoing(action act) noexcept {
  return act == action::send || act == action::publish;
}

/// Chunks first, first + stride, ... (`count` of them), each modulo the chunk count; one message.
struct chunk_range {
  int first = 0;
  int count = 1;
  int stride = 1;
  friend constexpr bool operator==(const chunk_range&, const chunk_range&) = default;
};

struct transfer {
  int round;
  int peer;
  chunk_range chunks;
  action act;
  friend constexpr bool operator==(const transfer&, const transfer&) = default;
};

/// Where a rank stands. The same on all ranks but for `rank`.
struct layout {
  int rank;
  int size;
  std::span<const int> group_of = {}; ///< the node of each rank; empty: all on one
};

/// What one rank sends.
struct traffic {
  std::size_t messages = 0;
  std::size_t elements = 0;
  /// One message of n elements; empty ones are not sent.
  static constexpr traffic message(std::size_t n) noexcept {
    return n > 0 ? traffic{1, n} : traffic{};
  }
  friend constexpr bool operator==(const traffic&, const traffic&) = default;
  friend constexpr traffic operator+(traffic a, traffic b) noexcept {
    return {a.messages + b.messages, a.elements + b.elements};
  }
};

/// How n elements are cut into chunks: every rank's share is as equal as can be, longer ones first,
/// and each share is cut into its chunks the same way.
struct partition {
  std::size_t n = 0;
  int size = 1;
  int chunks = 1;

  /// The first element of chunk c; offset(chunks) is n.
  constexpr std::size_t offset(int c) const noexcept {
    if (chunks % size != 0) return even(n, chunks, c);
    const int each = chunks / size;
    const int owner = c / each;
    if (each == 1 || owner == size) return even(n, size, owner);
    const std::size_t begin = even(n, size, owner), end = even(n, size, owner + 1);
    return begin + even(end - begin, each, c % each);
  }
  constexpr std::size_t length(int c) const noexcept { return offset(c + 1) - offset(c); }
  constexpr std::size_t length(const chunk_range& range) const noexcept {
    if (n % std::size_t(chunks) == 0) return std::size_t(range.count) * (n / std::size_t(chunks));
    if (range.stride == 1 && range.count <= chunks) {
      const int first = range.first % chunks, end = first + range.count;
      return end <= chunks ? offset(end) - offset(first) : n - offset(first) + offset(end - chunks);
    }
    std::size_t sum = 0;
    for (int k = 0, c = range.first % chunks; k < range.count; ++k, c = (c + range.stride) % chunks)
      sum += length(c);
    return sum;
  }

  /// The first of n elements that belongs to share i of `shares`.
  static constexpr std::size_t even(std::size_t n, int shares, int i) noexcept {
    const auto p = std::size_t(shares), k = std::size_t(i);
    return k * (n / p) + (k < n % p ? k : n % p);
  }
};

/// Elements [begin, end) of n that belong to `rank` in reduce_scatter and all_gather.
struct shard {
  std::size_t begin;
  std::size_t end;
};
constexpr shard shard_of(std::size_t n, int rank, int size) noexcept {
  return {partition::even(n, size, rank), partition::even(n, size, rank + 1)};
}

namespace detail {

template <class T>
concept measured_by_size = requires(const T t, collective what, int size) {
  { t.chunks(size) } -> std::same_as<int>;
  { t.rounds(what, size) } -> std::same_as<int>;
};
template <class T>
concept measured_by_layout = requires(const T t, collective what, const layout& where) {
  { t.chunks(where) } -> std::same_as<int>;
  { t.rounds(what, where) } -> std::same_as<int>;
};

} // namespace detail

/// A topology that is visited for schedules of exact collectives.
///   gives(what)     which collectives it has a schedule for by itself
///   gathers         whether its reductions are one fold over all ranks' inputs, each sent unreduced;
///                   the proof decides whether that is true (topologies/proof.hpp)
///   chunks(size)    into how many chunks the data is cut, for every collective it gives
///   rounds(w, size) how many rounds collective w takes; both may ask for the `layout` instead of the
///                   size when they depend on the nodes (a hierarchy), but not on where.rank
///   schedule(...)   calls emit(transfer) for every transfer of where.rank, `root` being the root of
///                   broadcast and reduce. Rounds may come in any order; for one round, transfers with
///                   one peer come in the same order on both ranks
/// and beside it, for the cost claims: traffic(what, root, where, n), what where.rank sends, empty
/// messages left out.
template <class T>
concept schedule_topology =
    detail::part_is<T, topology_part> &&
    (detail::measured_by_size<T> || detail::measured_by_layout<T>) &&
    requires(const T t, collective what, int n, layout where, void (*emit)(transfer)) {
      { T::gives(what) } -> std::same_as<bool>;
      { T::gathers } -> std::convertible_to<bool>;
      t.schedule(what, n, where, emit);
    };

/// Whether == tells if two topologies of type T make the same schedules: T has no members, or says so
/// by `using compared_as = T`. (A type that derives from such a one says it anew, since it may have
/// members that the inherited == does not see.) A communicator keeps the plans of such topologies.
template <class T>
concept comparable_topology = std::is_empty_v<T> || requires(const T& t) {
  requires std::is_same_v<typename T::compared_as, T>;
  { t == t } -> std::same_as<bool>;
};

namespace detail {

template <comparable_topology T>
constexpr bool same_topology(const T& a, const T& b) {
  if constexpr (std::is_empty_v<T>)
    return true;
  else
    return a == b;
}

/// The two collectives that `what` is composed of, when a topology does not give it itself.
struct composition {
  bool possible = false;
  collective first = collective::reduce_scatter;
  collective second = collective::all_gather;
};

template <schedule_topology T>
constexpr composition composition_of(collective what) noexcept {
  if (what != collective::all_reduce) return {};
  if (T::gives(collective::reduce_scatter) && T::gives(collective::all_gather))
    return {true, collective::reduce_scatter, collective::all_gather};
  if (T::gives(collective::reduce) && T::gives(collective::broadcast))
    return {true, collective::reduce, collective::broadcast};
  return {};
}

} // namespace detail

/// Whether T carries a collective, by itself or composed.
template <schedule_topology T>
constexpr bool carries(collective what) noexcept {
  return T::gives(what) || detail::composition_of<T>(what).possible;
}

/// Into how many chunks T cuts the data.
template <schedule_topology T>
constexpr int chunks_of(const T& topology, const layout& where) {
  if constexpr (detail::measured_by_size<T>)
    return topology.chunks(where.size);
  else
    return topology.chunks(where);
}

/// How many rounds T takes for `what`, composed where necessary. Precondition: carries<T>(what).
template <schedule_topology T>
constexpr int rounds_of(const T& topology, collective what, const layout& where) {
  if (!T::gives(what)) {
    const auto parts = detail::composition_of<T>(what);
    return tutti::rounds_of(topology, parts.first, where) +
           tutti::rounds_of(topology, parts.second, where);
  }
  if constexpr (detail::measured_by_size<T>)
    return topology.rounds(what, where.size);
  else
    return topology.rounds(what, where);
}
template <schedule_topology T>
constexpr int rounds_of(const T& topology, collective what, int size) {
  return tutti::rounds_of(topology, what, layout{0, size});
}

/// Emits every transfer of where.rank for `what`, composed where necessary. Precondition:
/// carries<T>(what).
template <schedule_topology T, class Emit>
constexpr void visit(const T& topology, collective what, int root, const layout& where, Emit&& emit) {
  if (T::gives(what)) {
    topology.schedule(what, root, where, emit);
    return;
  }
  const auto parts = detail::composition_of<T>(what);
  const int shift = tutti::rounds_of(topology, parts.first, where);
  topology.schedule(parts.first, root, where, emit);
  topology.schedule(parts.second, root, where, [&](transfer t) {
    t.round += shift;
    emit(t);
  });
}

template <schedule_topology T>
constexpr traffic traffic_of(const T& topology, collective what, int root, const layout& where,
                             std::size_t n) {
  if (T::gives(what)) return topology.traffic(what, root, where, n);
  const auto parts = detail::composition_of<T>(what);
  return topology.traffic(parts.first, root, where, n) +
         topology.traffic(parts.second, root, where, n);
}

} // namespace tutti
