// exact_client_sum: what clients have come to in a round, the same bits in any order and on any number of ranks.
#pragma once

#include <tutti/core/exact_arithmetic.hpp>
#include <tutti/core/rounded.hpp>
#include <tutti/federated/client_sum.hpp>
#include <tutti/reducers/binned.hpp>

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>

namespace tutti::detail {

/// Numbers of at most `bound` added up as integers, multiples of a power of two that the bound and how many there are
/// decide: of 51 bits each, or of as many as leave room for all of them in 63.
class fixed_point {
public:
  fixed_point() = default;
  fixed_point(double bound, std::size_t most_numbers)
      : fixed_point{of_bits(bound, (std::min)(51, 62 - int(std::bit_width(most_numbers))))} {}
  /// Of as many bits each, at most 51.
  static fixed_point of_bits(double bound, int bits) {
    fixed_point out;
    out.unit_ = std::ilogb(bound) + 2 - bits;
    return out;
  }
  /// Of multiples of 2^unit, less than 2^51 of which are added at a time.
  static fixed_point of_unit(int unit) {
    fixed_point out;
    out.unit_ = unit;
    return out;
  }
  int unit() const noexcept { return unit_; }

  /// sums[i] += factor x[i], rounded to the nearest multiple.
  template <class Differences>
  void add(Differences&& x, double factor, std::int64_t* __restrict sums, std::size_t n) const {
    constexpr double shift = 0x1.8p52; // beside it a double has no bits below 1
    const double scale = std::ldexp(factor, -unit_);
    const rounding rounded;
    for (std::size_t i = 0; i < n; ++i) {
      const double multiple = rounded(scale * double(x(i))) + shift;
      sums[i] += std::bit_cast<std::int64_t>(multiple) - std::bit_cast<std::int64_t>(shift);
    }
  }

private:
  int unit_ = 0;
};

/// As client_sum, but that a difference is added in a way that does not round: in fixed point where differences are
/// clipped, so that a power of two above all of them is known, and else in bins. What all ranks have come to is brought
/// together before it is divided, at rank 0. It is kept in the memory of its numbers: of the model 2 times in fixed
/// point, 6 in bins of float.
template <class T>
class exact_client_sum {
public:
  /// Of n values; `clip` is the greatest length of a difference, 0 for any.
  exact_client_sum(std::size_t n, double clip)
      : n_{n}, clip_{clip}, bytes_{new std::byte[n * (fixed() ? sizeof(std::int64_t) : sizeof(binned<T>))]{}} {}

  /// A round of at most `clients`, of which the heaviest weighs at most 2^exponent; the same on all ranks.
  void begin(std::size_t clients, int exponent) {
    exponent_ = exponent;
    weight_ = {};
    if (fixed()) {
      point_ = fixed_point{clip_, clients};
      std::fill_n(integers(), n_, std::int64_t{0});
    } else {
      std::fill_n(bins(), n_, binned<T>{});
    }
  }
  /// `factor`, at most 1, multiplies the difference beside its weight. False where the difference is no number: then
  /// nothing of it is in the sum.
  bool add(double weight, std::span<const T> received, std::span<const T> trained, double factor = 1) {
    if (!detail::is_contribution(received, trained, clip_)) return false;
    const exact_mode held;
    weight = std::ldexp(weight, -exponent_);
    const double kept = detail::clip_factor(received, trained, clip_);
    weight_.add(weight);
    detail::with_differences(received, trained, [&](auto difference) {
      if (fixed()) {
        point_.add(difference, weight * factor * kept, integers(), n_);
        return;
      }
      const auto w = static_cast<T>(weight * factor);
      constexpr std::size_t block = 256;
      T differences[block];
      for (std::size_t begin = 0; begin < n_; begin += block) {
        const std::size_t n = (std::min)(block, n_ - begin);
        for (std::size_t i = 0; i < n; ++i) differences[i] = w * difference(begin + i);
        binned<T>::add(bins() + begin, differences, n);
      }
    });
    return true;
  }

  /// reduce(values) leaves their sum over all ranks on rank 0: integers, or bins.
  template <class Reduce>
  void bring_together(Reduce&& reduce) {
    if (fixed())
      reduce(std::span{integers(), n_});
    else
      reduce(std::span{bins(), n_});
  }
  /// Makes a mean of the sum by the weight of all; of weight 0 zeros. The last thing in a round.
  void divide(double weight) {
    const exact_mode held;
    T* to = values();
    const double unit = std::ldexp(1.0, point_.unit());
    for (std::size_t i = 0; i < n_; ++i) // what is read is not before what is written
      to[i] = weight == 0 ? T{} : static_cast<T>((fixed() ? double(integers()[i]) * unit : bin_value(i)) / weight);
  }
  std::span<const T> total() const noexcept { return {values(), n_}; }
  std::span<T> total() noexcept { return {values(), n_}; }

  /// Of all of them, times 2^exponent.
  const binned<double>& weight() const noexcept { return weight_; }

private:
  bool fixed() const noexcept { return clip_ > 0; }
  std::int64_t* integers() const noexcept { return reinterpret_cast<std::int64_t*>(bytes_.get()); }
  binned<T>* bins() const noexcept { return reinterpret_cast<binned<T>*>(bytes_.get()); }
  T* values() const noexcept { return reinterpret_cast<T*>(bytes_.get()); }
  double bin_value(std::size_t i) const noexcept { return bins()[i].template value<double>(); }

  std::size_t n_;
  double clip_;
  std::unique_ptr<std::byte[]> bytes_; ///< integers or bins, and then the mean
  fixed_point point_;
  int exponent_ = 0;
  binned<double> weight_;
};

} // namespace tutti::detail
