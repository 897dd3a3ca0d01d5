// geometric_median, centered_clipping and norm_clipping: every contribution counts, and none more than a bound.
//
// Each is a combination of the contributions whose shares are found from the squared distances between them and from
// the origin alone: |sum(w_i x_i) - x_k|^2 = sum_i(w_i d_ik) - sum_ij(w_i w_j d_ij) / 2 where the w add up to 1. So
// ranks agree on size^2 numbers once, and every iteration after that is about a few numbers, whatever the length of
// the data. A contribution with a NaN or infinity, or as far away as if, has no share; where all have, the result is
// NaN. All run on `direct` and `star`. Work: size^2 / 2 operations an element of the shard, and one a contribution.
#pragma once

#include <tutti/core/element.hpp>
#include <tutti/core/lanes.hpp>
#include <tutti/core/rounded.hpp>
#include <tutti/reducers/distances.hpp>
#include <tutti/reducers/elementary.hpp>

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <limits>
#include <span>
#include <utility>
#include <vector>

namespace tutti {

/// Each contribution times its share, in rank order, added up in double; what has no share may hold anything.
struct combination {
  using part = reducer_part;
  static constexpr bool in_lanes = true;

  std::vector<double> shares; ///< one a rank

  template <class A>
  A gather(std::span<A> column) const {
    using lane = detail::lane_t<A>;
    const rounding rounded;
    auto total = detail::by_lane([](lane) { return 0.0; }, A{});
    bool any = false;
    for (std::size_t k = 0; k < column.size(); ++k)
      if (const double share = shares[k]; share != 0) {
        total = detail::by_lane([&](double sum, lane x) { return sum + rounded(share * double(x)); }, total, column[k]);
        any = true;
      }
    return detail::by_lane([&](double sum) { return any ? lane(sum) : std::numeric_limits<lane>::quiet_NaN(); }, total);
  }
};

namespace detail {

/// A point that is a combination of others, the last of which is the origin.
class combined_point {
public:
  explicit combined_point(std::span<const double> distances)
      : distances_{distances}, points_{detail::points_of(distances)}, shares_(points_), to_(points_) {
    for (std::size_t k = 0; k + 1 < points_; ++k) counted_ += counts(k);
  }

  std::size_t rows() const noexcept { return points_ - 1; }
  std::size_t counted() const noexcept { return counted_; }
  bool counts(std::size_t k) const noexcept { return is_finite(distances_[k * points_ + points_ - 1]); }

  /// Of contribution k; the origin has the rest. Returns the greatest change of a share.
  double move_to(const std::vector<double>& shares) {
    double rest = 1, change = 0;
    for (std::size_t k = 0; k < rows(); ++k) {
      rest -= shares[k];
      change = (std::max)(change, std::fabs(shares[k] - std::exchange(shares_[k], shares[k])));
    }
    shares_[rows()] = rest;
    double own = 0;
    for (std::size_t k = 0; k < points_; ++k) {
      to_[k] = 0;
      for (std::size_t j = 0; j < points_; ++j)
        if (shares_[j] != 0 && (k == rows() || counts(k))) to_[k] += shares_[j] * distances_[k * points_ + j];
      own += shares_[k] * to_[k];
    }
    for (double& t : to_) t -= own / 2;
    return change;
  }
  /// From the point to contribution k.
  double distance(std::size_t k) const noexcept { return std::sqrt((std::max)(to_[k], 0.0)); }
  std::vector<double> shares() const { return {shares_.begin(), shares_.end() - 1}; }

private:
  std::span<const double> distances_;
  std::size_t points_, counted_ = 0;
  std::vector<double> shares_;
  std::vector<double> to_; ///< squared, from the point to all
};

/// With the origin as one more.
constexpr std::size_t squares_of(int size) { return std::size_t(size + 1) * std::size_t(size + 1); }

/// `passes` times v += sum(min(1, radius / |x - v|) (x - v)) / n over the n contributions that count, from v = 0.
inline combination clipped_towards_middle(std::span<const double> distances, double radius, int passes) {
  combined_point v{distances};
  std::vector<double> shares(v.rows());
  v.move_to(shares);
  for (int pass = 0; pass < passes; ++pass) {
    std::vector<double> pull(v.rows());
    double kept = 1;
    for (std::size_t k = 0; k < v.rows(); ++k) {
      if (!v.counts(k)) continue;
      const double far = v.distance(k);
      pull[k] = (far > radius ? radius / far : 1) / double(v.counted());
      kept -= pull[k];
    }
    for (std::size_t k = 0; k < v.rows(); ++k) shares[k] = kept * shares[k] + pull[k];
    v.move_to(shares);
  }
  return {shares};
}

} // namespace detail

/// The point with the least sum of distances to all contributions, by Weiszfeld's iteration with distances of at least
/// `smoothing`, from the mean, until no share changes by more than 1e-15 or `iterations` are over: up to half of the
/// contributions may be anything. Pillutla, Kakade, Harchaoui, "Robust aggregation for federated learning" (IEEE TSP
/// 2022, arXiv 1912.13445), algorithm 2.
struct geometric_median {
  using part = reducer_part;
  using agreement_reducer = sum;
  template <class T>
  static constexpr bool accepts = real_element<T>;

