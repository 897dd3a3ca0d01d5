// bulyan: of the contributions that Krum would take one after the other, each coordinate's values around the middle.
#pragma once

#include <tutti/reducers/krum.hpp>
#include <tutti/reducers/order_statistics.hpp>

#include <algorithm>
#include <concepts>
#include <cstddef>
#include <span>
#include <utility>
#include <vector>

namespace tutti {

/// The mean of the `keep` values of chosen contributions that are nearest to their median, of two as near that nearer
/// to 0: what is left of bulyan when the choice is made.
struct mean_around_median {
  using part = reducer_part;
  static constexpr bool in_lanes = true;

  std::vector<std::size_t> ranks; ///< at least `keep` of them
  std::size_t keep = 1;

  template <class A>
  constexpr A gather(std::span<A> column) const {
    for (std::size_t k = 0; k < ranks.size(); ++k) std::swap(column[k], column[ranks[k]]); // ranks[k] >= k
    const auto chosen = column.first(ranks.size());
    const A middle = median{}.gather(chosen); // which sorts them
    if constexpr (std::same_as<A, detail::lane_t<A>>) {
      return mean_around(middle, [&](std::size_t k) { return chosen[k]; }, chosen.size());
    } else {
      A out;
      for (std::size_t l = 0; l < A::width; ++l)
        out.at[l] = mean_around(middle.at[l], [&](std::size_t k) { return chosen[k].at[l]; }, chosen.size());
      return out;
    }
  }

private:
  /// Of `n` sorted values.
  template <class A, class Value>
  constexpr A mean_around(A middle, Value&& value, std::size_t n) const {
    std::size_t first = 0;
    while (first + keep < n && is_farther(middle, value(first), value(first + keep))) ++first;
    A total = value(first);
    for (std::size_t k = 1; k < keep; ++k) total = total + value(first + k);
    return total / A(keep);
  }
  /// Whether `below` the middle is farther from it than `above`.
  template <class A>
  static constexpr bool is_farther(A middle, A below, A above) {
    const A down = middle - below, up = above - middle;
    return down > up || (down == up && -below > above);
  }
};

/// size - 2 f contributions are chosen, each the one that Krum finds best among those that are left; of each coordinate
/// the mean of the size - 4 f values nearest to their median is the result. Up to f contributions may be anything, also
/// in a single coordinate, where Krum lets one that is near in all others pass. Needs 4 f + 3 ranks. A contribution
/// with a NaN or infinity is infinitely far from all others. Cost: that of krum, and a sort of the chosen for each
/// value. El Mhamdi, Guerraoui, Rouault, "The hidden vulnerability of distributed learning in Byzantium" (ICML 2018).
struct bulyan {
  using part = reducer_part;
  using agreement_reducer = sum;
  template <class T>
  static constexpr bool accepts = real_element<T>;

  int f = 1; ///< how many contributions may be arbitrary

  constexpr int least_contributions() const { return 4 * f + 3; }
  constexpr const char* objection() const {
    return f < 0 ? "bulyan: f is negative - give how many contributions may be arbitrary" : nullptr;
  }
  constexpr std::size_t agreement(std::size_t /*n*/, int size) const { return std::size_t(size) * std::size_t(size); }

  template <class T>
  void observe_gathered(gathered_rows<T> all, std::size_t /*first*/, std::span<double> distances) const {
    detail::measure_distances(all, distances);
  }
  mean_around_median agreed(std::span<const double> distances) const {
    const std::size_t size = detail::points_of(distances), bad = std::size_t(f);
    std::vector<std::size_t> left(size);
    for (std::size_t k = 0; k < size; ++k) left[k] = k;
    mean_around_median chosen{{}, size - 4 * bad};
    while (chosen.ranks.size() < size - 2 * bad) {
      const std::size_t best = best_of(left, distances, size);
      chosen.ranks.push_back(left[best]);
      left.erase(left.begin() + std::ptrdiff_t(best));
    }
    std::sort(chosen.ranks.begin(), chosen.ranks.end());
    return chosen;
  }

private:
  /// The one with the least sum of distances to its neighbours, at least one of them; of equals - two may be each
  /// other's nearest - the one that is nearer to the next of the others.
  std::size_t best_of(const std::vector<std::size_t>& left, std::span<const double> distances, std::size_t size) const {
    const std::size_t needed = std::size_t(f) + 2;
    const std::size_t neighbours = left.size() > needed + 1 ? left.size() - needed : 1;
    std::size_t best = 0;
    std::vector<double> least;
    for (std::size_t k = 0; k < left.size(); ++k) {
      std::vector<double> others;
      for (const std::size_t j : left)
        if (j != left[k]) others.push_back(distances[left[k] * size + j]);
      std::sort(others.begin(), others.end());
      double score = 0;
      for (std::size_t j = 0; j < neighbours && j < others.size(); ++j) score += others[j];
      others.insert(others.begin(), score);
      if (k == 0 || others < least) least = std::move(others), best = k;
    }
    return best;
  }
};

} // namespace tutti
