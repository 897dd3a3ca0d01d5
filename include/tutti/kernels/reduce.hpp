// The K-way reduction: many contributions become one in a single pass.
#pragma once

#include <tutti/kernels/arithmetic.hpp>
#include <tutti/kernels/packets.hpp>
#include <tutti/reducers/reducer.hpp>

#include <cstddef>

namespace tutti::detail::kernels {

/// Contributions to n values, and the sum of their weights.
template <class T, std::size_t K> struct rows {
  const T* in[K];
  T* out;
  std::size_t n;
  std::size_t head; ///< of all pointers (head_of)
  double total;
};

/// The same, as many as there are, with what each weighs.
template <class T, std::size_t Most> struct weighted_rows {
  rows<T, Most> all;
  double weights[Most];
  int count;
};

/// out[i] = the fold of in[0][i], in[1][i], ... by a folding reducer, from the first to the last and in its
/// accumulators, lowered once. `first` is the index of the first value in the caller's data. `out` may be one of the
/// contributions.
template <std::size_t K, class Context, class R, class T>
TUTTI_HD void reduce(Context& ctx, const R& reducer, const rows<T, K>& of, std::size_t first = 0) {
  using A = reducer_accumulator_t<R, T>;
  constexpr std::size_t length = packet<T>::length;
  const auto one = [&](std::size_t i) {
    A all = tutti::detail::lift<R, T>(reducer, of.in[0][i], 1.0, first + i);
#if defined(__CUDA_ARCH__)
#pragma unroll
#endif
    for (std::size_t k = 1; k < K; ++k)
      all = reducer.combine(all, tutti::detail::lift<R, T>(reducer, of.in[k][i], 1.0, first + i));
    of.out[i] = tutti::detail::lower<T>(reducer, all, of.total, first + i);
  };
  const auto many = [&](std::size_t i) {
    A all[length];
    packet<T> next = load<length>(of.in[0] + i);
    for (std::size_t j = 0; j < length; ++j)
      all[j] = tutti::detail::lift<R, T>(reducer, next.values[j], 1.0, first + i + j);
#if defined(__CUDA_ARCH__)
#pragma unroll
#endif
    for (std::size_t k = 1; k < K; ++k) {
      next = load<length>(of.in[k] + i);
      for (std::size_t j = 0; j < length; ++j)
        all[j] = reducer.combine(all[j], tutti::detail::lift<R, T>(reducer, next.values[j], 1.0, first + i + j));
    }
    for (std::size_t j = 0; j < length; ++j)
      next.values[j] = tutti::detail::lower<T>(reducer, all[j], of.total, first + i + j);
    store(of.out + i, next);
  };
  in_packets<length>(ctx, of.n, of.head, many, one);
}

/// The same of many contributions, each with its weight. What weighs nothing contributes the identity, whatever it
/// holds.
template <std::size_t Most, class Context, class R, class T>
TUTTI_HD void reduce_weighted(Context& ctx, const R& reducer, const weighted_rows<T, Most>& of, std::size_t first = 0) {
  using A = reducer_accumulator_t<R, T>;
  constexpr std::size_t length = packet<T>::length;
  const rounding rounded;
  const auto lifted = [&](T x, int k, std::size_t i) {
    if (of.weights[k] == 0) return reducer.template identity<A>();
    const A a = tutti::detail::lift<R, T>(reducer, x, of.weights[k], first + i);
    if constexpr (std::floating_point<A>)
      return rounded(a); // a lift that multiplies is not fused with the addition behind it
    else return a;
  };
  const auto one = [&](std::size_t i) {
    A all = lifted(of.all.in[0][i], 0, i);
#if defined(__CUDA_ARCH__)
#pragma unroll 1
#endif
    for (int k = 1; k < of.count; ++k) all = reducer.combine(all, lifted(of.all.in[k][i], k, i));
    of.all.out[i] = tutti::detail::lower<T>(reducer, all, of.all.total, first + i);
  };
  const auto many = [&](std::size_t i) {
    A all[length];
    packet<T> next = load<length>(of.all.in[0] + i);
    for (std::size_t j = 0; j < length; ++j) all[j] = lifted(next.values[j], 0, i + j);
#if defined(__CUDA_ARCH__)
#pragma unroll 4
#endif
    for (int k = 1; k < of.count; ++k) {
      next = load<length>(of.all.in[k] + i);
      for (std::size_t j = 0; j < length; ++j) all[j] = reducer.combine(all[j], lifted(next.values[j], k, i + j));
    }
    for (std::size_t j = 0; j < length; ++j)
      next.values[j] = tutti::detail::lower<T>(reducer, all[j], of.all.total, first + i + j);
    store(of.all.out + i, next);
  };
  in_packets<length>(ctx, of.all.n, of.all.head, many, one);
}

} // namespace tutti::detail::kernels
