// What the codecs share that cut their values into blocks, each with a scale of its own: a block becomes the scale, a
// float, and behind it the codes of its values.
//
// A block that holds a NaN or an infinity arrives as NaNs, every value of it: its scale is a NaN. Values of double
// beyond the range of float count as infinities. A block of zeros arrives as zeros.
#pragma once

#include <tutti/codecs/codec.hpp>
#include <tutti/core/blocks.hpp>
#include <tutti/core/config.hpp>
#include <tutti/core/element.hpp>
#include <tutti/core/float16.hpp>
#include <tutti/core/limits.hpp>
#include <tutti/core/widely.hpp>

#include <algorithm>
#include <array>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>

namespace tutti::detail {

/// As the codecs compute with it.
template <element T>
TUTTI_HD constexpr float float_of(T x) noexcept {
  return static_cast<float>(element_cast<accumulator_t<T>>(x));
}
template <element T>
TUTTI_HD constexpr T value_of(float x) noexcept {
  return element_cast<T>(static_cast<accumulator_t<T>>(x));
}

/// Ordered as magnitudes are; an infinity is above all numbers, and a NaN above that.
TUTTI_HD constexpr std::int32_t magnitude(float x) noexcept {
  return detail::bits_as<std::int32_t>(x) & 0x7fffffff;
}
inline constexpr std::int32_t infinite_magnitude = 0x7f800000;

template <class T, class Count>
std::int32_t largest_magnitude(const T* __restrict values, Count n) noexcept {
  std::int32_t most = 0;
  for (std::size_t i = 0; i < n; ++i) {
    const std::int32_t one = detail::magnitude(detail::float_of(values[i]));
    most = most < one ? one : most;
  }
  return most;
}

/// The distance of codes of a block whose largest magnitude is `most`, and stands for the code `levels`: never so small
/// that 1 / scale overflows.
TUTTI_HD inline float scale_of(std::int32_t most, float levels) noexcept {
  if (most >= infinite_magnitude) return nan_of<float>;
  const float scale = detail::bits_as<float>(most) / levels;
  return scale < least_normal_of<float> ? least_normal_of<float> : scale;
}
/// 1 / scale, or 0 of a scale that is a NaN: then codes count for nothing.
TUTTI_HD inline float inverse(float scale) noexcept { return scale == scale ? 1 / scale : 0; }

/// The nearest whole number, of two the even one, clamped to [-limit, limit], which is whole. A NaN is the least.
TUTTI_HD inline std::int32_t nearest(float x, float limit) noexcept {
  constexpr float magic = 0x1.8p23f; // behind which one unit is the last place
  const auto middle = detail::bits_as<std::int32_t>(magic), far = static_cast<std::int32_t>(limit);
  std::int32_t sum = detail::bits_as<std::int32_t>(x + magic); // rises with x, beyond numbers that are exact too
  sum = sum < middle - far ? middle - far : sum;
  sum = sum > middle + far ? middle + far : sum;
  const bool is_number = detail::magnitude(x) <= infinite_magnitude;
  return std::int32_t(detail::either(is_number, std::uint32_t(sum - middle), std::uint32_t(-far)));
}

template <class X>
void put(std::byte* to, const X& x) noexcept {
  std::memcpy(to, &x, sizeof x);
}
template <class X>
X got(const std::byte* from) noexcept {
  X x;
  std::memcpy(&x, from, sizeof x);
  return x;
}

/// What n values become in blocks of `Block`: `Head` bytes for each, of a scale, and `bits` for each value.
template <std::size_t Block, std::size_t Head = sizeof(float)>
constexpr std::size_t block_bytes(std::size_t n, std::size_t bits) noexcept {
  static_assert(Block > 0 && Block % 8 == 0, "tutti: a block is a multiple of 8 values - use 256");
  const std::size_t whole = n / Block, rest = n % Block;
  return whole * (Head + Block * bits / 8) + (rest > 0 ? Head + (rest * bits + 7) / 8 : 0);
}

/// f(values or out, wire, length) for each block; `bits` are those of a code.
template <std::size_t Block, std::size_t Head = sizeof(float), class V, class Wire, class F>
void each_block(std::span<V> values, Wire* wire, std::size_t bits, F&& f) {
  in_blocks<Block>(values.size(), [&](std::size_t begin, auto count) {
    f(values.data() + begin, wire + begin / Block * (Head + Block * bits / 8), count);
  });
}

/// |x| as a float, and the sum of term(|x|) over n values; eight in step, so that they may be added at once.
template <class T>
float size_of(T x) noexcept {
  return std::bit_cast<float>(detail::magnitude(detail::float_of(x)));
}
template <class T, class Count, class Term>
double sum_of_sizes(const T* __restrict values, Count n, Term&& term) noexcept {
  std::array<double, 8> lanes{};
  for (std::size_t i = 0; i < n / 8; ++i)
    for (std::size_t k = 0; k < 8; ++k) lanes[k] += term(detail::size_of(values[8 * i + k]));
  double all = 0;
  for (const double lane : lanes) all += lane;
  for (std::size_t i = n / 8 * 8; i < n; ++i) all += term(detail::size_of(values[i]));
  return all;
}

/// A codec of such blocks. Codes is `bits` of a code; scale(values, n), that of a block; write(values, scale, out, n) and
/// read(in, scale, out, n), its codes. Two reads of the values.
template <class Codes, std::size_t Block>
struct block_codec {
  using part = codec_part;
  static constexpr codec_kind kind = codec_kind::opaque;
  static constexpr tutti::execution runs = runs_on<Codes>;
  static constexpr std::size_t block = Block;

  template <element T>
  constexpr std::size_t bytes(std::size_t n) const noexcept {
    return detail::block_bytes<Block>(n, Codes::bits);
  }
  template <element T>
  void encode(std::span<const T> values, std::byte* out) const noexcept {
    detail::widely([&] {
      detail::each_block<Block>(values, out, Codes::bits, [](const T* from, std::byte* to, auto count) {
        const float scale = Codes::scale(from, count);
        detail::put(to, scale);
        Codes::write(from, scale, to + sizeof scale, count);
      });
    });
  }
  template <element T>
  void decode(const std::byte* in, std::span<T> out) const noexcept {
    detail::widely([&] {
      detail::each_block<Block>(out, in, Codes::bits, [](T* to, const std::byte* from, auto count) {
        Codes::read(from + sizeof(float), detail::got<float>(from), to, count);
      });
    });
  }
};

} // namespace tutti::detail
