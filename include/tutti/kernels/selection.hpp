// The k values of largest magnitude (codecs/selection.hpp), found digit by digit and kept in their order.
//
// A selection is a sequence of kernels over the same memory; between two of them every block is done:
//
//   begin_selecting
//   count_digits, choose_digit   of the values: the highest digit of the least key that is kept
//   count_tiles, add_up_tiles    how many values have no lower one: the candidates
//   gather_candidates            these with their indices, in their order, where there is room for them
//   count_digits, choose_digit   for each further digit, of the candidates
//   count_tiles, add_up_tiles,
//   keep_values                  of the candidates
//
// So the values are read three times, as a digit has few values; where there is no room for the candidates, what
// follows reads the values instead. Exactly k values are kept, of equal magnitudes those with the lowest index,
// whatever the order in which blocks run.
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
  std::uint64_t candidates;    ///< how many values are not below the first digit; not_counted before
  int low;                     ///< bits that are not chosen yet
};
inline constexpr std::uint64_t not_counted = ~std::uint64_t{0};

/// Of a tile, and of all tiles before it: values above the least key, and equal to it.
struct tile_count {
  std::uint64_t above, equal;
};

/// What all bodies are given.
template <class T> struct selection {
  const T* values;
  std::size_t n;
  std::size_t head;      ///< of the values
  T* candidates;         ///< on a 16-byte boundary
  std::uint32_t* places; ///< of each candidate among the values
  std::size_t room;      ///< for so many
  selecting* state;
  tile_count* tiles;
  std::uint32_t* indices; ///< of what is kept
  T* kept;
};

/// Values of T have keys of so many bits.
template <class T> inline constexpr int key_bits = sizeof(magnitude_key(T{})) == 4 ? 31 : 63;
TUTTI_HD constexpr int next_digit(int low) {
  return low < digit_bits ? low : digit_bits;
}

/// Values of a tile, of which each lane has as many one behind the other.
inline constexpr std::size_t tile_rounds = 8;
template <class Context> inline constexpr std::size_t tile = Context::lanes* tile_rounds;

namespace selection_parts {

/// Among which is selected next: the candidates where there was room for them, and else the values.
template <class T> struct source {
  const T* values;
  const std::uint32_t* places; ///< null: of the values themselves
  std::size_t n, head;
};
template <class T> TUTTI_HD source<T> source_of(const selection<T>& of) {
  const std::uint64_t candidates = of.state->candidates;
  if (candidates <= of.room) return {of.candidates, of.places, static_cast<std::size_t>(candidates), 0};
  return {of.values, nullptr, of.n, of.head};
}

template <class Context> TUTTI_HD std::size_t tiles_of(std::size_t n) {
  return n / tile<Context> + (n % tile<Context> != 0);
}
/// f(place among the values, value, its key) of the values of a lane in a tile.
template <class Context, class T, class F>
TUTTI_HD void each_of_lane(std::size_t t, unsigned lane, const source<T>& from, F&& f) {
  const std::size_t begin = t * tile<Context> + lane * tile_rounds;
  const auto take = [&](std::size_t i, T x) {
    f(from.places ? from.places[i] : static_cast<std::uint32_t>(i), x, std::uint64_t{magnitude_key(x)});
  };
  if (begin + tile_rounds <= from.n && takes_quads(from.values)) {
#if defined(__CUDA_ARCH__)
#pragma unroll
#endif
    for (std::size_t k = 0; k < tile_rounds; k += 4) {
      const auto four = load_quad(from.values + begin + k);
      for (std::size_t j = 0; j < 4; ++j) take(begin + k + j, four.values[j]);
    }
    return;
  }
  for (std::size_t i = begin; i < begin + tile_rounds && i < from.n; ++i) take(i, from.values[i]);
}
/// How many of a lane are above the least key, and in the upper half of the word how many equal it.
template <class Context, class T>
TUTTI_HD std::uint32_t of_lane(std::size_t t, unsigned lane, const source<T>& from, std::uint64_t least) {
  static_assert(tile<Context> < (1u << 16), "tutti: the counts of a tile have sixteen bits each");
  std::uint32_t all = 0;
  each_of_lane<Context>(t, lane, from, [&](std::uint32_t, T, std::uint64_t key) {
    all += std::uint32_t(key > least) + (std::uint32_t(key == least) << 16);
  });
  return all;
}

} // namespace selection_parts

