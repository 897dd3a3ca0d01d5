// fp8_block: floating-point numbers of eight bits, times a scale for each block of values.
#pragma once

#include <tutti/codecs/blocks.hpp>
#include <tutti/codecs/codec.hpp>

#include <array>
#include <cstdint>

namespace tutti {

/// The two formats of Micikevicius et al., "FP8 formats for deep learning" (arXiv 2209.05433, table 1): sign, exponent,
/// mantissa. e4m3 has no infinity and reaches 448, e5m2 reaches 57,344.
enum class fp8 : std::uint8_t { e4m3, e5m2 };

/// The largest number of a format.
template <fp8 Format>
inline constexpr float largest_fp8 = Format == fp8::e4m3 ? 448.f : 57344.f;

namespace detail {

template <fp8 Format>
struct fp8_facts {
  static constexpr int mantissa = Format == fp8::e4m3 ? 3 : 2;
  static constexpr int bias = Format == fp8::e4m3 ? 7 : 15;
  static constexpr int shift = 23 - mantissa;
  static constexpr std::int32_t rebias = (127 - bias) << 23;
  static constexpr float least_normal = detail::bits_as<float>(std::int32_t((128 - bias) << 23)); ///< 2^(1 - bias)
  static constexpr float unit = least_normal / float(1 << mantissa);                            ///< the least number
};

} // namespace detail

/// The nearest number of the format, of two the one with an even mantissa; what is larger than all becomes the largest,
/// an infinity too, and never a NaN; a NaN becomes one.
template <fp8 Format>
TUTTI_HD constexpr std::uint8_t to_fp8(float x) noexcept {
  using facts = detail::fp8_facts<Format>;
  constexpr std::int32_t largest = detail::bits_as<std::int32_t>(largest_fp8<Format>);
  const std::int32_t bits = detail::bits_as<std::int32_t>(x), size = bits & 0x7fffffff; // in the order of their magnitudes
  const std::int32_t u = size < largest ? size : largest;
  const std::int32_t normal =
      (u - facts::rebias + ((1 << (facts::shift - 1)) - 1) + ((u >> facts::shift) & 1)) >> facts::shift;
  constexpr float magic = 0x1.8p23f * facts::unit; // behind which the last place is the least number
  const std::int32_t tiny = detail::bits_as<std::int32_t>(detail::bits_as<float>(u) + magic) - detail::bits_as<std::int32_t>(magic);
  const std::uint32_t number =
      detail::either(u < detail::bits_as<std::int32_t>(facts::least_normal), std::uint32_t(tiny), std::uint32_t(normal));
  const std::uint32_t code = detail::either(size > detail::infinite_magnitude, std::uint32_t{0x7f}, number);
  return std::uint8_t(code | ((std::uint32_t(bits) >> 24) & 0x80u));
}
template <fp8 Format>
TUTTI_HD constexpr float from_fp8(std::uint8_t code) noexcept {
  using facts = detail::fp8_facts<Format>;
  const std::int32_t size = code & 0x7f;
  const float normal = detail::bits_as<float>((size << facts::shift) + facts::rebias);
  const float tiny = float(size) * facts::unit;
  const float all = size < (1 << facts::mantissa) ? tiny : normal;
  const bool none = Format == fp8::e4m3 ? size == 0x7f : size > 0x7c;
  const std::int32_t special = none ? 0x7fc00000 : detail::infinite_magnitude;
  const bool is_special = Format == fp8::e4m3 ? none : size >= 0x7c;
  return detail::bits_as<float>((is_special ? special : detail::bits_as<std::int32_t>(all)) | (code & 0x80) << 24);
}

namespace detail {

/// Those of all codes.
template <fp8 Format>
inline constexpr auto fp8_numbers = [] {
  std::array<float, 256> all{};
  for (unsigned code = 0; code < 256; ++code) all[code] = from_fp8<Format>(std::uint8_t(code));
  return all;
}();

template <fp8 Format>
struct fp8_codes {
  static constexpr tutti::execution runs = tutti::execution::both;
  static constexpr std::size_t bits = 8;

  template <class T, class Count>
  static float scale(const T* from, Count n) noexcept {
    return detail::scale_of(detail::largest_magnitude(from, n), largest_fp8<Format>);
  }
  template <class T, class Count>
  static void write(const T* __restrict from, float scale, std::byte* __restrict to, Count n) noexcept {
    const float inverse = detail::inverse(scale);
    for (std::size_t i = 0; i < n; ++i)
      to[i] = static_cast<std::byte>(to_fp8<Format>(detail::float_of(from[i]) * inverse));
  }
  template <class T, class Count>
  static void read(const std::byte* __restrict from, float scale, T* __restrict to, Count n) noexcept {
    for (std::size_t i = 0; i < n; ++i)
      to[i] = detail::value_of<T>(fp8_numbers<Format>[std::to_integer<std::uint8_t>(from[i])] * scale);
  }
};

} // namespace detail

/// x becomes the number of the format nearest to x / s, s = max |x| / the largest of the format over the block. Error of
/// a value: at most 2^-4 |x| with e4m3 and 2^-3 |x| with e5m2, above the subnormal range; below it at most s 2^-10, and
/// s 2^-17. A block of zeros arrives as zeros, one that holds a NaN or an infinity as NaNs. Deterministic.
/// n + 4 ceil(n / Block) bytes.
template <fp8 Format, std::size_t Block>
struct basic_fp8_block : detail::block_codec<detail::fp8_codes<Format>, Block> {};
template <fp8 Format>
using fp8_block = basic_fp8_block<Format, 256>;

} // namespace tutti
