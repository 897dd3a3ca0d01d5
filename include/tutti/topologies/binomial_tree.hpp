// binomial_tree: reduce towards a root and broadcast from it, in log2 p rounds.
#pragma once

#include <tutti/topologies/schedule.hpp>

#include <bit>

namespace tutti {

/// Ranks are counted from the root. In round k of reduce, those whose lowest set bit is k give what
/// they have folded so far to the one 2^k below; broadcast is the mirror image.
/// Cost, for each of the two: ceil(log2 p) rounds, p-1 messages of n elements in all, of which a
/// rank sends at most one in reduce and at most ceil(log2 p) in broadcast. For small n.
struct binomial_tree {
  using part = topology_part;
  static constexpr bool gathers = false;

  static constexpr bool gives(collective what) noexcept {
    return what == collective::reduce || what == collective::broadcast;
  }
  constexpr int chunks(int) const noexcept { return 1; }
  constexpr int rounds(collective, int size) const noexcept {
    return int(std::bit_width(unsigned(size - 1)));
  }

  template <class Emit>
  constexpr void schedule(collective what, int root, const layout& where, Emit&& emit) const {
    const bool reducing = what == collective::reduce;
    const int p = where.size;
    const int from_root = (where.rank - root + p) % p;
    const int count = rounds(what, p);
    for (int step = 0; step < count; ++step) {
      const int round = reducing ? step : count - 1 - step;
      const int distance = 1 << step;
      const int above = (where.rank + distance) % p, below = (where.rank - distance + p) % p;
      if (from_root % distance != 0) break;
      if (from_root & distance)
        emit(transfer{round, below, {0}, reducing ? action::send : action::store});
      else if (from_root + distance < p)
        emit(transfer{round, above, {0}, reducing ? action::combine : action::publish});
    }
  }

  constexpr tutti::traffic traffic(collective what, int root, const layout& where,
                                   std::size_t n) const {
    if (n == 0) return {};
    const int p = where.size;
    const auto from_root = unsigned((where.rank - root + p) % p);
    if (what == collective::reduce) return from_root > 0 ? tutti::traffic{1, n} : tutti::traffic{};
    // One for each power of two below the lowest set bit that still meets a rank.
    const int below = from_root > 0 ? std::countr_zero(from_root) : rounds(what, p);
    const int meeting = int(std::bit_width(unsigned(p - 1) - from_root)); // 2^k < p - from_root
    const auto sent = std::size_t(below < meeting ? below : meeting);
    return {sent, sent * n};
  }
};

} // namespace tutti
