// collecting: what one rank contributes in a step, out of any number of micro-batches.
#pragma once

#include <tutti/core/exact_arithmetic.hpp>
#include <tutti/core/flat_model.hpp>
#include <tutti/core/rounded.hpp>
#include <tutti/training/verdict.hpp>

#include <algorithm>
#include <bit>
#include <cstddef>
#include <limits>
#include <span>
#include <string>
#include <utility>
#include <vector>

namespace tutti::detail {

/// to = factor from (+ to), divided by `divisor`.
template <class T, class G>
void collect_values(const G* __restrict from, T* __restrict to, std::size_t n, bool adds, T factor,
                    T divisor) {
  const exact_mode held;
  const rounding rounded;
  if (!adds && factor == 1 && divisor == 1) {
    for (std::size_t i = 0; i < n; ++i) to[i] = element_cast<T>(from[i]);
  } else if (adds) {
    for (std::size_t i = 0; i < n; ++i)
      to[i] = (to[i] + rounded(factor * element_cast<T>(from[i]))) / divisor;
  } else {
    for (std::size_t i = 0; i < n; ++i) to[i] = rounded(factor * element_cast<T>(from[i])) / divisor;
  }
}

/// Whether a contribution can count for so much.
inline bool is_weight(double w) noexcept { return w >= 0 && w <= (std::numeric_limits<double>::max)(); }

/// A gradient where its owner has it; empty where a tensor has none.
template <class T>
struct gradient_view {
  const void* data = nullptr;
  std::size_t n = 0;
  /// `count` values from number `at` on.
  void (*collect)(const void*, T*, std::size_t count, std::size_t at, bool adds, T factor, T divisor) = nullptr;
  bool (*finite)(const void*, std::size_t) = nullptr;

  gradient_view() = default;
  template <class G>
  explicit gradient_view(std::span<G> values)
      : data{values.data()}, n{values.size()},
        collect{[](const void* from, T* to, std::size_t count, std::size_t at, bool adds, T factor, T divisor) {
          detail::collect_values(static_cast<const G*>(from) + at, to + at, count, adds, factor, divisor);
        }},
        finite{[](const void* from, std::size_t count) {
          return detail::all_finite(std::span<const G>{static_cast<const G*>(from), count});
        }} {}
};

/// A contribution is the sum of a step's micro-batches, each times its weight; divided by the sum of the
/// weights where contributions are means, and by the scale of the loss. Sums are kept in T, whatever
/// gradients are. Absent in a micro-batch is zero; absent in all of them, a tensor has no gradient.
template <class T>
class collecting {
public:
  collecting() = default;
  /// `means`: contributions are means of micro-batches, not sums.
  collecting(std::size_t tensors, bool means) : means_{means}, tensors_(tensors) {}

  /// One more micro-batch.
  void open(std::vector<gradient_view<T>> gradients, double weight, double loss_scale) {
    gradients_ = std::move(gradients);
    counts_ = weight > 0;
    if (counts_ && first_ == 0) first_ = weight;
    weight_ += is_weight(weight) ? weight : std::numeric_limits<double>::quiet_NaN();
    factor_ = counts_ && means_ ? T(weight / first_) : T(1);
    scale_ = loss_scale;
    open_ = true;
    for (std::size_t k = 0; k < tensors_.size(); ++k) {
      tensors_[k].taken = false;
      if (has(k)) tensors_[k].present = true;
    }
  }
  /// Nothing more comes in this step, whether a micro-batch is open or none came.
  void open_nothing(double loss_scale) {
    open({}, 0, loss_scale);
    gradients_.assign(tensors_.size(), {});
  }
  bool is_open() const noexcept { return open_; }
  /// Tensor k of the open micro-batch is as long, and elsewhere.
  void replace(std::size_t k, gradient_view<T> elsewhere) { gradients_[k] = elsewhere; }

