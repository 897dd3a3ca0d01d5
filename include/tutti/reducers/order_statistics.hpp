// median and trimmed_mean: coordinate-wise gathering reducers that bound what a bad contribution does.
//
// Every contribution to a coordinate must be in one place: topologies `direct` and `star`. Cost: K lg(K)^2 / 4
// comparisons of K values per coordinate, sixteen coordinates at once. Determinism: run_to_run, and independent of the
// order of ranks. A NaN counts as larger than every number, so that it is trimmed like any other extreme.
// Source: Yin, Chen, Ramchandran, Bartlett, "Byzantine-robust distributed learning" (ICML 2018),
// definitions 1 and 2.
#pragma once

#include <tutti/core/lanes.hpp>
#include <tutti/reducers/elementary.hpp>

#include <bit>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <span>
#include <type_traits>

namespace tutti {

namespace detail {

template <std::floating_point A>
using ordered_word = std::conditional_t<sizeof(A) == 4, std::int32_t, std::int64_t>;

/// Turns the order of negative numbers around; its own inverse.
template <class Word>
constexpr Word reflected(Word bits) noexcept {
  return bits ^ ((bits >> (8 * sizeof(Word) - 1)) & (std::numeric_limits<Word>::max)());
}

/// The bits of a number such that, as whole numbers, they are in the order -inf .. -0 < +0 .. +inf < NaN; and back.
/// What is no floating-point number is its own.
template <class A>
constexpr A to_ordered(A x) noexcept {
  if constexpr (std::floating_point<A>) {
    using word = ordered_word<A>;
    return std::bit_cast<A>(x != x ? (std::numeric_limits<word>::max)() : detail::reflected(std::bit_cast<word>(x)));
  } else {
    return x;
  }
}
template <class A>
constexpr A from_ordered(A x) noexcept {
  if constexpr (std::floating_point<A>) {
    return std::bit_cast<A>(detail::reflected(std::bit_cast<ordered_word<A>>(x)));
  } else {
    return x;
  }
}

/// The lesser to `a`, the other to `b`; of bits in order.
template <class A>
constexpr void exchange_ordered(A& a, A& b) noexcept {
  if constexpr (std::floating_point<A>) {
    using word = ordered_word<A>;
    const word x = std::bit_cast<word>(a), y = std::bit_cast<word>(b);
    a = std::bit_cast<A>(x < y ? x : y);
    b = std::bit_cast<A>(x < y ? y : x);
  } else {
    const A x = a, y = b;
    a = x < y ? x : y;
    b = x < y ? y : x;
  }
}
/// Not inlined: g++ 12 at -O3 would forget that they are apart, and no longer vectorise (20 contributions of 10^6
/// floats: .87 s against .05).
template <class A>
[[gnu::noinline]] constexpr void exchange_lanes(A* __restrict a, A* __restrict b) noexcept {
  for (std::size_t l = 0; l < lanes<A>::width; ++l) {
    A low = a[l], high = b[l];
    detail::exchange_ordered(low, high);
    a[l] = low;
    b[l] = high;
  }
}
template <class A>
constexpr void exchange_ordered(lanes<A>& a, lanes<A>& b) noexcept {
  detail::exchange_lanes(a.at, b.at);
}

/// Ascending, by Batcher's odd-even merges: which pairs are compared depends on their number alone, so that many
/// columns are sorted at once. Knuth, The Art of Computer Programming, volume 3, algorithm 5.2.2M.
template <class A>
constexpr void sort_column(std::span<A> column) noexcept {
  const std::size_t n = column.size(), half = std::bit_ceil(n) / 2;
  for (A& x : column) x = detail::by_lane([](auto v) { return detail::to_ordered(v); }, x);
  for (std::size_t p = half; p > 0; p /= 2)
    for (std::size_t q = half, r = 0, d = p;; d = q - p, q /= 2, r = p) {
      for (std::size_t i = 0; i + d < n; ++i)
        if ((i & p) == r) detail::exchange_ordered(column[i], column[i + d]);
      if (q == p) break;
    }
  for (A& x : column) x = detail::by_lane([](auto v) { return detail::from_ordered(v); }, x);
}

/// The value in the middle of a sorted column.
template <class A>
constexpr A middle_of(std::span<const A> sorted) noexcept {
  const std::size_t middle = sorted.size() / 2;
  if (sorted.size() % 2 == 1) return sorted[middle];
  return detail::by_lane([](auto low, auto high) { return low == high ? low : low / 2 + high / 2; },
                         sorted[middle - 1], sorted[middle]);
}

} // namespace detail

/// The middle value of each coordinate; the mean of the two middle ones when their number is even.
struct median {
  using part = reducer_part;
  template <class T>
  static constexpr bool accepts = real_element<T>;
  static constexpr bool in_lanes = true;

  template <class A>
  constexpr A gather(std::span<A> column) const {
    detail::sort_column(column);
    return detail::middle_of(std::span<const A>{column});
  }
};

/// The mean of each coordinate without its `trim` smallest and `trim` largest values.
/// Needs more than 2 * trim ranks; with fewer, the call fails with error_code::invalid_argument.
struct trimmed_mean {
  using part = reducer_part;
  template <class T>
  static constexpr bool accepts = real_element<T>;
  static constexpr bool in_lanes = true;

  int trim = 1;

  constexpr int least_contributions() const { return 2 * trim + 1; }
  constexpr const char* objection() const {
    return trim < 0 ? "trimmed_mean: trim is negative - give how many values are left out at each end"
                    : nullptr;
  }

  template <class A>
  constexpr A gather(std::span<A> column) const {
    detail::sort_column(column);
    const auto kept = column.subspan(std::size_t(trim), column.size() - 2 * std::size_t(trim));
    A total = kept[0];
    for (std::size_t k = 1; k < kept.size(); ++k) total = total + kept[k];
    return total / A(kept.size());
  }
};

} // namespace tutti
