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

/// use(d), where d(i) is a client's i-th difference: received minus trained, or `received` itself, which then holds
/// differences, where nothing is given as `trained`.
template <class T, class Use>
void with_differences(std::span<const T> received, std::span<const T> trained, Use&& use) {
  const T *from = received.data(), *to = trained.data();
  if (trained.empty())
    use([from](std::size_t i) { return from[i]; });
  else
    use([from, to](std::size_t i) { return static_cast<T>(from[i] - to[i]); });
}

/// By what a difference of any tensors, all of them together, is multiplied so that its length is at most `clip`; 1
/// where that is 0.
template <class T>
double clip_factor(std::span<const T> received, std::span<const T> trained, double clip) {
  if (!(clip > 0)) return 1;
  const double length = std::sqrt(detail::squared_distance(received.data(), trained.data(), received.size()));
  return length > clip ? clip / length : 1;
}

/// Whether no difference, received minus trained, is a NaN or an infinity, nor their length where that is asked for.
template <class T>
bool is_contribution(std::span<const T> received, std::span<const T> trained, double clip) {
  constexpr std::size_t block = 256;
  T differences[block];
  bool finite = true;
  detail::with_differences(received, trained, [&](auto difference) {
    for (std::size_t begin = 0; finite && begin < received.size(); begin += block) {
      const std::size_t n = (std::min)(block, received.size() - begin);
      for (std::size_t i = 0; i < n; ++i) differences[i] = difference(begin + i);
      finite = detail::all_finite(std::span<const T>{differences, n});
    }
  });
  if (!finite) return false;
  return !(clip > 0) || sizeof(T) < sizeof(double) ||
         is_finite(detail::squared_distance(received.data(), trained.data(), received.size()));
}

/// Differences, received minus trained, each times its client's weight. Weights are kept times a power of two
/// that the heaviest client decides, so that next to nothing and next to infinity can be added.
template <class T>
class client_sum {
public:
  /// Of n values; `clip` is the greatest length of a difference, 0 for any.
  explicit client_sum(std::size_t n, double clip = 0) : total_(n), clip_{clip} {}

  void clear() {
    std::fill(total_.begin(), total_.end(), T{});
    weight_ = 0;
    exponent_ = 0;
    any_ = false;
  }
  /// `factor` multiplies the difference beside its weight. False where the difference is no number: then nothing of it
  /// is in the sum.
  bool add(double weight, std::span<const T> received, std::span<const T> trained, double factor = 1) {
    if (!detail::is_contribution(received, trained, clip_)) return false;
    const int exponent = detail::scale_weights({&weight, 1});
    if (!std::exchange(any_, true)) exponent_ = exponent;
    if (exponent > exponent_) rescale(exponent); // the heaviest so far
    weight = std::ldexp(weight, exponent - exponent_);
    weight_ += weight;
    const exact_mode held;
    const rounding rounded;
    const T w = static_cast<T>(weight * factor * detail::clip_factor(received, trained, clip_));
    detail::with_differences(received, trained, [&](auto difference) {
      for (std::size_t i = 0; i < total_.size(); ++i) total_[i] += rounded(w * difference(i));
    });
    return true;
  }
  /// Makes a mean of the sum; the last thing in a round.
  void divide() {
    if (weight_ > 0) {
      const exact_mode held;
      for (T& t : total_) t = static_cast<T>(t / static_cast<T>(weight_));
    }
  }
  std::span<const T> total() const noexcept { return total_; }
  std::span<T> total() noexcept { return total_; }

  /// Of all of them, times 2^exponent.
  double weight() const noexcept { return weight_; }
  int exponent() const noexcept { return exponent_; }
  /// Whether the mean overflowed.
  bool overflowed() const noexcept { return !detail::all_finite(total()); }

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
  bool any_ = false;
};

} // namespace tutti::detail
