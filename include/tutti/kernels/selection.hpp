// The k values of largest magnitude (codecs/selection.hpp), found digit by digit and kept in their order.
//
// A selection is a sequence of kernels over the same memory: for each digit of the keys, from the highest on, count()
// and choose(); then tally(), place() and keep(). Between two of them every block is done. Exactly k values are kept,
// of equal magnitudes those with the lowest index, whatever the order in which blocks run.
#pragma once

#include <tutti/codecs/selection.hpp>
#include <tutti/core/element.hpp>
#include <tutti/kernels/packets.hpp>

#include <cstddef>
#include <cstdint>

namespace tutti::detail::kernels {

inline constexpr int digit_bits = 11;
inline constexpr std::size_t digits = std::size_t{1} << digit_bits;

/// How far a selection is. The keys of what is kept are above `least`, or equal to it in the first `equal` places.
struct selecting {
  std::uint64_t count[digits]; ///< of each digit; all 0 between two choices
  std::uint64_t least;         ///< the digits that are chosen, and zeros
  std::uint64_t equal;         ///< how many of those with these digits are kept
  int low;                     ///< bits that are not chosen yet
};

/// Of values of T, keys have so many bits.
template <class T> inline constexpr int key_bits = sizeof(magnitude_key(T{})) == 4 ? 31 : 63;

/// By one lane of anyone: the beginning. 1 <= k <= n.
template <class T> TUTTI_HD void begin_selecting(selecting& s, std::size_t k) {
  s.least = 0;
  s.equal = k;
  s.low = key_bits<T>;
}
TUTTI_HD constexpr int next_digit(int low) {
  return low < digit_bits ? low : digit_bits;
}

/// Counts the next digit of all keys that begin with the digits that are chosen. `scratch` is the block's.
template <class Context, class T>
TUTTI_HD void count_digits(Context& ctx, std::uint32_t (&scratch)[digits], const T* values, std::size_t n,
                           std::size_t head, selecting& s) {
  constexpr std::size_t length = packet<T>::length;
  const int bits = next_digit(s.low), low = s.low - bits;
  const std::uint64_t above = s.least >> s.low;
  ctx.each([&](unsigned lane) {
    for (std::size_t d = lane; d < digits; d += Context::lanes) scratch[d] = 0;
  });
  const auto take = [&](T x) {
    const std::uint64_t key = magnitude_key(x);
    if (key >> s.low == above) ctx.add(scratch[std::size_t(key >> low) & ((std::size_t{1} << bits) - 1)], 1u);
  };
  in_packets<length>(
      ctx, n, head,
      [&](std::size_t i) {
        const auto next = load<length>(values + i);
        for (std::size_t k = 0; k < length; ++k) take(next.values[k]);
      },
      [&](std::size_t i) { take(values[i]); });
  ctx.each([&](unsigned lane) {
    for (std::size_t d = lane; d < digits; d += Context::lanes)
      if (scratch[d] != 0) ctx.add(s.count[d], std::uint64_t{scratch[d]});
  });
}

/// One block: the digit below which nothing is kept.
template <class Context> TUTTI_HD void choose_digit(Context& ctx, selecting& s) {
  const int bits = next_digit(s.low);
  ctx.each([&](unsigned lane) {
    if (lane != 0) return;
    std::size_t d = (std::size_t{1} << bits) - 1;
    while (s.count[d] < s.equal) s.equal -= s.count[d--];
    s.low -= bits;
    s.least |= std::uint64_t{d} << s.low;
  });
  ctx.each([&](unsigned lane) {
    for (std::size_t d = lane; d < digits; d += Context::lanes) s.count[d] = 0;
  });
}

/// Values of a tile, of which each lane has as many one behind the other.
inline constexpr std::size_t tile_rounds = 8;
template <class Context> inline constexpr std::size_t tile = Context::lanes* tile_rounds;

/// Of a tile, and of all tiles before it.
struct tile_count {
  std::uint64_t above, equal;
};

namespace selection_parts {

/// f(index, its key) of the values of a lane in a tile.
template <class Context, class T, class F>
TUTTI_HD void each_of_lane(std::size_t t, unsigned lane, const T* values, std::size_t n, F&& f) {
  const std::size_t begin = t * tile<Context> + lane * tile_rounds;
  for (std::size_t i = begin; i < begin + tile_rounds && i < n; ++i) f(i, std::uint64_t{magnitude_key(values[i])});
}
template <class Context, class T>
TUTTI_HD tile_count of_lane(std::size_t t, unsigned lane, const T* values, std::size_t n, const selecting& s) {
  tile_count all{};
  each_of_lane<Context>(t, lane, values, n, [&](std::size_t, std::uint64_t key) {
    all.above += key > s.least;
    all.equal += key == s.least;
  });
  return all;
}

} // namespace selection_parts

/// How many of each tile are above the least key, and how many equal it.
template <class Context, class T>
TUTTI_HD void count_tiles(Context& ctx, tile_count& scratch, const T* values, std::size_t n, const selecting& s,
                          tile_count* tiles) {
  const std::size_t all = (n + tile<Context> - 1) / tile<Context>;
  for (std::size_t t = ctx.block(); t < all; t += ctx.blocks()) {
    ctx.each([&](unsigned lane) {
      if (lane == 0) scratch = {};
    });
    ctx.each([&](unsigned lane) {
      const tile_count mine = selection_parts::of_lane<Context>(t, lane, values, n, s);
      if (mine.above != 0) ctx.add(scratch.above, mine.above);
      if (mine.equal != 0) ctx.add(scratch.equal, mine.equal);
    });
    ctx.each([&](unsigned lane) {
      if (lane == 0) tiles[t] = scratch;
    });
  }
}

/// One block: each tile's counts become those of all tiles before it.
template <class Context>
TUTTI_HD void add_up_tiles(Context& ctx, tile_count (&scratch)[Context::lanes], std::size_t all, tile_count* tiles) {
  const std::size_t share = (all + Context::lanes - 1) / Context::lanes;
  const auto each_tile = [&](unsigned lane, auto&& f) {
    for (std::size_t t = lane * share; t < (lane + 1) * share && t < all; ++t) f(tiles[t]);
  };
  ctx.each([&](unsigned lane) {
    tile_count mine{};
    each_tile(lane, [&](const tile_count& t) { mine.above += t.above, mine.equal += t.equal; });
    scratch[lane] = mine;
  });
  ctx.each([&](unsigned lane) {
    if (lane != 0) return;
    tile_count before{};
    for (tile_count& one : scratch) {
      const tile_count next{before.above + one.above, before.equal + one.equal};
      one = before;
      before = next;
    }
  });
  ctx.each([&](unsigned lane) {
    tile_count before = scratch[lane];
    each_tile(lane, [&](tile_count& t) {
      const tile_count next{before.above + t.above, before.equal + t.equal};
      t = before;
      before = next;
    });
  });
}

/// Writes what is kept, in the order of the indices: its index and its value.
template <class Context, class T>
TUTTI_HD void keep_values(Context& ctx, tile_count (&scratch)[Context::lanes], const T* values, std::size_t n,
                          const selecting& s, const tile_count* tiles, std::uint32_t* indices, T* kept) {
  const std::size_t all = (n + tile<Context> - 1) / tile<Context>;
  for (std::size_t t = ctx.block(); t < all; t += ctx.blocks()) {
    ctx.each([&](unsigned lane) { scratch[lane] = selection_parts::of_lane<Context>(t, lane, values, n, s); });
    ctx.each([&](unsigned lane) {
      if (lane != 0) return;
      tile_count before = tiles[t];
      for (tile_count& one : scratch) {
        const tile_count next{before.above + one.above, before.equal + one.equal};
        one = before;
        before = next;
      }
    });
    ctx.each([&](unsigned lane) {
      std::uint64_t above = scratch[lane].above, equal = scratch[lane].equal;
      selection_parts::each_of_lane<Context>(t, lane, values, n, [&](std::size_t i, std::uint64_t key) {
        const bool takes = key > s.least || (key == s.least && equal < s.equal);
        if (takes) {
          const std::uint64_t at = above + (equal < s.equal ? equal : s.equal);
          indices[at] = static_cast<std::uint32_t>(i);
          kept[at] = values[i];
        }
        above += key > s.least;
        equal += key == s.least;
      });
    });
  }
}

} // namespace tutti::detail::kernels
