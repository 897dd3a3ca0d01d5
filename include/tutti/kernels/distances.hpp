// How far contributions are from each other, in one pass over all of them: what Krum and its like agree on.
#pragma once

#include <tutti/core/element.hpp>
#include <tutti/core/limits.hpp>
#include <tutti/kernels/arithmetic.hpp>

#include <cstddef>

namespace tutti::detail::kernels {

/// Contributions of n values each; with `origin` one more point, which is all zeros.
template <class T, std::size_t Most> struct points {
  const T* in[Most];
  std::size_t n;
  int rows;
  bool origin;

  TUTTI_HD int count() const { return rows + origin; }
  TUTTI_HD int pairs() const { return count() * (count() - 1) / 2; }
};

/// Pair p of i > j: those of 1, then those of 2, ...
struct pair_of_points {
  int i, j;
};
TUTTI_HD constexpr pair_of_points pair_at(int p) {
  int i = 1;
  while (p >= i) p -= i++;
  return {i, p};
}

/// Values that a block measures, in eight sums: the order of the host (reducers/distances.hpp).
inline constexpr std::size_t distance_tile = 1024, distance_sums = 8;

/// Of the lanes of a block.
template <std::size_t Lanes> struct distance_scratch { double sums[Lanes]; };

/// found[block * pairs + p] = the squared distance of pair p over the block's tile, the `first` and on.
template <class Context, class T, std::size_t Most>
TUTTI_HD void measure_tile(Context& ctx, const points<T, Most>& of, std::size_t first, double* found,
                           distance_scratch<Context::lanes>& scratch) {
  constexpr int at_once = int(Context::lanes / distance_sums);
  const int pairs = of.pairs();
  const std::size_t begin = (first + ctx.block()) * distance_tile;
  const std::size_t end = of.n - begin < distance_tile ? of.n : begin + distance_tile;
  const rounding rounded;
  for (int p = 0; p < pairs; p += at_once) {
    ctx.each([&](unsigned lane) {
      const int mine = p + int(lane / distance_sums);
      double all = 0;
      if (mine < pairs) {
        const auto [i, j] = pair_at(mine);
        const T* const a = i < of.rows ? of.in[i] : nullptr;
        const T* const b = of.in[j];
        for (std::size_t k = begin + lane % distance_sums; k < end; k += distance_sums) {
          const auto value = [&](const T* row) { return row ? double(element_cast<accumulator_t<T>>(row[k])) : 0.0; };
          const double d = a ? add(value(a), -value(b)) : value(b);
          all = add(all, multiply(rounded, d, d));
        }
      }
      scratch.sums[lane] = all;
    });
    ctx.each([&](unsigned lane) {
      const int mine = p + int(lane / distance_sums);
      if (lane % distance_sums != 0 || mine >= pairs) return;
      const double* const s = scratch.sums + lane;
      found[ctx.block() * std::size_t(pairs) + std::size_t(mine)] =
          add(add(add(s[0], s[1]), add(s[2], s[3])), add(add(s[4], s[5]), add(s[6], s[7])));
    });
  }
}

/// Adds what `tiles` blocks found to the symmetric matrix, in order; the first time it is zero before, and the last
/// time what is no number is infinitely far.
template <class Context>
TUTTI_HD void add_tiles(Context& ctx, const double* found, std::size_t tiles, int count, bool begins, bool ends,
                        double* matrix) {
  const int pairs = count * (count - 1) / 2;
  ctx.each([&](unsigned lane) {
    const int step = int(ctx.blocks() * Context::lanes), me = int(ctx.block() * Context::lanes + lane);
    for (int p = me; p < pairs; p += step) {
      const auto [i, j] = pair_at(p);
      double all = begins ? 0 : matrix[i * count + j];
      for (std::size_t t = 0; t < tiles; ++t) all = add(all, found[t * std::size_t(pairs) + std::size_t(p)]);
      if (ends && all != all) all = most_of<double>;
      matrix[i * count + j] = matrix[j * count + i] = all;
    }
    for (int i = me; begins && i < count; i += step) matrix[i * count + i] = 0;
  });
}

} // namespace tutti::detail::kernels
