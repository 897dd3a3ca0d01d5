// reproducible_sum, reproducible_mean, reproducible_weighted_mean: the same bits in any order, any grouping, and on
// any number of ranks.
#pragma once

#include <tutti/reducers/binned.hpp>
#include <tutti/reducers/elementary.hpp>

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <span>
#include <type_traits>

namespace tutti {

namespace detail {

/// Rounded once, to the nearest; through float the long way round.
template <class T>
T nearest(double x) noexcept {
  if constexpr (std::floating_point<T>) {
    return static_cast<T>(x);
  } else {
    auto f = static_cast<float>(x);
    if (double(f) != x && is_finite(f)) { // odd: half of a last place is no tie then
      auto bits = std::bit_cast<std::uint32_t>(f);
      if ((bits & 1) == 0) bits += std::fabs(double(f)) < std::fabs(x) ? 1u : ~0u;
      f = std::bit_cast<float>(bits);
    }
    return T(f);
  }
}

/// Where all contributions to a block of values have met, their sum for the columns in which it is plain: all numbers
/// finite, and none of them, but zeros, so much less than the greatest that a sum of doubles would not be exact - of
/// doubles, a sum and the sum of its errors.
template <class T>
class plain_sums {
public:
  static constexpr std::size_t length = 128, most_rows = 256;

  /// Whether all n columns are plain.
  bool add_up(std::span<const T* const> rows, std::size_t begin, std::size_t n) noexcept {
    const auto all = [&](auto count) {
      for (std::size_t i = 0; i < count; ++i) {
        greatest_[i] = 0;
        least_[i] = (std::numeric_limits<size_type>::max)();
        sums_[i] = -0.0;
        errors_[i] = 0;
      }
      for (const T* row : rows) add(row + begin, count);
      int odd = 0;
      for (std::size_t i = 0; i < count; ++i) odd += plain(i) ? 0 : 1;
      return odd == 0;
    };
    return n == length ? all(std::integral_constant<std::size_t, length>{}) : all(n);
  }
  /// Of numbers that are none the sum is not finite, whatever the others say.
  bool plain(std::size_t i) const noexcept {
    return (least_[i] >= greatest_[i] * nearly) & (greatest_[i] <= most) & (sums_[i] - sums_[i] == 0);
  }
  /// Of a plain column; of doubles rounded, otherwise exact.
  double sum(std::size_t i) const noexcept {
    if constexpr (std::is_same_v<T, double>) return errors_[i] == 0 ? sums_[i] : sums_[i] + errors_[i]; // -0 stays
    return sums_[i];
  }

private:
  using size_type = accumulator_t<T>;
  /// How far apart the numbers of a column may be: floats to 2^-20 have all their bits above 2^-43 of the greatest, and
  /// 256 of them add up below 2^9 of it; doubles to 2^-32 have theirs above 2^-84, their sum has errors of at most
  /// 2^-44 each, and 256 of those add up below 2^-36.
  static constexpr size_type nearly = std::is_same_v<T, double> ? size_type(0x1p-32) : size_type(0x1p-20);
  static constexpr size_type most = std::is_same_v<T, double> // no sum of it overflows
                                        ? size_type(0x1p1000)
                                        : (std::numeric_limits<size_type>::max)();

  template <class Count>
  void add(const T* __restrict row, Count n) noexcept {
    for (std::size_t i = 0; i < n; ++i) {
      const auto number = element_cast<size_type>(row[i]);
      const size_type size = std::fabs(number);
      const size_type counts = size == 0 ? (std::numeric_limits<size_type>::max)() : size;
      greatest_[i] = greatest_[i] > size ? greatest_[i] : size;
      least_[i] = least_[i] < counts ? least_[i] : counts;
    }
    for (std::size_t i = 0; i < n; ++i) {
      const auto x = double(element_cast<size_type>(row[i]));
      const double before = sums_[i], after = before + x;
      if constexpr (std::is_same_v<T, double>) { // Knuth's sum and its error
        const double back = after - before;
        errors_[i] += (before - (after - back)) + (x - back);
      }
      sums_[i] = after;
    }
  }

