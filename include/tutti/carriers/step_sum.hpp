// step_sum: the pushes that one step of a key range is made of, reduced.
#pragma once

#include <tutti/collectives/loops.hpp>
#include <tutti/core/blocks.hpp>
#include <tutti/core/exact_arithmetic.hpp>
#include <tutti/reducers/elementary.hpp>
#include <tutti/reducers/reducer.hpp>

#include <algorithm>
#include <concepts>
#include <cstddef>
#include <span>
#include <vector>

namespace tutti::detail {

/// A left fold in the order of add(), block by block through all pushes that are there, so that each is read once. One
/// push that is a step by itself is reduced where it is; several have accumulators of their own. A mean of unlike
/// weights is that of contributions each of which counts by its weight beside the first one's, so weights that are all
/// alike leave the bits of no weights.
template <class T, class Reducer>
class step_sum {
public:
  /// Of a key range that begins at `first`. `reducer` outlives it.
  step_sum(const Reducer& reducer, std::size_t first) : reducer_{reducer}, first_{first} {}

  bool empty() const noexcept { return here_.empty() && !parted_; }
  /// One more, of which the values stay where they are until close() or part(). Of `weight` beside others, and
  /// `worth` the part of that which counts. Both are positive.
  void add(std::span<T> values, double weight, double worth) {
    if (empty()) of_weight_one_ = weight, total_ = 0;
    const double beside = weight / of_weight_one_;
    here_.push_back({values, factor(beside, worth)});
    total_ += beside * worth;
  }
  /// What was added is read no more.
  void part() {
    if (here_.empty()) return;
    const exact_mode held;
    sums_.resize(here_[0].values.size());
    in_blocks<length>(sums_.size(), [&](std::size_t begin, auto n) {
      alignas(64) accumulator partial[length];
      fold(begin, n, partial);
      std::copy_n(partial, std::size_t(n), sums_.begin() + std::ptrdiff_t(begin));
    });
    here_.clear();
    parted_ = true;
  }
  /// What the step comes to: in the memory of the only one, or its own until the next. Divided into `shares`; into
  /// what counted where that is 0.
  std::span<T> close(double shares) {
    const exact_mode held;
    const double total = shares > 0 ? shares : total_;
    const bool alone = !parted_ && here_.size() == 1;
    const std::span<T> out = alone ? here_[0].values : own(parted_ ? sums_.size() : here_[0].values.size());
    const bool as_it_is = alone && here_[0].factor == 1 && (is_sum || (is_mean && total == 1));
    if (!as_it_is)
      in_blocks<length>(out.size(), [&](std::size_t begin, auto n) {
        alignas(64) accumulator partial[length];
        fold(begin, n, partial);
        detail::lower_block<Reducer, T>(reducer_, partial, out.data() + begin, n, first_ + begin, total);
      });
    here_.clear();
    parted_ = false;
    return out;
  }

private:
  using accumulator = reducer_accumulator_t<Reducer, T>;
  static constexpr std::size_t length = block_of<accumulator, T>;
  /// They do nothing to a value that is alone and whole.
  static constexpr bool is_sum = plain_lift<Reducer, T> && plain_lower<Reducer, T>;
  static constexpr bool is_mean = plain_lift<Reducer, T> && std::same_as<Reducer, mean>;
  struct contribution {
    std::span<T> values;
    double factor;
  };

  /// A sum counts what comes, whatever it weighs.
  static double factor(double beside, double worth) noexcept {
    return std::derived_from<Reducer, mean> || is_weighted<Reducer> ? beside * worth : worth;
  }
  /// A block of what is there, behind what was parted.
  template <class Count>
  void fold(std::size_t begin, Count n, accumulator* partial) const {
    if (parted_) std::copy_n(sums_.begin() + std::ptrdiff_t(begin), std::size_t(n), partial);
    for (std::size_t k = 0; k < here_.size(); ++k) {
      if (k == 0 && !parted_) {
        lift(here_[k], begin, n, partial);
        continue;
      }
      if constexpr (plain_lift<Reducer, T>)
        if (here_[k].factor == 1) {
          detail::fold_one_more(reducer_, here_[k].values.data() + begin, partial, n);
          continue;
        }
      accumulator one[length];
      lift(here_[k], begin, n, one);
      detail::fold_one_more(reducer_, one, partial, n);
    }
  }
  template <class Count>
  void lift(const contribution& of, std::size_t begin, Count n, accumulator* to) const {
    const T* const from = of.values.data() + begin;
    if constexpr (is_weighted<Reducer>) {
      detail::lift_block<Reducer, T>(reducer_, from, to, n, first_ + begin, of.factor);
    } else if (of.factor == 1) {
      detail::lift_block<Reducer, T>(reducer_, from, to, n, first_ + begin, 1.0);
    } else {
      T scaled[length];
      for (std::size_t i = 0; i < n; ++i) scaled[i] = from[i] * T(of.factor);
      detail::lift_block<Reducer, T>(reducer_, scaled, to, n, first_ + begin, 1.0);
    }
  }
  /// Of n values, in the place of the sums where they are values.
  std::span<T> own(std::size_t n) {
    std::vector<T>& out = [this]() -> std::vector<T>& {
      if constexpr (std::same_as<accumulator, T>)
        return sums_;
      else
        return out_;
    }();
    out.resize(n);
    return out;
  }

  const Reducer& reducer_;
  const std::size_t first_;
  std::vector<contribution> here_; ///< whose values are where they came in
  bool parted_ = false;            ///< sums_ hold what was there before
  double of_weight_one_ = 1, total_ = 0;
  std::vector<accumulator> sums_;
  std::vector<T> out_;
};

} // namespace tutti::detail
