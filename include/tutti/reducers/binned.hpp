// binned: a sum that is the same bits whatever the order and grouping of what was added.
#pragma once

#include <tutti/core/float16.hpp>
#include <tutti/core/limits.hpp>

#include <algorithm>
#include <bit>
#include <cmath>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <type_traits>

namespace tutti {

namespace detail {

/// Zeros in front of the highest bit of x, which is not 0.
TUTTI_HD inline int zeros_before(std::uint32_t x) noexcept {
#if defined(__CUDA_ARCH__)
  return __clz(static_cast<int>(x));
#else
  return std::countl_zero(x);
#endif
}

} // namespace detail

/// A sum of numbers T, float or double, that can be added to and merged in any order and grouping, with the same bits:
/// its bits are a function of the numbers alone. Zero at first, or rather -0, which changes nothing.
///
/// The exponents of T are cut into bins of 32 bits with fixed borders. A number is digits of its bins, and digits are
/// added as integers. Kept are the bins of the greatest number so far and one below; what a number has below these is
/// cut off it, towards zero, by itself. So as long as every number is a multiple of 2^-55 (double: 2^-84) of the power
/// of two in the greatest one, the sum is exact, and value() rounds it once; what is cut off beyond is less than that
/// much of the greatest, for each number. After Ahrens, Demmel, Nguyen, "Algorithms for efficient reproducible
/// floating point summation" (ACM TOMS 46(3), 2020), with integers where they have floating-point bins, so that a bin
/// never has to be renewed and holds up to 2^31 numbers.
///
/// A NaN, or infinities of both signs, make the value NaN; else an infinity makes it that infinity, also where the
/// finite rest would overflow. A sum of nothing but -0 is -0, any other that comes to zero is +0.
/// 24 bytes for float, 32 for double. Cost of add(): about 4 ns, of many at once 3; of value() about 15, to double 4.
template <std::floating_point T>
  requires(sizeof(T) == 4 || sizeof(T) == 8)
class binned {
public:
  binned() = default;
  TUTTI_HD explicit binned(T x) noexcept { *this = of(x); }

  TUTTI_HD void add(T x) noexcept { add(of(x)); }
  /// to[i].add(x[i]) for n of them, in about 3 ns each.
  static void add(binned* __restrict to, const T* __restrict x, std::size_t n) noexcept {
    digit_block block;
    std::size_t begin = 0;
    for (; begin + digit_block::length <= n; begin += digit_block::length)
      if (block.read(x + begin))
        for (std::size_t i = 0; i < digit_block::length; ++i) to[begin + i].add(block, i, x[begin + i]);
      else
        for (std::size_t i = 0; i < digit_block::length; ++i) to[begin + i].add(x[begin + i]);
    for (; begin < n; ++begin) to[begin].add(x[begin]);
  }
  TUTTI_HD void add(const binned& other) noexcept {
    const unsigned flags = (tag() | other.tag()) & all_flags;
    const int ahead = other.top() - top();
    if (ahead == 0) {
      for (int k = 0; k + 1 < kept; ++k) bins_[k] += other.bins_[k];
      store_top(last() + other.last(), top(), flags);
    } else if (ahead > 0) {
      binned sum = other;
      sum.add_lower(*this, ahead, flags);
      *this = sum;
    } else {
      add_lower(other, -ahead, flags);
    }
  }

  /// The sum, rounded once to To: T or longer; of binned<float> also half and bfloat16.
  template <class To = T>
  TUTTI_HD To value() const noexcept {
    static_assert(sizeof(To) >= sizeof(T) || (sizeof(To) == 2 && sizeof(T) == 4));
    if (const unsigned flags = tag() & all_flags; (flags & ~something) != 0) [[unlikely]]
      return not_finite<To>(flags);
#if !defined(__CUDA_ARCH__)
    if constexpr (reach == 1 && std::is_same_v<To, double>) return all_at_once();
#endif
    if constexpr (std::floating_point<To>)
      return rounded<To, false>();
    else
      return To(rounded<float, true>());
  }

  friend bool operator==(const binned&, const binned&) = default;

private:
  using bits_type = std::conditional_t<sizeof(T) == 4, std::uint32_t, std::uint64_t>;
  static constexpr int fraction = std::numeric_limits<T>::digits - 1;
  static constexpr unsigned special = sizeof(T) == 4 ? 0xff : 0x7ff; ///< the exponent of infinities and NaN
  static constexpr int lowest = std::numeric_limits<T>::min_exponent - std::numeric_limits<T>::digits; // of all: 2^it
  static constexpr int reach = sizeof(T) == 4 ? 1 : 2; ///< bins above that of the last bit that a number may touch
  static constexpr int kept = reach + 2;
  static constexpr int tag_bits = sizeof(T) == 4 ? 8 : 11; ///< of the last bin: where it is, and the flags
  static constexpr unsigned something = 1, above = 2, below = 4, nan = 8, all_flags = 15;
  static constexpr std::int64_t low_half = 0xffffffff;

