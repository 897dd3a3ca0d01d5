// pat: parallel aggregated trees; all-gather and reduce-scatter in ceil(log2 p) rounds, or in more
// rounds of shorter messages.
#pragma once

#include <tutti/topologies/schedule.hpp>

#include <limits>

namespace tutti {

/// A binomial tree per chunk, all of them at once: in all_gather, chunk c reaches the rank that is
/// `offset` further on in the round of the lowest set bit of `offset`, far partners first, so the
/// longest messages go to the nearest ranks. Chunks that take the same hop travel in one message of
/// at most `aggregated` chunks. reduce_scatter is the same film backwards. Cost, for each: without
/// a bound ceil(log2 p) rounds, with one sum over d = 1, 2, 4, ... of ceil(chunks of that hop /
/// aggregated); as many messages; n (p-1)/p elements sent by each rank. Scratch: one message. For
/// small n at large p. (Jeaugey, PAT: a new algorithm for all-gather and reduce-scatter operations
/// at scale, 2025.)
struct pat {
private: // before its use: clang 14 finds it in constant expressions only there
  /// Calls f(distance, skip, count) for every hop of all_gather: it moves the chunks that are
  /// distance * 2m away from their giver, m in [skip, skip + count).
  template <class F> constexpr void each_hop(int size, F&& f) const {
    int distance = 1;
    while (distance < size) distance *= 2;
    for (distance /= 2; distance > 0; distance /= 2) {
      const int total = (size - 1 - distance) / (2 * distance) + 1;
      for (int skip = 0; skip < total; skip += aggregated) {
        f(distance, skip, total - skip < aggregated ? total - skip : aggregated);
        if (total - skip <= aggregated) break; // skip + aggregated may be more than an int holds
      }
    }
  }
  /// giver - 2 distance m for these m, ascending.
  static constexpr chunk_range held(int giver, int distance, int skip, int count, int size) {
    const int farthest = giver - (skip + count - 1) * 2 * distance;
    return {(farthest % size + size) % size, count, 2 * distance};
  }

public:
  using part = topology_part;
  using compared_as = pat;
  static constexpr bool gathers = false;

  int aggregated =
      (std::numeric_limits<int>::max)(); ///< chunks that one message may hold, at least 1

  friend constexpr bool operator==(const pat&, const pat&) = default;

  static constexpr bool gives(collective what) noexcept {
    return what == collective::reduce_scatter || what == collective::all_gather;
  }
  constexpr int chunks(int size) const noexcept { return size; }
  constexpr int rounds(collective, int size) const {
    int count = 0;
    each_hop(size, [&](int, int, int) { ++count; });
    return count;
  }

  template <class Emit>
  constexpr void schedule(collective what, int /*root*/, const layout& where, Emit&& emit) const {
    const int p = where.size, last = rounds(what, p) - 1;
    int hop = 0;
    each_hop(p, [&](int distance, int skip, int count) {
      const int to = (where.rank + distance) % p, from = (where.rank + p - distance) % p;
      if (what == collective::all_gather) {
        emit(transfer{hop, to, held(where.rank, distance, skip, count, p), action::publish});
        emit(transfer{hop, from, held(from, distance, skip, count, p), action::store});
      } else {
        emit(transfer{last - hop, from, held(from, distance, skip, count, p), action::send});
        emit(transfer{last - hop, to, held(where.rank, distance, skip, count, p), action::combine});
      }
      ++hop;
    });
  }

  constexpr tutti::traffic traffic(collective what, int /*root*/, const layout& where,
                                   std::size_t n) const {
    const int p = where.size;
    const partition cut{n, p, p};
    tutti::traffic sum;
    each_hop(p, [&](int distance, int skip, int count) {
      const int giver = what == collective::all_gather ? where.rank : where.rank + p - distance;
      sum = sum + tutti::traffic::message(cut.length(held(giver % p, distance, skip, count, p)));
    });
    return sum;
  }
};

} // namespace tutti