/// One block: the beginning. 1 <= k <= n.
template <class Context, class T> TUTTI_HD void begin_selecting(Context& ctx, const selection<T>& of, std::size_t k) {
  selecting& s = *of.state;
  ctx.each([&](unsigned lane) {
    for (std::size_t d = lane; d < digits; d += Context::lanes) s.count[d] = 0;
    if (lane != 0) return;
    s.least = 0;
    s.equal = k;
    s.candidates = not_counted;
    s.low = key_bits<T>;
  });
}

/// Counts the next digit of all keys that begin with the digits that are chosen. `scratch` is the block's.
template <class Context, class T>
TUTTI_HD void count_digits(Context& ctx, std::uint32_t (&scratch)[digits], const selection<T>& of) {
  constexpr std::size_t length = packet<T>::length;
  selecting& s = *of.state;
  const auto from = selection_parts::source_of(of);
  const int known = s.low, bits = next_digit(known), low = known - bits;
  const std::uint64_t above = s.least >> known;
  ctx.each([&](unsigned lane) {
    for (std::size_t d = lane; d < digits; d += Context::lanes) scratch[d] = 0;
  });
  const auto take = [&](T x) {
    const std::uint64_t key = magnitude_key(x);
    if (key >> known == above) ctx.add(scratch[std::size_t(key >> low) & ((std::size_t{1} << bits) - 1)], 1u);
  };
  in_packets<length>(
      ctx, from.n, from.head,
      [&](std::size_t i) {
        const auto next = load<length>(from.values + i);
        for (std::size_t k = 0; k < length; ++k) take(next.values[k]);
      },
      [&](std::size_t i) { take(from.values[i]); });
  ctx.each([&](unsigned lane) {
    for (std::size_t d = lane; d < digits; d += Context::lanes)
      if (scratch[d] != 0) ctx.add(s.count[d], std::uint64_t{scratch[d]});
  });
}

/// One block: the digit below which nothing is kept. A lane has digits one behind the other, the first the highest.
template <class Context> TUTTI_HD void choose_digit(Context& ctx, selecting& s) {
  constexpr std::size_t share = digits / Context::lanes;
  const int low = s.low - next_digit(s.low);
  const std::uint64_t wanted = s.equal, least = s.least;
  typename Context::template own<std::uint64_t> before;
  const auto digit = [](unsigned lane, std::size_t k) { return digits - 1 - (lane * share + k); };
  ctx.each([&](unsigned lane) {
    std::uint64_t all = 0;
    for (std::size_t k = 0; k < share; ++k) all += s.count[digit(lane, k)];
    before[lane] = all;
  });
  ctx.sum_before(before);
  ctx.each([&](unsigned lane) {
    std::uint64_t all = before[lane];
    for (std::size_t k = 0; k < share; ++k) {
      const std::size_t d = digit(lane, k);
      const std::uint64_t count = s.count[d];
      if (all < wanted && wanted <= all + count) {
        s.low = low;
        s.least = least | std::uint64_t{d} << low;
        s.equal = wanted - all;
      }
      all += count;
      s.count[d] = 0;
    }
  });
}

/// How many of each tile are above the least key, and how many equal it.
template <class Context, class T> TUTTI_HD void count_tiles(Context& ctx, const selection<T>& of) {
  const auto from = selection_parts::source_of(of);
  const std::uint64_t least = of.state->least;
  const std::size_t all = selection_parts::tiles_of<Context>(from.n);
  typename Context::template own<std::uint32_t> counted;
  for (std::size_t t = ctx.block(); t < all; t += ctx.blocks()) {
    ctx.each([&](unsigned lane) { counted[lane] = selection_parts::of_lane<Context>(t, lane, from, least); });
    const std::uint32_t both = ctx.sum_before(counted);
    ctx.each([&](unsigned lane) {
      if (lane == 0) of.tiles[t] = {both & 0xffff, both >> 16};
    });
  }
}

