// krum: the contributions in the middle of the crowd, where up to f of them may be anything.
#pragma once

#include <tutti/reducers/distances.hpp>
#include <tutti/reducers/elementary.hpp>

#include <cstddef>
#include <span>
#include <vector>

namespace tutti {

/// The mean of chosen contributions: what is left of krum when the choice is made.
struct mean_of_chosen {
  using part = reducer_part;
  static constexpr bool in_lanes = true;

  std::vector<std::size_t> ranks; ///< in rank order, at least one

  template <class A>
  constexpr A gather(std::span<A> column) const {
    A total = column[ranks[0]];
    for (std::size_t k = 1; k < ranks.size(); ++k) total = total + column[ranks[k]];
    return ranks.size() == 1 ? total : total / A(ranks.size());
  }
};

/// The score of a contribution is the sum of its squared distances to the size - f - 2 nearest others;
/// the result is the contribution with the least score, or with `keep` > 1 (Multi-Krum) the mean of that
/// many. Of equal scores the lower rank's wins. Needs 2 f + 3 ranks, and keep of them at most size - f.
/// A contribution with a NaN or infinity is infinitely far from all others.
/// On `direct` each rank measures its shard and the size^2 distances are summed over the ranks, 8 bytes
/// each; on `star` the centre measures everything. Work: size^2 / 2 operations an element of the shard.
/// Blanchard, El Mhamdi, Guerraoui, Stainer, "Machine learning with adversaries: Byzantine tolerant
/// gradient descent" (NIPS 2017), section 3.
struct krum {
  using part = reducer_part;
  using agreement_reducer = sum;
  template <class T>
  static constexpr bool accepts = real_element<T>;

  int f = 1;    ///< how many contributions may be arbitrary
  int keep = 1; ///< how many are averaged

  constexpr int least_contributions() const {
    return 2 * f + 3 > keep + f ? 2 * f + 3 : keep + f;
  }
  constexpr const char* objection() const {
    return f < 0      ? "krum: f is negative - give how many contributions may be arbitrary"
           : keep < 1 ? "krum: keep is less than 1 - give how many contributions are averaged"
                      : nullptr;
  }
  constexpr std::size_t agreement(std::size_t /*n*/, int size) const {
    return std::size_t(size) * std::size_t(size);
  }

  template <class T>
  void observe_gathered(gathered_rows<T> all, std::size_t /*first*/,
                        std::span<double> distances) const {
    detail::measure_distances(all, distances);
  }

  mean_of_chosen agreed(std::span<const double> distances) const {
    const std::size_t size = detail::points_of(distances);
    std::vector<double> scores(size);
    for (std::size_t i = 0; i < size; ++i)
      scores[i] = score(distances.subspan(i * size, size), i);
    mean_of_chosen chosen;
    for (std::size_t i = 0; i < size; ++i) // those that fewer than `keep` others are better than
      if (rank_of(scores, i) < std::size_t(keep)) chosen.ranks.push_back(i);
    return chosen;
  }

  /// The score of contribution `own`, given its distances to all.
  double score(std::span<const double> row, std::size_t own) const {
    std::vector<double> others;
    for (std::size_t k = 0; k < row.size(); ++k)
      if (k != own) others.push_back(row[k] == row[k] ? row[k] : detail::infinitely_far);
    double total = 0;
    for (std::size_t k = 0; k < others.size(); ++k)
      if (rank_of(others, k) + std::size_t(f) + 2 < row.size()) total += others[k];
    return total;
  }

private:
  /// How many values come before values[i], equal ones in their order.
  static std::size_t rank_of(const std::vector<double>& values, std::size_t i) {
    std::size_t before = 0;
    for (std::size_t k = 0; k < values.size(); ++k)
      before += values[k] < values[i] || (values[k] == values[i] && k < i);
    return before;
  }
};

} // namespace tutti
