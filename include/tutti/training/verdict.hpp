// The verdict on a step: whether all its numbers are finite, and how long the gradient is.
#pragma once

#include <tutti/core/element.hpp>
#include <tutti/core/exact_arithmetic.hpp>
#include <tutti/core/rounded.hpp>

#include <bit>
#include <cstddef>
#include <cstdint>
#include <span>
#include <type_traits>

namespace tutti::detail {

template <class T>
using bits_of = std::conditional_t<sizeof(T) == 8, std::uint64_t,
                                   std::conditional_t<sizeof(T) == 4, std::uint32_t, std::uint16_t>>;

/// Whether all magnitudes, as bits, are below a limit: then what is added carries none into the sign. In blocks
/// that are vectorised at -O2.
template <class T>
bool all_bits_below(std::span<const T> values, bits_of<T> limit) noexcept {
  using U = bits_of<T>;
  constexpr U magnitude = U(~U{0} >> 1), sign = U(~magnitude);
  const U rest = U(sign - limit);
  constexpr std::size_t block = 256;
  std::size_t i = 0;
  for (; i + block <= values.size(); i += block) {
    U any = 0;
    for (std::size_t k = 0; k < block; ++k) any |= U(U(std::bit_cast<U>(values[i + k]) & magnitude) + rest);
    if (any & sign) return false;
  }
  for (; i < values.size(); ++i)
    if (U(U(std::bit_cast<U>(values[i]) & magnitude) + rest) & sign) return false;
  return true;
}
/// Whether none has an exponent of which all bits are set.
template <class T>
bool all_finite(std::span<const T> values) noexcept {
  using U = bits_of<T>;
  constexpr U infinity = std::is_same_v<T, half> ? U{0x7c00}
                         : sizeof(T) == 8         ? U(std::uint64_t{0x7ff} << 52)
                         : sizeof(T) == 4         ? U(std::uint64_t{0x7f8} << 20)
                                                  : U{0x7f80};
  return detail::all_bits_below(values, infinity);
}

/// The sum of squares in double: eight sums of every eighth value, in the order of the values, and then
/// one over the eight. Infinite when a double among them is greater than 1e154.
template <class T>
double sum_of_squares(std::span<const T> values) noexcept {
  const exact_mode held;
  const rounding rounded;
  double sums[8] = {};
  std::size_t i = 0;
  for (; i + 8 <= values.size(); i += 8)
    for (std::size_t k = 0; k < 8; ++k) {
      const double v = double(values[i + k]);
      sums[k] += rounded(v * v);
    }
  for (; i < values.size(); ++i) {
    const double v = double(values[i]);
    sums[i % 8] += rounded(v * v);
  }
  double all = 0;
  for (const double s : sums) all += s;
  return all;
}

/// What one rank, or all of them, found in the values of a step.
struct step_verdict {
  bool finite = true;
  double squares = 0; ///< of the values, where the norm is asked for
};

} // namespace tutti::detail
