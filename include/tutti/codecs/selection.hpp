// The k values of largest magnitude: exactly k, of equal ones those with the lowest index.
#pragma once

#include <tutti/core/element.hpp>

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <type_traits>

namespace tutti::detail {

/// Bits of |x| in float, or in double for doubles: ordered as magnitudes are, an infinity above all numbers and a NaN
/// above that.
template <element T>
TUTTI_HD constexpr auto magnitude_key(T x) noexcept {
  if constexpr (std::is_same_v<T, double>)
    return detail::bits_as<std::uint64_t>(x) & ~(std::uint64_t{1} << 63);
  else
    return detail::bits_as<std::uint32_t>(element_cast<float>(x)) & 0x7fffffffu;
}

/// The k-th largest key, and how many equal ones are among the k largest. 1 <= k <= n. Digit by digit from the top: the
/// values are read three times, doubles six.
template <class T>
struct kth_largest {
  using key = decltype(magnitude_key(T{}));

  kth_largest(std::span<const T> values, std::size_t k) : equal{k} {
    constexpr int bits = sizeof(key) == 4 ? 31 : 63;
    for (int low = bits; low > 0;) {
      const int digit = low < 11 ? low : 11;
      low -= digit;
      std::array<std::size_t, 2048> count{};
      const key above = low + digit == bits ? 0 : least >> (low + digit);
      for (const T x : values) {
        const key all = magnitude_key(x);
        count[std::size_t(all >> low) & ((std::size_t{1} << digit) - 1)] += (all >> (low + digit)) == above;
      }
      std::size_t d = (std::size_t{1} << digit) - 1;
      while (count[d] < equal) equal -= count[d--];
      least |= key(d) << low;
    }
  }

  key least = 0;
  std::size_t equal;
};

/// take(index) for each of the k largest, in the order of their indices.
template <class T, class Take>
void each_largest(std::span<const T> values, std::size_t k, Take&& take) {
  if (k == 0) return;
  const kth_largest<T> at{values, k};
  std::size_t equal = at.equal, left = k;
  for (std::size_t i = 0; left > 0; ++i) {
    const auto key = detail::magnitude_key(values[i]);
    if (key < at.least) continue;
    if (key == at.least) {
      if (equal == 0) continue;
      --equal;
    }
    take(i);
    --left;
  }
}

} // namespace tutti::detail