/// One block: each tile's counts become those of all tiles before it. The first time they are of the candidates.
template <class Context, class T> TUTTI_HD void add_up_tiles(Context& ctx, const selection<T>& of) {
  const std::size_t all = selection_parts::tiles_of<Context>(selection_parts::source_of(of).n);
  const std::size_t share = (all + Context::lanes - 1) / Context::lanes;
  const bool counts_candidates = of.state->candidates == not_counted;
  typename Context::template own<std::uint64_t> above, equal;
  const auto each_tile = [&](unsigned lane, auto&& f) {
    for (std::size_t t = lane * share; t < (lane + 1) * share && t < all; ++t) f(of.tiles[t]);
  };
  ctx.each([&](unsigned lane) {
    tile_count mine{};
    each_tile(lane, [&](const tile_count& t) { mine.above += t.above, mine.equal += t.equal; });
    above[lane] = mine.above;
    equal[lane] = mine.equal;
  });
  const std::uint64_t all_above = ctx.sum_before(above), all_equal = ctx.sum_before(equal);
  ctx.each([&](unsigned lane) {
    if (lane == 0 && counts_candidates) of.state->candidates = all_above + all_equal;
    tile_count before{above[lane], equal[lane]};
    each_tile(lane, [&](tile_count& t) {
      const tile_count next{before.above + t.above, before.equal + t.equal};
      t = before;
      before = next;
    });
  });
}

/// The values that are not below the first digit and their places, where there is room for all of them.
template <class Context, class T> TUTTI_HD void gather_candidates(Context& ctx, const selection<T>& of) {
  const selecting& s = *of.state;
  if (s.candidates > of.room) return;
  const selection_parts::source<T> from{of.values, nullptr, of.n, of.head};
  const std::size_t all = selection_parts::tiles_of<Context>(of.n);
  typename Context::template own<std::uint32_t> before;
  for (std::size_t t = ctx.block(); t < all; t += ctx.blocks()) {
    ctx.each([&](unsigned lane) {
      const std::uint32_t mine = selection_parts::of_lane<Context>(t, lane, from, s.least);
      before[lane] = (mine & 0xffff) + (mine >> 16);
    });
    ctx.sum_before(before);
    ctx.each([&](unsigned lane) {
      std::uint64_t at = of.tiles[t].above + of.tiles[t].equal + before[lane];
      selection_parts::each_of_lane<Context>(t, lane, from, [&](std::uint32_t place, T x, std::uint64_t key) {
        if (key < s.least) return;
        of.candidates[at] = x;
        of.places[at++] = place;
      });
    });
  }
}

/// Writes what is kept, in the order of the indices: its index and its value.
template <class Context, class T> TUTTI_HD void keep_values(Context& ctx, const selection<T>& of) {
  const selecting& s = *of.state;
  const auto from = selection_parts::source_of(of);
  const std::size_t all = selection_parts::tiles_of<Context>(from.n);
  typename Context::template own<std::uint32_t> before;
  for (std::size_t t = ctx.block(); t < all; t += ctx.blocks()) {
    ctx.each([&](unsigned lane) { before[lane] = selection_parts::of_lane<Context>(t, lane, from, s.least); });
    ctx.sum_before(before);
    ctx.each([&](unsigned lane) {
      std::uint64_t above = of.tiles[t].above + (before[lane] & 0xffff);
      std::uint64_t equal = of.tiles[t].equal + (before[lane] >> 16);
      selection_parts::each_of_lane<Context>(t, lane, from, [&](std::uint32_t place, T x, std::uint64_t key) {
        if (key > s.least || (key == s.least && equal < s.equal)) {
          const std::uint64_t at = above + (equal < s.equal ? equal : s.equal);
          of.indices[at] = place;
          of.kept[at] = x;
        }
        above += key > s.least;
        equal += key == s.least;
      });
    });
  }
}

} // namespace tutti::detail::kernels
