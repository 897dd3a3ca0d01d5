// int8_block, int4_block: whole numbers of few bits, times a scale for each block of values.
#pragma once

#include <tutti/codecs/blocks.hpp>
#include <tutti/core/rounded.hpp>

#include <cstddef>
#include <cstdint>

namespace tutti {

namespace detail {

struct int8_codes {
  static constexpr tutti::execution runs = tutti::execution::both;
  static constexpr std::size_t bits = 8;

  template <class T, class Count>
  static float scale(const T* from, Count n) noexcept {
    return detail::scale_of(detail::largest_magnitude(from, n), 127);
  }
  template <class T, class Count>
  static void write(const T* __restrict from, float scale, std::byte* __restrict to, Count n) noexcept {
    const float inverse = detail::inverse(scale);
    const rounding rounded;
    for (std::size_t i = 0; i < n; ++i)
      to[i] = static_cast<std::byte>(detail::nearest(rounded(detail::float_of(from[i]) * inverse), 127));
  }
  template <class T, class Count>
  static void read(const std::byte* __restrict from, float scale, T* __restrict to, Count n) noexcept {
    for (std::size_t i = 0; i < n; ++i)
      to[i] = detail::value_of<T>(float(static_cast<signed char>(from[i])) * scale);
  }
};

struct int4_codes {
  static constexpr std::size_t bits = 4;

  template <class T, class Count>
  static float scale(const T* from, Count n) noexcept {
    return detail::scale_of(detail::largest_magnitude(from, n), 7);
  }
  template <class T>
  static std::int32_t code(T x, float inverse) noexcept {
    return detail::nearest(rounding{}(detail::float_of(x) * inverse), 7) + 8;
  }
  template <class T, class Count>
  static void write(const T* __restrict from, float scale, std::byte* __restrict to, Count n) noexcept {
    const float inverse = detail::inverse(scale);
    for (std::size_t i = 0; i < n / 2; ++i)
      to[i] = static_cast<std::byte>(code(from[2 * i], inverse) | code(from[2 * i + 1], inverse) << 4);
    if (n % 2 != 0) to[n / 2] = static_cast<std::byte>(code(from[n - 1], inverse));
  }
  template <class T, class Count>
  static void read(const std::byte* __restrict from, float scale, T* __restrict to, Count n) noexcept {
    for (std::size_t i = 0; i < n / 2; ++i) {
      const auto two = std::to_integer<std::int32_t>(from[i]);
      to[2 * i] = detail::value_of<T>(float((two & 15) - 8) * scale);
      to[2 * i + 1] = detail::value_of<T>(float((two >> 4) - 8) * scale);
    }
    if (n % 2 != 0)
      to[n - 1] = detail::value_of<T>(float((std::to_integer<std::int32_t>(from[n / 2]) & 15) - 8) * scale);
  }
};

} // namespace detail

/// x becomes q = the whole number nearest to x / s in [-127, 127], s = max |x| / 127 over the block; of two the even
/// one (absmax quantisation in blocks: Dettmers, Lewis, Shleifer, Zettlemoyer, "8-bit optimizers via block-wise
/// quantization", ICLR 2022, equation 4, with evenly spaced levels). Error of a value: at most s/2 (1 + 2^-15), so
/// 1/254 of the largest of its block; where that is below 2^-119 at most 2^-127. A block of zeros arrives as +0, one that holds
/// a NaN or an infinity as NaNs. n + 4 ceil(n / Block) bytes. Deterministic.
/// Cost: two reads of the values.
template <std::size_t Block>
struct basic_int8_block : detail::block_codec<detail::int8_codes, Block> {};
using int8_block = basic_int8_block<256>;

/// The same in [-7, 7], two values a byte, the first in its low half: q + 8. Error of a value: at most 1/14 of the
/// largest of its block. ceil(n / 2) + 4 ceil(n / Block) bytes.
template <std::size_t Block>
struct basic_int4_block : detail::block_codec<detail::int4_codes, Block> {};
using int4_block = basic_int4_block<256>;

} // namespace tutti