  double sums_[length], errors_[length];
  size_type greatest_[length], least_[length];
};

/// Whether none of the bits of two floats or doubles can be cut off, so that their sum rounds as the exact one.
template <std::floating_point T>
bool pair_is_plain(T a, T b) noexcept {
  using word = std::conditional_t<sizeof(T) == 4, std::int32_t, std::int64_t>;
  constexpr int fraction = std::numeric_limits<T>::digits - 1;
  constexpr word magnitude = (std::numeric_limits<word>::max)();
  constexpr word infinity = word(2 * std::numeric_limits<T>::max_exponent - 1) << fraction;
  const word x = std::bit_cast<word>(a) & magnitude, y = std::bit_cast<word>(b) & magnitude;
  const word high = x > y ? x : y, low = x > y ? y : x;
  return (high < infinity) & ((low == 0) | (high - low <= word(32) << fraction));
}

/// out[i] = finish(sum of row[i] over all rows) where that is plain, and otherwise lower(the same, binned).
template <class T, class Binned, class Finish, class Lower>
void unite_binned(std::span<const T* const> rows, T* out, std::size_t n, Finish&& finish, Lower&& lower) {
  plain_sums<T> block;
  for (std::size_t begin = 0; begin < n; begin += block.length) {
    const std::size_t count = (std::min)(block.length, n - begin);
    const bool few = rows.size() <= block.most_rows;
    const bool all_plain = few && block.add_up(rows, begin, count);
    for (std::size_t i = 0; i < count; ++i) {
      if (all_plain || (few && block.plain(i))) {
        out[begin + i] = finish(block.sum(i));
        continue;
      }
      Binned all;
      for (const T* row : rows) all.add(element_cast<accumulator_t<T>>(row[begin + i]));
      out[begin + i] = lower(all);
    }
  }
}

} // namespace detail

/// The sum of all contributions, rounded once: the same bits in whatever order and grouping they are added, so on any
/// topology, in any cut into buckets, and for any number of ranks over which the same contributions are spread. To
/// spread several over a rank, add them into `binned` values there and reduce these: elements are float, double, half,
/// bfloat16, or binned<float> and binned<double>, which stay what they are.
///
/// Exact, and so correctly rounded, where the contributions to a value lie within 2^32 of each other, whatever cancels,
/// and in any case to 2^-55 (double: 2^-84) of the greatest for each: binned.hpp says how NaN, infinity and zeros add
/// up. Not more than 2^31 contributions.
///
/// Cost: where all contributions meet - `direct`, `star`, ranks that share memory - the bytes of `sum`, and about twice
/// its arithmetic. On schedules that fold pairwise, partial results travel: 24 bytes for each float, 32 for a double.
struct reproducible_sum : sum {
  using part = reducer_part;
  static constexpr determinism repeats = determinism::rank_count_invariant;
  template <class T>
  static constexpr bool accepts = real_element<T> || detail::is_binned<T>;
  template <class T>
  using accumulator = std::conditional_t<detail::is_binned<T>, T,
                                         binned<std::conditional_t<std::is_same_v<T, double>, double, float>>>;

  template <class A>
  A identity() const noexcept {
    return A{};
  }
  template <class A>
  A combine(A a, const A& b) const noexcept {
    a.add(b);
    return a;
  }
  template <real_element T>
  accumulator<T> lift(T x, double /*weight*/) const noexcept {
    return accumulator<T>{element_cast<accumulator_t<T>>(x)};
  }
  template <real_element T>
  T lower(const accumulator<T>& total_sum, double /*total*/) const noexcept {
    return total_sum.template value<T>();
  }

  /// Where all contributions have met: the same bits as lifting, combining and lowering them.
  template <real_element T>
  void unite(std::span<const T* const> rows, T* out, std::size_t n, double /*total*/) const {
    if constexpr (std::floating_point<T>)
      if (rows.size() == 2) return unite_pair(rows[0], rows[1], out, n);
    detail::unite_binned<T, accumulator<T>>(
        rows, out, n, [](double exact) { return detail::nearest<T>(exact); },
        [](const accumulator<T>& all) { return all.template value<T>(); });
  }

private:
  template <std::floating_point T>
  void unite_pair(const T* __restrict first, const T* __restrict second, T* __restrict out, std::size_t n) const {
    int plain = 1;
    for (std::size_t i = 0; i < n; ++i) {
      out[i] = first[i] + second[i];
      plain &= int(detail::pair_is_plain(first[i], second[i]));
    }
    if (plain != 0) return;
    for (std::size_t i = 0; i < n; ++i)
      if (!detail::pair_is_plain(first[i], second[i]))
        out[i] = combine(lift(first[i], 1), lift(second[i], 1)).template value<T>();
  }
};

/// That sum divided once by the number of ranks, in double. Elements are float, double, half and bfloat16; a sum of
/// doubles is rounded before it is divided.
struct reproducible_mean : mean {
  using part = reducer_part;
  static constexpr determinism repeats = determinism::rank_count_invariant;
  template <class T>
  static constexpr bool accepts = real_element<T>;
  template <class T>
  using accumulator = reproducible_sum::accumulator<T>;

  template <class A>
  A identity() const noexcept {
    return A{};
  }
  template <class A>
  A combine(A a, const A& b) const noexcept {
    a.add(b);
    return a;
  }
  template <real_element T>
  accumulator<T> lift(T x, double weight) const noexcept {
    return reproducible_sum{}.lift(x, weight);
  }
  template <real_element T>
  T lower(const accumulator<T>& total_sum, double total) const noexcept {
    return detail::nearest<T>(total_sum.template value<double>() / total);
  }
  template <real_element T>
  void unite(std::span<const T* const> rows, T* out, std::size_t n, double total) const {
    detail::unite_binned<T, accumulator<T>>(
        rows, out, n, [=](double exact) { return detail::nearest<T>(exact / total); },
        [=, this](const accumulator<T>& all) { return lower<T>(all, total); });
  }
};

/// sum(w x) / sum(w) as weighted_mean has it: each product is rounded to T, their sum and that of the weights are as
/// above. A contribution of weight 0 may hold anything.
struct reproducible_weighted_mean : weighted_mean {
  using part = reducer_part;
  static constexpr determinism repeats = determinism::rank_count_invariant;
  template <class T>
  using accumulator = reproducible_sum::accumulator<T>;

  template <class A>
  A identity() const noexcept {
    return A{};
  }
  template <class A>
  A combine(A a, const A& b) const noexcept {
    a.add(b);
    return a;
  }
  template <real_element T>
  accumulator<T> lift(T x, double weight) const noexcept {
    return accumulator<T>{weighted_mean{}.lift(x, weight)};
  }
  template <real_element T>
  T lower(const accumulator<T>& total_sum, double total) const noexcept {
    return reproducible_mean{}.lower<T>(total_sum, total);
  }
};

} // namespace tutti
