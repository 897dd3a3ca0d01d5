// The length of a gradient of many tensors, whether it is finite, and what follows: scaled, clipped, rounded.
#pragma once

#include <tutti/core/element.hpp>
#include <tutti/kernels/arithmetic.hpp>
#include <tutti/kernels/packets.hpp>

#include <cmath>
#include <cstddef>
#include <cstdint>

namespace tutti::detail::kernels {

/// Tensors of any lengths, cut into chunks, so that long and short ones are shared out evenly.
template <class T, std::size_t Most> struct tensor_list {
  const T* data[Most];
  std::size_t n[Most];
  std::size_t chunks_before[Most + 1]; ///< of the tensors before each; behind the last, of all
  int count;
};

/// What a block found, or all of them.
struct found_norm {
  double squares;
  std::uint32_t bad; ///< values that are not finite
};

/// What all of it comes to.
struct norm_verdict {
  double squares;       ///< of the unscaled gradient; not finite where a value is not
  float factor;         ///< that gradients are to be multiplied by: unscaled, and clipped
  std::uint32_t finite; ///< whether all values are, and the sum of their squares is
};

template <class T> TUTTI_HD bool is_finite_value(T x) {
  using A = accumulator_t<T>; // whose bits are looked at: of half and bfloat16 no finite value becomes infinite
  const A a = element_cast<A>(x);
  if constexpr (sizeof(A) == 8)
    return (bits_as<std::uint64_t>(a) & ~(std::uint64_t{1} << 63)) < std::uint64_t{0x7ff} << 52;
  else return (bits_as<std::uint32_t>(a) & 0x7fffffffu) < 0x7f800000u;
}

/// Values of a lane in each chunk, and so the chunk: a constant, as the order of the sum depends on it.
inline constexpr std::size_t chunk_rounds = 4;

/// found[block] = the sum of the squares in double of every blocks-th chunk. Within a chunk lane l takes the values
/// 4 l .. 4 l + 3, then those behind the 4 `lanes` that all lanes took, in order; then all lanes are added up
/// (context.hpp). So the bits do not depend on where tensors begin in memory; they do on the number of blocks.
template <class Context, class T, std::size_t Most>
TUTTI_HD void sum_squares(Context& ctx, const tensor_list<T, Most>& of, found_norm* found) {
  constexpr std::size_t four = 4, stride = four * Context::lanes, chunk = stride * chunk_rounds;
  const rounding rounded;
  typename Context::template own<double> squares;
  typename Context::template own<std::uint32_t> bad;
  ctx.each([&](unsigned lane) {
    int tensor = 0;
    double all = 0;
    std::uint32_t wrong = 0;
    const auto take = [&](T x) {
      const double v = static_cast<double>(element_cast<accumulator_t<T>>(x));
      all = add(all, multiply(rounded, v, v));
      wrong += !is_finite_value(x);
    };
#if defined(__CUDA_ARCH__)
#pragma unroll 1
#endif
    for (std::size_t c = ctx.block(); c < of.chunks_before[of.count]; c += ctx.blocks()) {
      while (of.chunks_before[tensor + 1] <= c) ++tensor;
      const T* const data = of.data[tensor];
      const std::size_t n = of.n[tensor], begin = (c - of.chunks_before[tensor]) * chunk + four * lane;
      const bool whole = takes_quads(data);
#if defined(__CUDA_ARCH__)
#pragma unroll
#endif
      for (std::size_t r = 0; r < chunk_rounds; ++r) {
        const std::size_t i = begin + r * stride;
        if (whole && i + four <= n) {
          const auto all_four = load_quad(data + i);
          for (std::size_t k = 0; k < four; ++k) take(all_four.values[k]);
        } else {
          for (std::size_t k = i; k < i + four && k < n; ++k) take(data[k]);
        }
      }
    }
    squares[lane] = all;
    bad[lane] = wrong;
  });
  const double all = ctx.sum(squares);
  const std::uint32_t wrong = ctx.sum(bad);
  ctx.each([&](unsigned lane) {
    if (lane == 0) found[ctx.block()] = {all, wrong};
  });
}

/// One block: adds up what others found; `scale` unscales, and a gradient longer than `clip` (0: none is) becomes as
/// long.
template <class Context>
TUTTI_HD void judge_norm(Context& ctx, const found_norm* found, std::size_t count, double scale, double clip,
                         norm_verdict* verdict) {
  const rounding rounded;
  typename Context::template own<double> squares;
  typename Context::template own<std::uint32_t> bad;
  ctx.each([&](unsigned lane) {
    double all = 0;
    std::uint32_t wrong = 0;
    for (std::size_t k = lane; k < count; k += Context::lanes) {
      all = add(all, found[k].squares);
      wrong |= found[k].bad != 0;
    }
    squares[lane] = all;
    bad[lane] = wrong;
  });
  const double all = multiply(rounded, multiply(rounded, ctx.sum(squares), scale), scale);
  const std::uint32_t wrong = ctx.sum(bad);
  ctx.each([&](unsigned lane) {
    if (lane != 0) return;
    const double norm = root(all);
    const bool finite = wrong == 0 && is_finite_value(all);
    const bool clips = clip > 0 && finite && norm > clip;
    *verdict = {all, static_cast<float>(clips ? multiply(rounded, scale, divide(clip, norm)) : scale), finite};
  });
}

/// What is encoded behind a verdict: nothing where it is not finite; without one all, as it is.
TUTTI_HD inline bool may_encode(const norm_verdict* verdict) {
  return !verdict || verdict->finite != 0;
}
template <class A> TUTTI_HD A factor_of(const norm_verdict* verdict) {
  return verdict ? static_cast<A>(verdict->factor) : A(1);
}
/// As scale_and_cast leaves it behind: rounded to T.
template <class T> TUTTI_HD accumulator_t<T> scaled(const rounding& rounded, T x, accumulator_t<T> factor) {
  using A = accumulator_t<T>;
  return element_cast<A>(element_cast<T>(multiply(rounded, element_cast<A>(x), factor)));
}

/// to = from times the verdict's factor, rounded to U; nothing is written where the verdict is not finite. `to` may be
/// `from` where the types are the same.
template <class Context, class T, class U>
TUTTI_HD void scale_and_cast(Context& ctx, const T* from, U* to, std::size_t n, std::size_t head,
                             const norm_verdict* verdict) {
  using A = accumulator_t<T>;
  constexpr std::size_t length = sizeof(T) < sizeof(U) ? 16 / sizeof(T) : 16 / sizeof(U);
  if (!verdict->finite) return;
  const rounding rounded;
  const A factor = static_cast<A>(verdict->factor);
  const auto made = [&](T x) { return element_cast<U>(multiply(rounded, element_cast<A>(x), factor)); };
  in_packets<length>(
      ctx, n, head,
      [&](std::size_t i) {
        const auto in = load<length>(from + i);
        packet<U, length> out;
        for (std::size_t k = 0; k < length; ++k) out.values[k] = made(in.values[k]);
        store(to + i, out);
      },
      [&](std::size_t i) { to[i] = made(from[i]); });
}

} // namespace tutti::detail::kernels