  /// Whether the open micro-batch has a gradient of tensor k that counts.
  bool has(std::size_t k) const { return counts_ && gradients_[k].n > 0 && !is_frozen(k); }
  bool taken(std::size_t k) const { return tensors_[k].taken; }
  /// Whether any micro-batch of the step had one.
  bool present(std::size_t k) const { return tensors_[k].present; }
  /// Of all micro-batches of the step.
  double weight() const noexcept { return weight_; }
  /// A tensor of which a micro-batch holds a NaN or an infinity; as many as there are tensors when none does.
  std::size_t culprit() const {
    std::size_t k = 0;
    for (; k < tensors_.size(); ++k)
      if (tensors_[k].bad ||
          (open_ && has(k) && !gradients_[k].finite(gradients_[k].data, gradients_[k].n)))
        break;
    return k;
  }

  /// From now on every contribution is looked at while it is written: whether all its magnitudes are below `limit`.
  void bound(T limit) noexcept { limit_ = limit; }
  /// Whether those of this step are.
  bool bounded() const noexcept { return bounded_; }

  /// Adds tensor k of the open micro-batch to what is in `to`; the last one makes the contribution. The gradient is
  /// elsewhere, or in `to` itself as the only one of the step.
  void take(std::size_t k, std::span<T> to, bool last) {
    entry& t = tensors_[k];
    t.taken = true;
    const T divisor = last ? T((means_ && first_ > 0 ? weight_ / first_ : 1) * scale_) : T(1);
    if (has(k)) {
      const gradient_view<T>& g = gradients_[k];
      if (!last && !g.finite(g.data, g.n)) t.bad = true;
      if (g.data == to.data())
        scale_in_place(to.first(g.n), divisor);
      else if (last && limit_ > 0)
        collect_bounded(g, to, t.written, divisor);
      else
        g.collect(g.data, to.data(), g.n, 0, t.written, factor_, divisor);
      t.written = true;
    } else if (last && !t.written) {
      std::fill(to.begin(), to.end(), T{});
    } else if (last && divisor != 1) {
      const exact_mode held;
      for (T& v : to) v /= divisor;
    }
  }
  /// The micro-batch is in.
  void shut() noexcept { open_ = false; }
  /// The step is over.
  void clear() {
    open_ = false;
    weight_ = first_ = 0;
    gradients_.clear();
    for (entry& t : tensors_) t = {.frozen = t.frozen};
    bounded_ = true;
  }

  void freeze(std::size_t k, bool frozen) { tensors_[k].frozen = frozen; }
  bool is_frozen(std::size_t k) const { return tensors_[k].frozen; }

private:
  struct entry {
    bool taken = false, present = false, written = false, bad = false, frozen = false;
  };

  /// A gradient that is where it is collected.
  void scale_in_place(std::span<T> values, T divisor) {
    if (factor_ != 1 || divisor != 1) {
      const exact_mode held;
      const rounding rounded;
      for (T& v : values) v = rounded(factor_ * v) / divisor;
    }
    if (limit_ > 0)
      bounded_ = bounded_ && detail::all_bits_below(std::span<const T>{values}, std::bit_cast<bits_of<T>>(limit_));
  }
  /// Piece by piece, while it is in the caches.
  void collect_bounded(const gradient_view<T>& g, std::span<T> to, bool adds, T divisor) {
    constexpr std::size_t piece = 4096;
    const auto limit = std::bit_cast<bits_of<T>>(limit_);
    for (std::size_t at = 0; at < g.n; at += piece) {
      const std::size_t n = (std::min)(piece, g.n - at);
      g.collect(g.data, to.data(), n, at, adds, factor_, divisor);
      bounded_ = bounded_ && detail::all_bits_below(std::span<const T>{to}.subspan(at, n), limit);
    }
  }

  T limit_ = 0; ///< 0: none is looked at
  bool bounded_ = true;
  bool means_ = true, open_ = false, counts_ = false;
  std::vector<entry> tensors_;
  std::vector<gradient_view<T>> gradients_;
  double weight_ = 0, first_ = 0, scale_ = 1;
  T factor_ = 1;
};

} // namespace tutti::detail
