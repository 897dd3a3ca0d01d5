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
TUTTI_HD T nearest(double x) noexcept {
  if constexpr (std::floating_point<T>) {
    return static_cast<T>(x);
  } else {
    auto f = static_cast<float>(x);
    if (double(f) != x && is_finite(f)) { // odd: half of a last place is no tie then
      auto bits = detail::bits_as<std::uint32_t>(f);
      if ((bits & 1) == 0) bits += std::fabs(double(f)) < std::fabs(x) ? 1u : ~0u;
      f = detail::bits_as<float>(bits);
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

  /// Whether all columns are plain.
  template <class Count>
  bool add_up(std::span<const T* const> rows, std::size_t begin, Count n) noexcept {
    for (std::size_t i = 0; i < n; ++i) {
      greatest_[i] = 0;
      least_[i] = (std::numeric_limits<size_type>::max)();
      sums_[i] = -0.0;
      errors_[i] = 0;
    }
    for (const T* row : rows) add(row + begin, n);
    std::conditional_t<sizeof(size_type) == 8, std::int64_t, std::int32_t> odd = 0;
    std::int64_t no_number = 0;
    for (std::size_t i = 0; i < n; ++i) odd |= is_even(i) ? 0 : 1;
    for (std::size_t i = 0; i < n; ++i) no_number |= sums_[i] - sums_[i] == 0 ? 0 : 1;
    return odd == 0 && no_number == 0;
  }
  /// Of numbers that are none the sum is not finite, whatever the others say.
  bool plain(std::size_t i) const noexcept {
    return is_even(i) && sums_[i] - sums_[i] == 0;
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

  /// Whether its numbers are near enough to each other.
  bool is_even(std::size_t i) const noexcept {
    return (least_[i] >= greatest_[i] * nearly) & (greatest_[i] <= most);
  }
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

/// As long as a T: comparisons that are stored in these are vectorised.
template <class T>
using mask_of = std::conditional_t<sizeof(T) == 8, std::int64_t, std::int32_t>;

/// Whether a bit of two floats or doubles may be cut off, so that their sum may round otherwise than the exact one.
template <std::floating_point T>
bool pair_is_odd(T a, T b) noexcept {
  const T x = std::fabs(a), y = std::fabs(b);
  const T high = x > y ? x : y, low = x > y ? y : x; // a NaN is one of them
  return !(((low >= high * T(0x1p-32)) | (low == 0)) & (high <= (std::numeric_limits<T>::max)()));
}
/// out = first + second; whether one of the pairs is odd.
template <class T, class Count>
bool add_pairs(const T* __restrict first, const T* __restrict second, T* __restrict out, Count n) noexcept {
  mask_of<T> odd = 0;
  for (std::size_t i = 0; i < n; ++i) {
    out[i] = first[i] + second[i];
    odd |= pair_is_odd(first[i], second[i]) ? 1 : 0;
  }
  return odd != 0;
}

/// use(begin, count) for blocks whose count is a constant but for the last one: loops over these are vectorised at -O2.
template <std::size_t Length, class Use>
void in_equal_blocks(std::size_t n, Use&& use) {
  std::size_t begin = 0;
  for (; begin + Length <= n; begin += Length) use(begin, std::integral_constant<std::size_t, Length>{});
  if (begin < n) use(begin, n - begin);
}

/// out[i] = finish(sum of row[i] over all rows) where that is plain, and otherwise lower(the same, binned).
template <class T, class Binned, class Finish, class Lower>
void unite_binned(std::span<const T* const> rows, T* out, std::size_t n, Finish&& finish, Lower&& lower) {
  plain_sums<T> block;
  const bool few = rows.size() <= block.most_rows;
  detail::in_equal_blocks<plain_sums<T>::length>(n, [&](std::size_t begin, auto count) {
    if (few && block.add_up(rows, begin, count)) {
      for (std::size_t i = 0; i < count; ++i) out[begin + i] = finish(block.sum(i));
      return;
    }
    for (std::size_t i = 0; i < count; ++i) {
      if (few && block.plain(i)) {
        out[begin + i] = finish(block.sum(i));
        continue;
      }
      Binned all;
      for (const T* row : rows) all.add(element_cast<accumulator_t<T>>(row[begin + i]));
      out[begin + i] = lower(all);
    }
  });
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
/// Cost: where all contributions meet - `direct`, `star`, ranks that share memory - the bytes of `sum`, and of 1 MiB a
/// rank .66 ns a value for two floats (sum .37), 5.4 for eight (2.2), 6 for two doubles (1.5; Xeon, -O2). On schedules
/// that fold pairwise partial results travel: 24 bytes for each float, 32 for a double. In CUDA kernels it has the same
/// bits, by the integers of `binned` throughout.
struct reproducible_sum : sum {
  static constexpr tutti::execution runs = tutti::execution::both;
  using part = reducer_part;
  static constexpr determinism repeats = determinism::rank_count_invariant;
  template <class T>
  static constexpr bool accepts = real_element<T> || detail::is_binned<T>;
  template <class T>
  using accumulator = std::conditional_t<detail::is_binned<T>, T,
                                         binned<std::conditional_t<std::is_same_v<T, double>, double, float>>>;

  template <class A>
  TUTTI_HD A identity() const noexcept {
    return A{};
  }
  template <class A>
  TUTTI_HD A combine(A a, const A& b) const noexcept {
    a.add(b);
    return a;
  }
  template <real_element T>
  TUTTI_HD accumulator<T> lift(T x, double /*weight*/) const noexcept {
    return accumulator<T>{element_cast<accumulator_t<T>>(x)};
  }
  template <real_element T>
  TUTTI_HD T lower(const accumulator<T>& total_sum, double /*total*/) const noexcept {
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
  void unite_pair(const T* first, const T* second, T* out, std::size_t n) const {
    detail::in_equal_blocks<256>(n, [&](std::size_t begin, auto count) {
      if (!detail::add_pairs(first + begin, second + begin, out + begin, count)) return;
      for (std::size_t i = begin; i < begin + count; ++i)
        if (detail::pair_is_odd(first[i], second[i]))
          out[i] = combine(lift(first[i], 1), lift(second[i], 1)).template value<T>();
    });
  }
};

/// That sum divided once by the number of ranks, in double. Elements are float, double, half and bfloat16; a sum of
/// doubles is rounded before it is divided.
struct reproducible_mean : mean {
  static constexpr tutti::execution runs = tutti::execution::both;
  using part = reducer_part;
  static constexpr determinism repeats = determinism::rank_count_invariant;
  template <class T>
  static constexpr bool accepts = real_element<T>;
  template <class T>
  using accumulator = reproducible_sum::accumulator<T>;

  template <class A>
  TUTTI_HD A identity() const noexcept {
    return A{};
  }
  template <class A>
  TUTTI_HD A combine(A a, const A& b) const noexcept {
    a.add(b);
    return a;
  }
  template <real_element T>
  TUTTI_HD accumulator<T> lift(T x, double weight) const noexcept {
    return reproducible_sum{}.lift(x, weight);
  }
  template <real_element T>
  TUTTI_HD T lower(const accumulator<T>& total_sum, double total) const noexcept {
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
  static constexpr tutti::execution runs = tutti::execution::both;
  using part = reducer_part;
  static constexpr determinism repeats = determinism::rank_count_invariant;
  template <class T>
  using accumulator = reproducible_sum::accumulator<T>;

  template <class A>
  TUTTI_HD A identity() const noexcept {
    return A{};
  }
  template <class A>
  TUTTI_HD A combine(A a, const A& b) const noexcept {
    a.add(b);
    return a;
  }
  template <real_element T>
  TUTTI_HD accumulator<T> lift(T x, double weight) const noexcept {
    return accumulator<T>{weighted_mean{}.lift(x, weight)};
  }
  template <real_element T>
  TUTTI_HD T lower(const accumulator<T>& total_sum, double total) const noexcept {
    return reproducible_mean{}.lower<T>(total_sum, total);
  }
};

} // namespace tutti
