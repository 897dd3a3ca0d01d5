// pipelined: any schedule in several copies, each on a slice of the data and one round behind.
#pragma once

#include <tutti/topologies/placement.hpp>
#include <tutti/topologies/schedule.hpp>

#include <cstddef>

namespace tutti {

/// How many segments to cut `bytes` on `ranks` ranks into: as many as give each rank 32 KiB of one, up to
/// 512. hierarchical<> on two nodes of two ranks at 1 Gbit/s took 175 ms for 16 MiB in one piece, and 154,
/// 138, 137.5 and 135.6 in segments of 1 MiB, 512, 256 and 128 KiB; the line alone takes 134.2.
constexpr int segments_for(std::size_t bytes, int ranks) {
  constexpr std::size_t share = std::size_t{32} << 10, most = 512;
  const std::size_t segments = bytes / (share * std::size_t(ranks > 0 ? ranks : 1));
  return segments < 1 ? 1 : segments > most ? int(most) : int(segments);
}

/// Every chunk of the inner schedule is cut into `segments` slices; copy s moves slice s of each
/// chunk and starts in round s. While one slice is on its second hop the next is on its first, so
/// in a tree all links are busy at the same time, and a fold runs while other slices travel. Cost:
/// segments-1 rounds more, segments times the messages, the same elements. For large n on schedules
/// of several rounds (pipelined{binomial_tree{}, 8}), and between nodes, so that the link is never
/// idle (segments_for). Collectives that the inner schedule composes are pipelined as a whole.
template <schedule_topology Inner>
struct pipelined {
  static_assert(!placement_topology<Inner>,
                "tutti::pipelined: a star has one round each way, nothing can overlap - pipeline "
                "tutti::ring, tutti::halving_doubling or tutti::binomial_tree");

  Inner inner = {};
  int segments = 4; ///< at least 1

  using part = topology_part;
  using compared_as = pipelined;
  static constexpr bool gathers = Inner::gathers;

  friend constexpr bool operator==(const pipelined& a, const pipelined& b)
    requires comparable_topology<Inner>
  {
    return a.segments == b.segments && detail::same_topology(a.inner, b.inner);
  }

  static constexpr bool gives(collective what) noexcept { return carries<Inner>(what); }
  constexpr int chunks(const layout& where) const {
    return tutti::chunks_of(inner, where) * segments;
  }
  constexpr int rounds(collective what, const layout& where) const {
    const int once = tutti::rounds_of(inner, what, where);
    return once == 0 ? 0 : once + segments - 1;
  }

  template <class Emit>
  constexpr void schedule(collective what, int root, const layout& where, Emit&& emit) const {
    for (int s = 0; s < segments; ++s)
      tutti::visit(inner, what, root, where, [&](const transfer& t) {
        const auto& [first, count, stride] = t.chunks;
        const chunk_range slice{first * segments + s, count, stride * segments};
        emit(transfer{t.round + s, t.peer, slice, t.act});
      });
  }

  /// Exact when the inner schedule has one chunk, or a multiple of the ranks: slices of evenly cut
  /// chunks are evenly cut.
  constexpr tutti::traffic traffic(collective what, int root, const layout& where,
                                   std::size_t n) const {
    const partition cut{n, where.size, chunks(where)};
    tutti::traffic sum;
    for (int s = 0; s < segments; ++s) {
      std::size_t slice = 0;
      for (int c = s; c < cut.chunks; c += segments) slice += cut.length(c);
      sum = sum + tutti::traffic_of(inner, what, root, where, slice);
    }
    return sum;
  }
};
template <class Inner>
pipelined(Inner) -> pipelined<Inner>;
template <class Inner>
pipelined(Inner, int) -> pipelined<Inner>;

} // namespace tutti
