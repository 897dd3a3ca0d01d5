// Contributions whose reduction is exact, in whatever order it is done.
#pragma once

#include <tutti/core/element.hpp>
#include <tutti/reducers/elementary.hpp>
#include <tutti/reducers/order_statistics.hpp>

#include <concepts>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <vector>

namespace matrix {

/// options::weight of a rank.
inline double weight_of(int rank) {
  return 1 + rank % 2;
}

/// A well-mixed number for an element of a rank's contribution.
inline std::uint64_t mixed(int rank, std::size_t i) {
  std::uint64_t x = (std::uint64_t(rank) << 40) + i + 1;
  x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9u;
  x = (x ^ (x >> 27)) * 0x94d049bb133111ebu;
  return x ^ (x >> 31);
}

/// Small enough for the 8 significant bits of bfloat16, with up to 7 ranks.
template <class R> double exact_value(std::uint64_t bits, int ranks) {
  const double small_integer = double(int(bits % 33) - 16);
  if constexpr (std::same_as<R, tutti::product>) {
    constexpr double powers[] = {1, -1, 2, -2, .5, -.5};
    return powers[bits % 6];
  } else if constexpr (std::same_as<R, tutti::mean>) {
    return small_integer * ranks;
  } else if constexpr (std::same_as<R, tutti::weighted_mean>) {
    double total = 0;
    for (int k = 0; k < ranks; ++k) total += weight_of(k);
    return small_integer * total;
  } else if constexpr (std::same_as<R, tutti::trimmed_mean>) {
    return small_integer * (ranks - tutti::trimmed_mean{}.least_contributions() + 1);
  } else if constexpr (std::same_as<R, tutti::min> || std::same_as<R, tutti::max>) {
    constexpr double inf = std::numeric_limits<double>::infinity();
    constexpr double extremes[] = {0.0, -0.0, inf, -inf, 1.5, -1.5, 3.0};
    return extremes[bits % 7];
  } else {
    return small_integer;
  }
}

/// [rank][element]; integers are any bits, because their sums and products wrap.
template <class R, class T> std::vector<std::vector<T>> inputs(int ranks, std::size_t n) {
  std::vector<std::vector<T>> all(static_cast<std::size_t>(ranks), std::vector<T>(n));
  for (int rank = 0; rank < ranks; ++rank)
    for (std::size_t i = 0; i < n; ++i) {
      const std::uint64_t bits = mixed(rank, i);
      T& x = all[std::size_t(rank)][i];
      if constexpr (std::integral<T>) x = static_cast<T>(bits);
      else x = tutti::element_cast<T>(tutti::accumulator_t<T>(exact_value<R>(bits, ranks)));
    }
  return all;
}

} // namespace matrix
