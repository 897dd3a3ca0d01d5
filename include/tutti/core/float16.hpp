// The two 16-bit floating-point elements: stored in two bytes, computed in float.
#pragma once

#include <tutti/core/config.hpp>

#include <cstdint>

namespace tutti {

namespace detail {

/// std::bit_cast, where CUDA kernels may call it too.
template <class To, class From>
TUTTI_HD constexpr To bits_as(const From& from) noexcept {
  return __builtin_bit_cast(To, from);
}

} // namespace detail

/// The upper half of a float: 8 exponent bits, 8 significant bits. Conversion from float rounds to
/// nearest, ties to even; every NaN becomes the quiet NaN 0x7fc0 with its sign kept off.
struct bfloat16 {
  std::uint16_t bits = 0;

  bfloat16() = default;
  TUTTI_HD constexpr explicit bfloat16(float x) noexcept {
    const auto u = detail::bits_as<std::uint32_t>(x);
    const bool nan = (u & 0x7fffffffu) > 0x7f800000u;
    const std::uint32_t rounded = (u + 0x7fffu + ((u >> 16) & 1u)) >> 16;
    bits = std::uint16_t(nan ? 0x7fc0u : rounded);
  }
  TUTTI_HD constexpr explicit operator float() const noexcept {
    return detail::bits_as<float>(std::uint32_t{bits} << 16);
  }
  TUTTI_HD friend constexpr bool operator==(bfloat16 a, bfloat16 b) noexcept {
    return float(a) == float(b);
  }
};

/// IEEE 754 binary16: 5 exponent bits, 11 significant bits, subnormals kept. Conversion from float
/// rounds to nearest, ties to even, overflows to infinity; every NaN becomes 0x7e00.
struct half {
  std::uint16_t bits = 0;

  half() = default;
  TUTTI_HD constexpr explicit half(float x) noexcept {
    const auto u = detail::bits_as<std::uint32_t>(x);
    const auto sign = std::uint16_t((u >> 16) & 0x8000u);
    const std::uint32_t magnitude = u & 0x7fffffffu;
    if (magnitude > 0x7f800000u)
      bits = 0x7e00;
    else if (magnitude >= 0x477ff000u) // 65520 and above round to infinity
      bits = std::uint16_t(sign | 0x7c00u);
    else if (magnitude < 0x38800000u) // below 2^-14: a multiple of 2^-24, rounded by the adder
      bits = std::uint16_t(
          sign |
          (detail::bits_as<std::uint32_t>(detail::bits_as<float>(magnitude) + 0.5f) - 0x3f000000u));
    else
      bits = std::uint16_t(
          sign | ((magnitude - 0x38000000u + 0xfffu + ((magnitude >> 13) & 1u)) >> 13));
  }
  TUTTI_HD constexpr explicit operator float() const noexcept {
    const std::uint32_t sign = std::uint32_t(bits & 0x8000u) << 16;
    const std::uint32_t magnitude = bits & 0x7fffu;
    if (magnitude >= 0x7c00u)
      return detail::bits_as<float>(sign | 0x7f800000u | ((magnitude & 0x3ffu) << 13));
    if (magnitude >= 0x0400u)
      return detail::bits_as<float>(sign | ((magnitude << 13) + 0x38000000u));
    const float tiny = float(magnitude) * 0x1p-24f;
    return detail::bits_as<float>(sign | detail::bits_as<std::uint32_t>(tiny));
  }
  TUTTI_HD friend constexpr bool operator==(half a, half b) noexcept {
    return float(a) == float(b);
  }
};

static_assert(sizeof(bfloat16) == 2 && sizeof(half) == 2);

} // namespace tutti