  /// bins_[k] counts 2^(lowest + 32 (top - kept + 1 + k)); the last one times 2^tag_bits, beside the tag.
  std::int64_t bins_[std::size_t(kept)]{};

  TUTTI_HD unsigned tag() const noexcept { return unsigned(bins_[kept - 1] & ((1 << tag_bits) - 1)); }
  TUTTI_HD int top() const noexcept { return int(tag() >> 4); }
  TUTTI_HD std::int64_t last() const noexcept { return bins_[kept - 1] >> tag_bits; }
  TUTTI_HD std::int64_t bin(int k) const noexcept { return k + 1 < kept ? bins_[k] : last(); }
  TUTTI_HD void store_top(std::int64_t value, int top, unsigned flags) noexcept {
    bins_[kept - 1] = std::int64_t(std::uint64_t(value) << tag_bits | std::uint64_t(unsigned(top) << 4 | flags));
  }

  TUTTI_HD static binned of(T x) noexcept {
    const bits_type bits = detail::bits_as<bits_type>(x), one = 1;
    const auto exponent = unsigned(bits >> fraction) & special;
    const bool negative = (bits >> (8 * sizeof(T) - 1)) != 0;
    bits_type mantissa = bits & ((one << fraction) - 1);
    binned out;
    if (exponent == special) [[unlikely]] {
      out.store_top(0, 0, something | (mantissa != 0 ? nan : negative ? below : above));
      return out;
    }
    if (exponent != 0) mantissa |= one << fraction;
    const unsigned at = exponent != 0 ? exponent - 1 : 0, shift = at & 31;
    const auto wide = std::uint64_t(mantissa) << shift;
    const std::int64_t sign = negative ? -1 : 1;
    out.bins_[kept - 1 - reach] = sign * std::int64_t(wide & low_half);
    const auto next = std::int64_t(wide >> 32);
    std::int64_t highest = next;
    if constexpr (reach == 2) {
      out.bins_[kept - 2] = sign * next;
      highest = shift == 0 ? 0 : std::int64_t(std::uint64_t(mantissa) >> (64 - shift));
    }
    const bool nothing = mantissa == 0 && negative;
    out.store_top(sign * highest, int(at >> 5) + reach, nothing ? 0 : something);
    return out;
  }
  /// Many finite numbers as digits. Beside them are zeros, for bins that a number does not reach.
  struct digit_block {
    static constexpr std::size_t length = 64, most_below = std::size_t(reach) + 2;

    std::int64_t at[std::size_t(kept) + most_below][length] = {}; ///< the lowest one is at[1]
    std::int64_t tops[length], tags[length];

    /// False where a number is none, or infinite.
    bool read(const T* x) noexcept {
      std::int64_t none = 0;
      for (std::size_t i = 0; i < length; ++i) {
        const bits_type bits = std::bit_cast<bits_type>(x[i]), one = 1;
        const bits_type exponent = (bits >> fraction) & special, normal = exponent != 0 ? 1 : 0;
        const bits_type mantissa = (bits & ((one << fraction) - 1)) | (normal << fraction);
        const auto minus = -std::int64_t(bits >> (8 * sizeof(T) - 1));
        const auto place = std::int64_t(exponent - normal), shift = place & 31;
        const auto wide = std::uint64_t(mantissa) << shift;
        at[1][i] = (std::int64_t(wide & low_half) ^ minus) - minus;
        at[2][i] = (std::int64_t(wide >> 32) ^ minus) - minus;
        if constexpr (reach == 2) at[3][i] = (std::int64_t((std::uint64_t(mantissa) >> 1) >> (63 - shift)) ^ minus) - minus;
        tops[i] = (place >> 5) + reach;
        tags[i] = (tops[i] << 4) | (bits == one << (8 * sizeof(T) - 1) ? 0 : something);
        none |= exponent == special ? 1 : 0;
      }
      return none == 0;
    }
  };
  /// Adds the i-th number, which is x.
  void add(const digit_block& block, std::size_t i, T x) noexcept {
    if (bins_[kept - 1] == 0) { // nothing is in it
      for (int k = 0; k + 1 < kept; ++k) bins_[k] = block.at[k][i];
      bins_[kept - 1] = (block.at[kept - 1][i] << tag_bits) | block.tags[i];
      return;
    }
    const std::int64_t behind = top() - block.tops[i];
    if (behind < 0) {
      add(x);
      return;
    }
    const auto from = (std::min)(std::size_t(behind), digit_block::most_below);
    for (std::size_t k = 0; k + 1 < kept; ++k) bins_[k] += block.at[from + k][i];
    bins_[kept - 1] += block.at[from + kept - 1][i] << tag_bits;
    bins_[kept - 1] |= block.tags[i] & something;
  }
  /// What is `ahead` bins below, as far as it reaches up to the bins that are kept.
  TUTTI_HD void add_lower(const binned& other, int ahead, unsigned flags) noexcept {
    const std::int64_t highest = last();
#if defined(__CUDA_ARCH__)
#pragma unroll
#endif
    for (int step = 1; step < kept; ++step) // constants, once it is unrolled: registers have no index
      for (int k = 0; k + step < kept; ++k) bins_[k] += ahead == step ? other.bin(k + step) : 0;
    store_top(highest, top(), flags);
  }

