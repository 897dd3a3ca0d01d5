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

/// a or b without a branch, which g++ 12 at -O2 would keep, and then vectorise no loop around it.
TUTTI_HD constexpr std::uint32_t either(bool which, std::uint32_t a, std::uint32_t b) noexcept {
  const std::uint32_t mask = 0u - std::uint32_t(which);
  return (a & mask) | (b & ~mask);
}

} // namespace detail

/// The upper half of a float: 8 exponent bits, 8 significant bits. Conversion from float rounds to
/// nearest, ties to even; every NaN becomes the quiet NaN 0x7fc0 with its sign kept off.
struct bfloat16 {
  std::uint16_t bits = 0;

  bfloat16() = default;
  TUTTI_HD constexpr explicit bfloat16(float x) noexcept {
    const auto u = detail::bits_as<std::uint32_t>(x);
    const bool nan = std::int32_t(u & 0x7fffffffu) > 0x7f800000;
    const std::uint32_t rounded = (u + 0x7fffu + ((u >> 16) & 1u)) >> 16;
    bits = std::uint16_t(detail::either(nan, 0x7fc0u, rounded));
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
    const std::uint32_t sign = (u >> 16) & 0x8000u, magnitude = u & 0x7fffffffu;
    const auto size = std::int32_t(magnitude);
    const std::uint32_t normal = (magnitude - 0x38000000u + 0xfffu + ((magnitude >> 13) & 1u)) >> 13;
    const bool is_tiny = size < 0x38800000; // below 2^-14: a multiple of 2^-24, rounded by the adder
    const auto sum = detail::bits_as<float>(detail::either(is_tiny, magnitude, 0u)) + 0.5f;
    const std::uint32_t number = detail::either(is_tiny, detail::bits_as<std::uint32_t>(sum) - 0x3f000000u, normal);
    const std::uint32_t all = sign | detail::either(size >= 0x477ff000, 0x7c00u, number); // 65520 rounds to infinity
    bits = std::uint16_t(detail::either(size > 0x7f800000, 0x7e00u, all));
  }
  TUTTI_HD constexpr explicit operator float() const noexcept {
    const std::uint32_t sign = std::uint32_t(bits & 0x8000u) << 16;
    const auto size = std::int32_t(bits & 0x7fffu);
    const std::uint32_t shifted = std::uint32_t(size) << 13;
    const auto tiny = detail::bits_as<std::uint32_t>(float(size) * 0x1p-24f);
    const std::uint32_t number = detail::either(size >= 0x0400, shifted + 0x38000000u, tiny);
    return detail::bits_as<float>(sign | detail::either(size >= 0x7c00, shifted + 0x70000000u, number));
  }
  TUTTI_HD friend constexpr bool operator==(half a, half b) noexcept {
    return float(a) == float(b);
  }
};

static_assert(sizeof(bfloat16) == 2 && sizeof(half) == 2);

} // namespace tutti
