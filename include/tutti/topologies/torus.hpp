// torus: the ranks in rows and columns; a ring along every row, then one along every column.
#pragma once

#include <tutti/topologies/ring.hpp>

namespace tutti {

/// Rank r stands in row r / columns and column r % columns. reduce_scatter: the chunks of a column
/// of ranks travel together round every row, then one by one round every column; all_gather goes
/// the other way. Cost, for each of the two: rows + columns - 2 rounds and messages, n (p-1)/p
/// elements sent by each rank, as on a ring, which takes p-1 rounds. Scratch: one message, at most
/// n / columns elements. For large n on networks that are tori, and where p-1 rounds are too many;
/// a prime number of ranks is a ring. (Mikami et al., Massively distributed SGD: ImageNet/ResNet-50
/// training in a flash, 2018.)
struct torus {
  using part = topology_part;
  using compared_as = torus;
  static constexpr bool gathers = false;

  int rows = 0; ///< the largest divisor of p up to this many; 0: as many as make it most square

  friend constexpr bool operator==(const torus&, const torus&) = default;

  constexpr int rows_of(int size) const noexcept {
    int found = 1;
    for (int k = 1; k <= size && (rows > 0 ? k <= rows : k <= size / k); ++k)
      if (size % k == 0) found = k;
    return found;
  }

  static constexpr bool gives(collective what) noexcept { return ring::gives(what); }
  constexpr int chunks(int size) const noexcept { return size; }
  constexpr int rounds(collective, int size) const noexcept {
    const int down = rows_of(size);
    return down - 1 + size / down - 1;
  }

  template <class Emit>
  constexpr void schedule(collective what, int root, const layout& where, Emit&& emit) const {
    const int down = rows_of(where.size), across = where.size / down;
    const int row = where.rank / across, column = where.rank % across;
    const bool reducing = what == collective::reduce_scatter;
    ring{}.schedule(what, root, {column, across}, [&](const transfer& t) {
      emit(transfer{t.round + (reducing ? 0 : down - 1),
                    row * across + t.peer,
                    {t.chunks.first, down, across},
                    t.act});
    });
    ring{}.schedule(what, root, {row, down}, [&](const transfer& t) {
      emit(transfer{t.round + (reducing ? across - 1 : 0),
                    t.peer * across + column,
                    {t.chunks.first * across + column},
                    t.act});
    });
  }

  /// Along each ring every chunk is sent once but for one: the own, or in all_gather the next
  /// one's.
  constexpr tutti::traffic traffic(collective what, int /*root*/, const layout& where,
                                   std::size_t n) const {
    const int down = rows_of(where.size), across = where.size / down;
    const int row = where.rank / across, column = where.rank % across;
    const int further = what == collective::reduce_scatter ? 0 : 1;
    const partition cut{n, where.size, where.size};
    tutti::traffic sum;
    for (int c = 0; c < across; ++c)
      if (c != (column + further) % across)
        sum = sum + tutti::traffic::message(cut.length({c, down, across}));
    for (int r = 0; r < down; ++r)
      if (r != (row + further) % down)
        sum = sum + tutti::traffic::message(cut.length(r * across + column));
    return sum;
  }
};

} // namespace tutti