  /// 0 below the first one. In kernels ored up: registers have no index.
  TUTTI_HD static std::uint64_t digit(const std::uint32_t (&digits)[std::size_t(kept) + 1], int k) noexcept {
#if defined(__CUDA_ARCH__)
    std::uint32_t all = 0;
#pragma unroll
    for (int j = 0; j <= kept; ++j) all |= j == k ? digits[j] : 0;
    return all;
#else
    return k < 0 ? 0 : digits[k];
#endif
  }

  template <class To>
  TUTTI_HD static To not_finite(unsigned flags) noexcept {
    const bool is_nan = (flags & nan) != 0 || ((flags & above) != 0 && (flags & below) != 0);
    float x = detail::nan_of<float>;
    if (!is_nan) x = (flags & above) != 0 ? float{detail::most_of<float>} : float{detail::least_of<float>};
    return To(x);
  }

  /// To the nearest double: all of a float's bins are an integer of 128 bits, and its power of two is in range.
  double all_at_once() const noexcept {
    __extension__ typedef __int128 wide;
    static_assert(kept == 3);
    const wide sum = (wide(last()) << 64) + (wide(bins_[1]) << 32) + bins_[0];
    if (sum == 0) return (tag() & something) != 0 ? 0.0 : -0.0;
    return double(sum) * std::bit_cast<double>(std::uint64_t(1023 + lowest + 32 * (top() - kept + 1)) << 52);
  }

  /// To the nearest, ties to even; `Odd`: towards zero, and odd where that is not exact, so that a shorter format
  /// rounded from it is rounded as if from the sum itself.
  template <std::floating_point To, bool Odd>
  TUTTI_HD To rounded() const noexcept {
    std::uint32_t digits[std::size_t(kept) + 1];
    std::int64_t carry = 0;
    for (int k = 0; k < kept; ++k) {
      carry += bin(k);
      digits[k] = std::uint32_t(carry & low_half);
      carry >>= 32;
    }
    const bool negative = carry < 0;
    digits[kept] = std::uint32_t(carry);
    if (negative) {
      std::uint64_t borrow = 1;
      for (std::uint32_t& d : digits) {
        borrow += std::uint32_t(~d);
        d = std::uint32_t(borrow);
        borrow >>= 32;
      }
    }
    int first = kept;
    while (first >= 0 && digit(digits, first) == 0) --first;
    if (first < 0) return (tag() & something) != 0 ? To{0} : -To{0};
    const int zeros = detail::zeros_before(std::uint32_t(digit(digits, first)));
    std::uint64_t leading = digit(digits, first) << 32 | digit(digits, first - 1);
    std::uint64_t rest = digit(digits, first - 2);
    if (zeros != 0) {
      leading = leading << zeros | rest >> (32 - zeros);
      rest = (rest << zeros) & low_half;
    }
    for (int k = 0; k < kept - 2; ++k) rest |= k < first - 2 ? digits[k] : 0;
    // leading is 64 bits from the highest on, 2^unit the value of its last one
    const int unit = lowest + 32 * (top() - kept + 1 + first - 1) - zeros;
    constexpr int width = std::numeric_limits<To>::digits + (Odd ? 0 : 2);
    std::uint64_t m = leading >> (64 - width);
    const bool exact = rest == 0 && (leading << width) == 0;
    m |= exact ? 0 : 1;
    const To magnitude = std::ldexp(To(std::int64_t(m)), unit + 64 - width);
    return negative ? -magnitude : magnitude;
  }
};

namespace detail {

template <class T>
inline constexpr bool is_binned = false;
template <class T>
inline constexpr bool is_binned<binned<T>> = true;

} // namespace detail
} // namespace tutti