  double smoothing = 1e-6;
  int iterations = 1000;

  constexpr const char* objection() const {
    return !(smoothing > 0) || !is_finite(smoothing)
               ? "geometric_median: smoothing is not a positive number - give the distance below which none counts"
           : iterations < 1 ? "geometric_median: there are no iterations - give at least 1"
                            : nullptr;
  }
  constexpr std::size_t agreement(std::size_t /*n*/, int size) const { return detail::squares_of(size); }
  template <class T>
  void observe_gathered(gathered_rows<T> all, std::size_t /*first*/, std::span<double> distances) const {
    detail::measure_distances(all, distances);
  }
  combination agreed(std::span<const double> distances) const {
    detail::combined_point v{distances};
    std::vector<double> shares(v.rows());
    for (std::size_t k = 0; k < v.rows(); ++k) shares[k] = v.counts(k) ? 1 / double(v.counted()) : 0;
    for (int k = 0; k < iterations && v.move_to(shares) > 1e-15; ++k) {
      double total = 0;
      for (std::size_t i = 0; i < shares.size(); ++i) {
        shares[i] = v.counts(i) ? 1 / (std::max)(smoothing, v.distance(i)) : 0;
        total += shares[i];
      }
      for (double& s : shares) s /= total;
    }
    return {shares};
  }
};

/// From the origin - contributions are differences from what was agreed before - `passes` steps of
/// v += sum(min(1, radius / |x - v|) (x - v)) / n. Karimireddy, He, Jaggi, "Learning from history for Byzantine robust
/// optimization" (ICML 2021, arXiv 2012.10333), equation 4.
struct centered_clipping {
  using part = reducer_part;
  using agreement_reducer = sum;
  template <class T>
  static constexpr bool accepts = real_element<T>;

  double radius = 1;
  int passes = 1;

  constexpr const char* objection() const {
    return !(radius > 0) || !is_finite(radius)
               ? "centered_clipping: radius is not a positive number - give how far a contribution counts whole"
           : passes < 1 ? "centered_clipping: there are no passes - give at least 1"
                        : nullptr;
  }
  constexpr std::size_t agreement(std::size_t /*n*/, int size) const { return detail::squares_of(size); }
  template <class T>
  void observe_gathered(gathered_rows<T> all, std::size_t /*first*/, std::span<double> distances) const {
    detail::measure_distances(all, distances);
  }
  combination agreed(std::span<const double> distances) const {
    return detail::clipped_towards_middle(distances, radius, passes);
  }
};

/// The mean of all contributions, each scaled down to a length of at most `bound`: sum(min(1, bound / |x|) x) / n.
/// Sun, Kairouz, Suresh, McMahan, "Can you really backdoor federated learning?" (arXiv 1911.07963), section 3.
struct norm_clipping {
  using part = reducer_part;
  using agreement_reducer = sum;
  template <class T>
  static constexpr bool accepts = real_element<T>;

  double bound = 1;

  constexpr const char* objection() const {
    return !(bound > 0) || !is_finite(bound)
               ? "norm_clipping: bound is not a positive number - give the length that no contribution exceeds"
               : nullptr;
  }
  constexpr std::size_t agreement(std::size_t /*n*/, int size) const { return detail::squares_of(size); }
  template <class T>
  void observe_gathered(gathered_rows<T> all, std::size_t /*first*/, std::span<double> distances) const {
    detail::measure_distances(all, distances);
  }
  combination agreed(std::span<const double> distances) const {
    return detail::clipped_towards_middle(distances, bound, 1);
  }
};

} // namespace tutti
