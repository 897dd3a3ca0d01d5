// How far contributions are from each other: what rules that compare whole contributions agree on.
#pragma once

#include <tutti/reducers/reducer.hpp>

#include <algorithm>
#include <concepts>
#include <cstddef>
#include <limits>
#include <span>

namespace tutti::detail {

inline constexpr double infinitely_far = std::numeric_limits<double>::infinity();

/// Over n values, in eight lanes, so that it is vectorised and its bits do not depend on how; NaN where one of them is,
/// or where infinities meet. Without `b`, from the origin.
template <class T>
double squared_distance(const T* a, const T* b, std::size_t n) {
  constexpr std::size_t lanes = 8;
  const auto value = [](const T* row, std::size_t k) {
    return row ? double(element_cast<accumulator_t<T>>(row[k])) : 0.0;
  };
  double sums[lanes] = {};
  for (std::size_t k = 0; k + lanes <= n; k += lanes)
    for (std::size_t l = 0; l < lanes; ++l) {
      const double d = value(a, k + l) - value(b, k + l);
      sums[l] += d * d;
    }
  for (std::size_t k = n - n % lanes; k < n; ++k) {
    const double d = value(a, k) - value(b, k);
    sums[k % lanes] += d * d;
  }
  return ((sums[0] + sums[1]) + (sums[2] + sums[3])) + ((sums[4] + sums[5]) + (sums[6] + sums[7]));
}

/// Halves are added to each other: loops of a constant length.
template <std::size_t Lanes>
float pairwise_sum(float (&sums)[Lanes]) noexcept {
  if constexpr (Lanes == 1) {
    return sums[0];
  } else {
    float halves[Lanes / 2];
    for (std::size_t l = 0; l < Lanes / 2; ++l) halves[l] = sums[l] + sums[l + Lanes / 2];
    return detail::pairwise_sum(halves);
  }
}

/// Of whole blocks of floats, in so many lanes that none waits for itself; then pairwise.
template <class T>
[[gnu::noinline]] float squared_distance_in_lanes(const T* __restrict a, const T* __restrict b, std::size_t n) {
  constexpr std::size_t lanes = 64;
  float sums[lanes] = {};
  for (std::size_t k = 0; k < n; k += lanes)
    for (std::size_t l = 0; l < lanes; ++l) {
      const float d = element_cast<float>(a[k + l]) - element_cast<float>(b[k + l]);
      sums[l] += d * d;
    }
  return detail::pairwise_sum(sums);
}

/// The same of a block that is short enough for floats, where that is what they are added up in: right to about 1e-6.
/// Where it leaves the middle of their range, or is no number, in double.
template <class T>
double squared_distance_in_block(const T* a, const T* b, std::size_t n) {
  if constexpr (std::same_as<accumulator_t<T>, float>) {
    const std::size_t whole = n / 64 * 64;
    const double total = double(detail::squared_distance_in_lanes(a, b, whole));
    if (total > 1e-25 && total < 1e35) return total + detail::squared_distance(a + whole, b + whole, n - whole);
  }
  return detail::squared_distance(a, b, n);
}

/// Fills a symmetric matrix over all rows and, where it has room for one more, the origin. A row with a NaN or infinity
/// is infinitely far from all others.
template <class T>
void measure_distances(gathered_rows<T> all, std::span<double> matrix) {
  const std::size_t rows = all.rows.size(), points = matrix.size() == rows * rows ? rows : rows + 1;
  std::fill(matrix.begin(), matrix.end(), 0.0);
  constexpr std::size_t block = 1024; // a block of every row stays in the caches while it meets all others
  for (std::size_t begin = 0; begin < all.n; begin += block) {
    const std::size_t n = (std::min)(block, all.n - begin);
    for (std::size_t i = 0; i < points; ++i)
      for (std::size_t j = 0; j < i; ++j) {
        const T* other = all.rows[j] + begin;
        matrix[i * points + j] +=
            i < rows ? detail::squared_distance_in_block(all.rows[i] + begin, other, n)
                     : detail::squared_distance(other, static_cast<const T*>(nullptr), n);
      }
  }
  for (std::size_t i = 0; i < points; ++i)
    for (std::size_t j = 0; j < i; ++j) {
      double& d = matrix[i * points + j];
      if (d != d) d = infinitely_far;
      matrix[j * points + i] = d;
    }
}

/// How many points a square matrix is about.
inline std::size_t points_of(std::span<const double> matrix) {
  std::size_t points = 0;
  while (points * points < matrix.size()) ++points;
  return points;
}

} // namespace tutti::detail
