// client_sum: what the clients of one rank have come to in a round.
#pragma once

#include <tutti/core/exact_arithmetic.hpp>
#include <tutti/core/rounded.hpp>
#include <tutti/reducers/distances.hpp>
#include <tutti/reducers/weights.hpp>
#include <tutti/training/verdict.hpp>

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <span>
#include <utility>
#include <vector>

namespace tutti::detail {

/// By what a difference of any tensors, all of them together, is multiplied so that its length is at most `clip`; 1
/// where that is 0.
template <class T>
double clip_factor(std::span<const T> received, std::span<const T> trained, double clip) {
  if (!(clip > 0)) return 1;
  const double length = std::sqrt(detail::squared_distance(received.data(), trained.data(), received.size()));
  return length > clip ? clip / length : 1;
}

/// Differences, received minus trained, each times its client's weight. Weights are kept times a power of two
/// that the heaviest client decides, so that next to nothing and next to infinity can be added.
template <class T>
class client_sum {
public:
  static constexpr std::int64_t nobody = -1, overflow = -2;

  /// Of n values; `clip` is the greatest length of a difference, 0 for any.
  explicit client_sum(std::size_t n, double clip = 0) : total_(n), clip_{clip} {}

  void clear() {
    std::fill(total_.begin(), total_.end(), T{});
    weight_ = 0;
    exponent_ = 0;
    first_bad_ = nobody;
    any_ = false;
  }
  /// `factor` multiplies the difference beside its weight.
  void add(std::int64_t client, double weight, std::span<const T> received, std::span<const T> trained,
           double factor = 1) {
    if (first_bad_ == nobody && !detail::all_finite(trained)) first_bad_ = client;
    const int exponent = detail::scale_weights({&weight, 1});
    if (!std::exchange(any_, true)) exponent_ = exponent;
    if (exponent > exponent_) rescale(exponent); // the heaviest so far
    weight = std::ldexp(weight, exponent - exponent_);
    weight_ += weight;
    const exact_mode held;
    const rounding rounded;
    const T w = static_cast<T>(weight * factor * detail::clip_factor(received, trained, clip_));
    for (std::size_t i = 0; i < total_.size(); ++i) total_[i] += rounded(w * (received[i] - trained[i]));
  }
  /// Makes a mean of the sum; the last thing in a round.
  void divide() {
    if (weight_ > 0) {
      const exact_mode held;
      for (T& t : total_) t = static_cast<T>(t / static_cast<T>(weight_));
    }
    if (first_bad_ == nobody && !detail::all_finite(std::span<const T>{total_})) first_bad_ = overflow;
  }
  std::span<const T> total() const noexcept { return total_; }
  std::span<T> total() noexcept { return total_; }

  /// Of all of them, times 2^exponent.
  double weight() const noexcept { return weight_; }
  int exponent() const noexcept { return exponent_; }
  /// A client that returned a NaN or an infinity; nobody, or overflow where none did and the mean holds one.
  std::int64_t first_bad() const noexcept { return first_bad_; }

private:
  /// By a power of two, so that no bit is lost but where a client weighs next to nothing.
  void rescale(int exponent) {
    const exact_mode held;
    const int down = exponent_ - exponent;
    for (T& t : total_) t = std::ldexp(t, down);
    weight_ = std::ldexp(weight_, down);
    exponent_ = exponent;
  }

  std::vector<T> total_;
  double clip_;
  double weight_ = 0;
  int exponent_ = 0;
  std::int64_t first_bad_ = nobody;
  bool any_ = false;
};

} // namespace tutti::detail
