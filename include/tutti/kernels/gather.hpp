// Reducers that see every contribution to a value at once, of the user's own: the columns stand in memory that the
// lanes of a block share, as a reducer may index them as it likes, which registers do not take.
#pragma once

#include <tutti/core/execution.hpp>
#include <tutti/kernels/arithmetic.hpp>
#include <tutti/reducers/column.hpp>
#include <tutti/reducers/reducer.hpp>

#include <concepts>
#include <cstddef>
#include <type_traits>

namespace tutti::detail::kernels {

/// Whether a reducer's gather() is for kernels too.
template <class R, class T>
concept gathers_columns = gathering_reducer<R, T> && !folding_reducer<R, T> && !agreeing_reducer<R> &&
                          std::is_trivially_default_constructible_v<reducer_accumulator_t<R, T>> &&
                          requires(const R r, column<reducer_accumulator_t<R, T>> of) {
                            { r.gather(of) } -> std::same_as<reducer_accumulator_t<R, T>>;
                          };

/// `count` contributions to n values, at most Most, and what each weighs.
template <class T, std::size_t Most> struct gathered {
  const T* in[Most];
  double weights[Most];
  int count;
  T* out;
  std::size_t n;
  double total;
};
/// A column for each lane, side by side.
template <class A, std::size_t Most, std::size_t Lanes> struct gather_scratch { A values[Most * Lanes]; };

/// out[i] = gather(the contributions to value i, in rank order, without those of weight 0), lowered. `out` may be one
/// of the contributions.
template <class Context, class R, class T, class A, std::size_t Most>
TUTTI_HD void gather(Context& ctx, gather_scratch<A, Most, Context::lanes>& scratch, const R& reducer,
                     const gathered<T, Most>& of) {
  const std::size_t step = ctx.blocks() * Context::lanes;
  ctx.each([&](unsigned lane) {
    A* const mine = scratch.values + lane;
#if defined(__CUDA_ARCH__)
#pragma unroll 1
#endif
    for (std::size_t i = ctx.block() * Context::lanes + lane; i < of.n; i += step) {
      std::size_t rows = 0;
#if defined(__CUDA_ARCH__)
#pragma unroll 1
#endif
      for (int k = 0; k < of.count; ++k) {
        if (is_weighted<R> && of.weights[k] == 0) continue;
        mine[rows++ * Context::lanes] = tutti::detail::lift<R, T>(reducer, of.in[k][i], of.weights[k], i);
      }
      const A all = reducer.gather(column<A>{mine, rows, Context::lanes});
      of.out[i] = tutti::detail::lower<T>(reducer, all, of.total, i);
    }
  });
}

} // namespace tutti::detail::kernels
