// two_bit_block: two bits a value, and two levels for each block that its statistics give.
#pragma once

#include <tutti/codecs/blocks.hpp>
#include <tutti/codecs/codec.hpp>

#include <array>
#include <cstddef>
#include <limits>
#include <span>

namespace tutti {

/// A statistical quantiser, as those in which each level is the mean of what it stands for (Lloyd, "Least squares
/// quantization in PCM", IEEE Trans. Inf. Theory 28, 1982, method I), here with one border: x becomes a or -a where
/// |x| <= m, and b or -b above, with m the mean |x| of its block, a and b the means of the |x| on either side of m; a
/// zero of either sign counts as positive. So |x - C(x)|^2 = |x|^2 - |C(x)|^2, at most (1 - |x|_1^2 / (d |x|_2^2)) |x|_2^2
/// over a block of d as sign_block's, and .127 |x|^2 of normally distributed values (.1175 with the best four levels:
/// Max, "Quantizing for minimum distortion", IRE Trans. Inf. Theory 6, 1960, table I). Biased, as sign_block is where
/// all but one value of a block are small: it needs error feedback. A block of zeros arrives as zeros, one that holds a NaN or an infinity as NaNs.
/// Deterministic. ceil(n / 4) + 8 ceil(n / Block) bytes. Cost: five reads of the values, four of them in the caches.
template <std::size_t Block>
struct basic_two_bit_block {
  using part = codec_part;
  static constexpr codec_kind kind = codec_kind::opaque;
  static constexpr bool biased = true;
  static constexpr std::size_t block = Block;

  template <element T>
  constexpr std::size_t bytes(std::size_t n) const noexcept {
    return detail::block_bytes<Block, head>(n, bits);
  }
  template <element T>
  void encode(std::span<const T> values, std::byte* out) const noexcept {
    detail::each_block<Block, head>(values, out, bits, [](const T* from, std::byte* to, auto count) {
      const levels by{from, count};
      detail::put(to, by.small);
      detail::put(to + sizeof(float), by.large);
      write(from, by.border, to + head, count);
    });
  }
  template <element T>
  void decode(const std::byte* in, std::span<T> out) const noexcept {
    detail::each_block<Block, head>(out, in, bits, [](T* to, const std::byte* from, auto count) {
      const float small = detail::got<float>(from), large = detail::got<float>(from + sizeof(float));
      const std::array<float, 4> all{small, -small, large, -large};
      for (std::size_t i = 0; i < count; ++i)
        to[i] = detail::value_of<T>(all[std::to_integer<unsigned>(from[head + i / 4]) >> (2 * (i % 4)) & 3]);
    });
  }

private:
  static constexpr std::size_t bits = 2, head = 2 * sizeof(float);

  struct levels {
    template <class T, class Count>
    levels(const T* from, Count n) noexcept {
      if (detail::largest_magnitude(from, n) >= detail::infinite_magnitude) {
        small = large = border = std::numeric_limits<float>::quiet_NaN();
        return;
      }
      border = static_cast<float>(detail::sum_of_sizes(from, n, [](float x) { return double(x); }) / double(n));
      const double above = detail::sum_of_sizes(from, n, [&](float x) { return x > border ? 1. : 0.; });
      const double lower = detail::sum_of_sizes(from, n, [&](float x) { return x > border ? 0. : double(x); });
      const double upper = detail::sum_of_sizes(from, n, [&](float x) { return x > border ? double(x) : 0.; });
      small = static_cast<float>(lower / (double(n) - above));
      large = above > 0 ? static_cast<float>(upper / above) : small;
    }
    float small = 0, large = 0, border = 0;
  };

  template <class T>
  static unsigned code(T x, float border) noexcept {
    return unsigned(detail::float_of(x) < 0) | unsigned(detail::size_of(x) > border) << 1;
  }
  template <class T, class Count>
  static void write(const T* __restrict from, float border, std::byte* __restrict to, Count n) noexcept {
    for (std::size_t i = 0; i < n / 4; ++i) {
      unsigned four = 0;
      for (unsigned k = 0; k < 4; ++k) four |= code(from[4 * i + k], border) << (2 * k);
      to[i] = static_cast<std::byte>(four);
    }
    if (n % 4 == 0) return;
    unsigned rest = 0;
    for (unsigned k = 0; k < n % 4; ++k) rest |= code(from[n / 4 * 4 + k], border) << (2 * k);
    to[n / 4] = static_cast<std::byte>(rest);
  }
};
using two_bit_block = basic_two_bit_block<256>;

} // namespace tutti
