// Codecs of blocks (codecs/blocks.hpp) in kernels: the bytes that their host loops write, and what these decode to.
//
// A warp works on a block of 256 values: lane l has values 4 l .. 4 l + 3 and 128 more. Messages begin on multiples of
// four bytes, and so does every block in them.
#pragma once

#include <tutti/codecs/fp8_block.hpp>
#include <tutti/codecs/int_block.hpp>
#include <tutti/codecs/sign_block.hpp>
#include <tutti/kernels/arithmetic.hpp>
#include <tutti/kernels/norm.hpp>
#include <tutti/kernels/packets.hpp>
#include <tutti/reducers/reducer.hpp>

#include <cstddef>
#include <cstdint>

namespace tutti::detail::kernels {

/// What a codec does with one value of a block; `signs` are one bit each, the others one byte.
struct int8_code {
  static constexpr bool signs = false;
  static constexpr float levels = 127;
  TUTTI_HD static std::uint8_t code(float x, float inverse) { return std::uint8_t(nearest(x * inverse, 127)); }
  TUTTI_HD static float value(std::uint8_t code) { return float(static_cast<signed char>(code)); }
};
template <fp8 Format> struct fp8_code {
  static constexpr bool signs = false;
  static constexpr float levels = largest_fp8<Format>;
  TUTTI_HD static std::uint8_t code(float x, float inverse) { return to_fp8<Format>(x * inverse); }
  TUTTI_HD static float value(std::uint8_t code) { return from_fp8<Format>(code); }
};
struct sign_code {
  static constexpr bool signs = true;
};

template <class C> struct code_of; ///< of a codec, and the values of its blocks
template <std::size_t Block> struct code_of<basic_int8_block<Block>> { using type = int8_code; };
template <fp8 Format, std::size_t Block> struct code_of<basic_fp8_block<Format, Block>> {
  using type = fp8_code<Format>;
};
template <std::size_t Block> struct code_of<basic_sign_block<Block>> { using type = sign_code; };

/// The codecs that kernels know.
template <class C>
concept block_code = requires {
  typename code_of<C>::type;
}
&&(C::block == 256 || C::block == 128);

/// What encode() is given; the memory of error feedback, or none.
template <class T> struct encoding {
  const T* values;
  T* sent; ///< what decoding gives, in place of the values, say; null: not written
  std::byte* wire;
  std::size_t n;
  const accumulator_t<T>* before; ///< null: nothing is remembered
  accumulator_t<T>* after;
  accumulator_t<T> decay;
  const norm_verdict* verdict = nullptr; ///< values are multiplied by its factor first, and where it is not finite
                                         ///< nothing is written; null: as they are
};

/// What lanes of a block tell each other: values, and sums of magnitudes. Only signs have such a scale.
template <std::size_t Lanes, bool Signs> struct block_scratch {};
template <std::size_t Lanes> struct block_scratch<Lanes, true> {
  float values[Lanes / 32][256];
  double sums[Lanes / 32][8];
};

namespace coding_parts {

/// Where the k-th of the values that a lane has stands in its block.
TUTTI_HD constexpr std::size_t index_of(unsigned lane, unsigned k) {
  return k / 4 * 128 + 4 * (lane % 32) + k % 4;
}

/// f(index in the block, how manieth of the lane) of the values that a lane has, as far as there are so many.
template <std::size_t Block, class F> TUTTI_HD void each_value(unsigned lane, std::size_t count, F&& f) {
#if defined(__CUDA_ARCH__)
#pragma unroll
#endif
  for (unsigned k = 0; k < Block / 32; ++k)
    if (const std::size_t i = index_of(lane, k); i < count) f(i, k);
}
/// The values that a lane has of a block at `from`; zeros behind its end.
template <std::size_t Block, class X>
TUTTI_HD void read_values(const X* from, unsigned lane, std::size_t count, X (&to)[Block / 32]) {
  if (count == Block && takes_quads(from)) {
#if defined(__CUDA_ARCH__)
#pragma unroll
#endif
    for (unsigned k = 0; k < Block / 32; k += 4) {
      const auto four = load_quad(from + index_of(lane, k));
      for (unsigned j = 0; j < 4; ++j) to[k + j] = four.values[j];
    }
    return;
  }
  for (X& x : to) x = X{};
  each_value<Block>(lane, count, [&](std::size_t i, unsigned k) { to[k] = from[i]; });
}
template <std::size_t Block, class X>
TUTTI_HD void write_values(X* to, unsigned lane, std::size_t count, const X (&from)[Block / 32]) {
  if (count == Block && takes_quads(to)) {
#if defined(__CUDA_ARCH__)
#pragma unroll
#endif
    for (unsigned k = 0; k < Block / 32; k += 4)
      store_quad(to + index_of(lane, k), quad<X>{{from[k], from[k + 1], from[k + 2], from[k + 3]}});
    return;
  }
  each_value<Block>(lane, count, [&](std::size_t i, unsigned k) { to[i] = from[k]; });
}

template <class Code, std::size_t Block>
inline constexpr std::size_t wire_bytes = sizeof(float) + (Code::signs ? Block / 8 : Block);

TUTTI_HD inline float scale_at(const std::byte* wire) {
#if defined(__CUDA_ARCH__)
  return *reinterpret_cast<const float*>(wire);
#else
  float scale;
  std::memcpy(&scale, wire, sizeof scale);
  return scale;
#endif
}
/// What the codes of a block stand for that a lane has.
template <class Code, std::size_t Block>
TUTTI_HD void decode_values(const std::byte* wire, unsigned lane, std::size_t count, const rounding& rounded,
                            float (&to)[Block / 32]) {
  const float scale = scale_at(wire);
  const auto* const codes = reinterpret_cast<const std::uint8_t*>(wire + sizeof scale);
  if constexpr (Code::signs) {
    each_value<Block>(lane, count, [&](std::size_t i, unsigned k) {
      to[k] = (unsigned{codes[i / 8]} >> i % 8 & 1) != 0 ? -scale : scale;
    });
  } else {
    std::uint8_t mine[Block / 32];
    read_values<Block>(codes, lane, count, mine);
    for (unsigned k = 0; k < Block / 32; ++k) to[k] = multiply(rounded, Code::value(mine[k]), scale);
  }
}

TUTTI_HD inline void put_scale(std::byte* wire, float scale) {
#if defined(__CUDA_ARCH__)
  *reinterpret_cast<float*>(wire) = scale;
#else
  std::memcpy(wire, &scale, sizeof scale);
#endif
}

} // namespace coding_parts

/// Encodes, and remembers what was left out: the bytes, what is sent and what is remembered are those of the codec, and
/// of error_feedback around it, on the host. `Block` is 128 or 256. One read of everything.
template <class Code, std::size_t Block, class Context, class T>
TUTTI_HD void encode(Context& ctx, [[maybe_unused]] block_scratch<Context::lanes, Code::signs>& scratch,
                     const encoding<T>& of) {
  using A = accumulator_t<T>;
  namespace parts = coding_parts;
  constexpr std::size_t warps = Context::lanes / 32, bytes = parts::wire_bytes<Code, Block>;
  const rounding rounded;
  if (!may_encode(of.verdict)) return;
  const A factor = factor_of<A>(of.verdict);
  const std::size_t blocks = (of.n + Block - 1) / Block;
  struct held {
    A values[Block / 32]; ///< exact, as far as they are remembered
  };
  typename Context::template own<held> mine;
  typename Context::template own<std::int32_t> most;
  typename Context::template own<float> scales;

  for (std::size_t first = ctx.block() * warps; first < blocks; first += ctx.blocks() * warps) {
    const auto at = [&](unsigned lane) { return (first + lane / 32) * Block; };
    const auto count_at = [&](unsigned lane) {
      const std::size_t begin = at(lane);
      return begin >= of.n ? std::size_t{0} : of.n - begin < Block ? of.n - begin : Block;
    };
    ctx.each([&](unsigned lane) {
      most[lane] = 0;
      const std::size_t begin = at(lane), count = count_at(lane);
      if (count == 0) return;
      T values[Block / 32];
      A before[Block / 32];
      parts::read_values<Block>(of.values + begin, lane, count, values);
      if (of.before) parts::read_values<Block>(of.before + begin, lane, count, before);
      parts::each_value<Block>(lane, count, [&](std::size_t i, unsigned k) {
        A x = scaled<T>(rounded, values[k], factor);
        if (of.before) x = add(multiply(rounded, of.decay, before[k]), x);
        mine[lane].values[k] = x;
        const float v = float_of(element_cast<T>(x));
        most[lane] = most[lane] < magnitude(v) ? magnitude(v) : most[lane];
        if constexpr (Code::signs) scratch.values[lane / 32][i] = v;
      });
    });
    ctx.warp_most(most);
    if constexpr (Code::signs) { // the order of sign_codes: eight sums of every eighth magnitude
      const auto size = [&](unsigned lane, std::size_t i) {
        return double(bits_as<float>(magnitude(scratch.values[lane / 32][i])));
      };
      ctx.each([&](unsigned lane) {
        if (lane % 32 >= 8) return;
        double all = 0;
        for (std::size_t i = 0; i < count_at(lane) / 8; ++i) all = add(all, size(lane, 8 * i + lane % 32));
        scratch.sums[lane / 32][lane % 32] = all;
      });
      ctx.each([&](unsigned lane) {
        const std::size_t count = count_at(lane);
        double all = 0;
        for (const double sum : scratch.sums[lane / 32]) all = add(all, sum);
        for (std::size_t i = count / 8 * 8; i < count; ++i) all = add(all, size(lane, i));
        scales[lane] = most[lane] < infinite_magnitude ? static_cast<float>(divide(all, double(count > 0 ? count : 1)))
                                                       : nan_of<float>;
      });
    }
    ctx.each([&](unsigned lane) {
      const std::size_t begin = at(lane), count = count_at(lane);
      if (count == 0) return;
      std::byte* const wire = of.wire + begin / Block * bytes;
      float scale;
      if constexpr (Code::signs) scale = scales[lane];
      else scale = scale_of(most[lane], Code::levels);
      if (lane % 32 == 0) parts::put_scale(wire, scale);
      [[maybe_unused]] const float inverse = detail::inverse(scale);
      if constexpr (Code::signs) {
        if (const unsigned i = 8 * (lane % 32); i < count && i < Block) {
          unsigned signs = 0;
          for (unsigned k = 0; k < 8 && i + k < count; ++k)
            signs |= unsigned(scratch.values[lane / 32][i + k] < 0) << k;
          wire[sizeof(float) + lane % 32] = static_cast<std::byte>(signs);
        }
      }
      [[maybe_unused]] std::uint8_t codes[Block / 32] = {};
      T sent[Block / 32] = {};
      A after[Block / 32] = {};
      parts::each_value<Block>(lane, count, [&]([[maybe_unused]] std::size_t i, unsigned k) {
        const A x = mine[lane].values[k];
        float arrives;
        if constexpr (Code::signs) {
          arrives = scratch.values[lane / 32][i] < 0 ? -scale : scale;
        } else {
          codes[k] = Code::code(float_of(element_cast<T>(x)), inverse);
          arrives = multiply(rounded, Code::value(codes[k]), scale);
        }
        sent[k] = value_of<T>(arrives);
        after[k] = add(x, -element_cast<A>(sent[k]));
      });
      if constexpr (!Code::signs)
        parts::write_values<Block>(reinterpret_cast<std::uint8_t*>(wire) + sizeof scale, lane, count, codes);
      if (of.sent) parts::write_values<Block>(of.sent + begin, lane, count, sent);
      if (of.before) parts::write_values<Block>(of.after + begin, lane, count, after);
    });
  }
}

/// Messages of `count` ranks, decoded and reduced in one pass: out[i] = the fold of what they stand for, from the first
/// to the last, lowered once.
template <class Code, std::size_t Block, class Context, class R, class T, std::size_t Most>
TUTTI_HD void decode_and_reduce(Context& ctx, const R& reducer, const std::byte* const (&wires)[Most], int count,
                                T* out, std::size_t n, double total) {
  using A = reducer_accumulator_t<R, T>;
  namespace parts = coding_parts;
  constexpr std::size_t warps = Context::lanes / 32, bytes = parts::wire_bytes<Code, Block>;
  const rounding rounded;
  const std::size_t blocks = (n + Block - 1) / Block;
  ctx.each([&](unsigned lane) {
    for (std::size_t b = ctx.block() * warps + lane / 32; b < blocks; b += ctx.blocks() * warps) {
      const std::size_t begin = b * Block, length = n - begin < Block ? n - begin : Block;
      A all[Block / 32];
      for (int r = 0; r < count; ++r) {
        const std::byte* const wire = wires[r] + b * bytes;
        float values[Block / 32];
        parts::decode_values<Code, Block>(wire, lane, length, rounded, values);
        parts::each_value<Block>(lane, length, [&](std::size_t i, unsigned k) {
          const A a = tutti::detail::lift<R, T>(reducer, value_of<T>(values[k]), 1.0, begin + i);
          all[k] = r == 0 ? a : reducer.combine(all[k], a);
        });
      }
      T result[Block / 32] = {};
      parts::each_value<Block>(lane, length, [&](std::size_t i, unsigned k) {
        result[k] = tutti::detail::lower<T>(reducer, all[k], total, begin + i);
      });
      parts::write_values<Block>(out + begin, lane, length, result);
    }
  });
}

} // namespace tutti::detail::kernels
