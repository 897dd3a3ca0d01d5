// star: everyone sends to a centre, which folds and answers; also who serves and who works.
#pragma once

#include <tutti/topologies/schedule.hpp>

namespace tutti {

/// As a schedule: the data is cut into one chunk per server, chunk c is folded at rank c in one go
/// and published to everyone (reduce and broadcast: all of it at the root). Every reduction is one
/// fold of unreduced contributions, so gathering reducers run on it. With servers = p it is
/// `direct`. As a placement: ranks 0 .. servers-1 are the servers of key ranges 0 .. servers-1;
/// they also work unless `dedicated`. A schedule has every rank contribute, whatever `dedicated`
/// says. Cost: 1 round each way. With one server it receives, and sends, n (p-1) elements; everyone
/// else sends n. For few ranks, and for placements.
struct star {
  int servers = 1; ///< at least 1; of more than there are ranks a schedule takes all
  bool dedicated = false;

  using part = topology_part;
  using compared_as = star;
  static constexpr bool gathers = true;

  friend constexpr bool operator==(const star&, const star&) = default;

  constexpr int server_count(int size) const noexcept { return servers < size ? servers : size; }
  constexpr bool dedicates() const noexcept { return dedicated; }

  static constexpr bool gives(collective what) noexcept {
    return what == collective::all_reduce || what == collective::reduce ||
           what == collective::broadcast;
  }
  constexpr int chunks(int size) const noexcept { return server_count(size); }
  constexpr int rounds(collective what, int size) const noexcept {
    return size == 1 ? 0 : what == collective::all_reduce ? 2 : 1;
  }

  template <class Emit>
  constexpr void schedule(collective what, int root, const layout& where, Emit&& emit) const {
    const int centres = chunks(where.size);
    const auto gather = [&](int centre, chunk_range range) {
      for_each_peer(centre, where, [&](int peer) {
        emit(transfer{0, peer, range, where.rank == centre ? action::combine : action::send});
      });
    };
    const auto publish = [&](int round, int centre, chunk_range range) {
      for_each_peer(centre, where, [&](int peer) {
        emit(transfer{round, peer, range, where.rank == centre ? action::publish : action::store});
      });
    };
    if (what == collective::reduce) gather(root, {0, centres});
    if (what == collective::broadcast) publish(0, root, {0, centres});
    if (what != collective::all_reduce) return;
    for (int c = 0; c < centres; ++c) gather(c, {c});
    for (int c = 0; c < centres; ++c) publish(1, c, {c});
  }

  constexpr tutti::traffic traffic(collective what, int root, const layout& where,
                                   std::size_t n) const {
    const auto others = std::size_t(where.size - 1);
    if (n == 0) return {};
    if (what == collective::reduce)
      return where.rank == root ? tutti::traffic{} : tutti::traffic{1, n};
    if (what == collective::broadcast)
      return where.rank == root ? tutti::traffic{others, n * others} : tutti::traffic{};
    const int centres = chunks(where.size);
    const partition cut{n, where.size, centres};
    const std::size_t own = where.rank < centres ? cut.length(where.rank) : 0;
    const std::size_t filled = n < std::size_t(centres) ? n : std::size_t(centres);
    const std::size_t serves = own > 0 ? 1 : 0;
    return {filled - serves + serves * others, n - own + own * others};
  }

private:
  /// The centre meets everyone else, everyone else meets the centre.
  template <class Visit>
  static constexpr void for_each_peer(int centre, const layout& where, Visit&& visit) {
    if (where.rank != centre) return visit(centre);
    for (int peer = 0; peer < where.size; ++peer)
      if (peer != centre) visit(peer);
  }
};

} // namespace tutti
