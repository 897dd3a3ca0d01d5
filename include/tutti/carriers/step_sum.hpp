// step_sum: the pushes that one step of a key range is made of, reduced.
#pragma once

#include <tutti/core/exact_arithmetic.hpp>
#include <tutti/reducers/elementary.hpp>
#include <tutti/reducers/reducer.hpp>

#include <concepts>
#include <cstddef>
#include <span>
#include <vector>

namespace tutti::detail {

/// A left fold in the order of add(). One push that is a step by itself is reduced where it is; several have
/// accumulators of their own, once there have been several. A mean of unlike weights is that of contributions each of
/// which counts by its weight beside the first one's, so weights that are all alike leave the bits of no weights.
template <class T, class Reducer>
class step_sum {
public:
  /// Of a key range that begins at `first`. `reducer` outlives it.
  step_sum(const Reducer& reducer, std::size_t first) : reducer_{reducer}, first_{first} {}

  bool empty() const noexcept { return count_ == 0; }
  /// One more, of which the values stay where they are until close() or part(). Of `weight` beside others, and
  /// `worth` the part of that which counts. Both are positive.
  void add(std::span<T> values, double weight, double worth) {
    if (count_++ == 0) {
      of_weight_one_ = weight;
      only_ = values;
      factor_ = factor(1, worth);
      total_ = worth;
      return;
    }
    part();
    const double beside = weight / of_weight_one_;
    fold(values, factor(beside, worth), false);
    total_ += beside * worth;
  }
  /// What was added is read no more.
  void part() {
    if (only_.empty()) return;
    sums_.resize(only_.size());
    fold(only_, factor_, true);
    only_ = {};
  }
  /// What the step comes to: in the memory of the only one, or its own until the next. Divided into `shares`; into
  /// what counted where that is 0.
  std::span<T> close(double shares) {
    const exact_mode held;
    const double total = shares > 0 ? shares : total_;
    const std::span<T> out = only_.empty() ? reduced() : only_;
    const bool as_it_is = factor_ == 1 && (is_sum || (is_mean && total == 1));
    if (only_.empty())
      for (std::size_t i = 0; i < out.size(); ++i)
        out[i] = detail::lower<T>(reducer_, sums_[i], total, first_ + i);
    else if (!as_it_is)
      for (std::size_t i = 0; i < out.size(); ++i)
        out[i] = detail::lower<T>(reducer_, lifted(out[i], factor_, i), total, first_ + i);
    only_ = {};
    count_ = 0;
    return out;
  }

private:
  using accumulator = reducer_accumulator_t<Reducer, T>;
  /// They do nothing to a value that is alone and whole.
  static constexpr bool is_sum = plain_lift<Reducer, T> && plain_lower<Reducer, T>;
  static constexpr bool is_mean = plain_lift<Reducer, T> && std::same_as<Reducer, mean>;

  /// A sum counts what comes, whatever it weighs.
  static double factor(double beside, double worth) noexcept {
    return std::derived_from<Reducer, mean> || is_weighted<Reducer> ? beside * worth : worth;
  }
  accumulator lifted(T value, double by, std::size_t i) const {
    if constexpr (is_weighted<Reducer>)
      return detail::lift<Reducer, T>(reducer_, value, by, first_ + i);
    else
      return detail::lift<Reducer, T>(reducer_, by == 1 ? value : value * T(by), 1.0, first_ + i);
  }
  void fold(std::span<const T> values, double by, bool begins) {
    const exact_mode held;
    for (std::size_t i = 0; i < values.size(); ++i) {
      const accumulator a = lifted(values[i], by, i);
      sums_[i] = begins ? a : reducer_.combine(sums_[i], a);
    }
  }
  /// As long as the sums, and in their place where they are values.
  std::span<T> reduced() {
    if constexpr (std::same_as<accumulator, T>) {
      return sums_;
    } else {
      out_.resize(sums_.size());
      return out_;
    }
  }

  const Reducer& reducer_;
  const std::size_t first_;
  std::size_t count_ = 0;
  std::span<T> only_; ///< the only one so far
  double factor_ = 1, of_weight_one_ = 1, total_ = 0;
  std::vector<accumulator> sums_;
  std::vector<T> out_;
};

} // namespace tutti::detail
