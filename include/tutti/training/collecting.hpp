// collecting: what one rank contributes in a step, out of any number of micro-batches.
#pragma once

#include <tutti/training/memory.hpp>

#include <cstddef>
#include <limits>
#include <span>
#include <type_traits>
#include <utility>
#include <vector>

namespace tutti::detail {

/// Whether a contribution can count for so much.
inline bool is_weight(double w) noexcept { return w >= 0 && w <= (std::numeric_limits<double>::max)(); }

/// A gradient where its owner has it; empty where a tensor has none.
template <class T>
struct gradient_view {
  const void* data = nullptr;
  std::size_t n = 0;
  void (*collect)(memory<T>&, const gradient_view&, std::span<T> to, bool adds, T factor, T divisor, bool last) = nullptr;
  bool (*finite)(memory<T>&, const gradient_view&) = nullptr;

  gradient_view() = default;
  /// Values of the memory whose verbs these are.
  template <class Verbs, class G>
  gradient_view(std::type_identity<Verbs>, const G* values, std::size_t count)
      : data{values}, n{count},
        collect{[](memory<T>& in, const gradient_view& from, std::span<T> to, bool adds, T factor, T divisor, bool last) {
          static_cast<Verbs&>(in).collect(from.values<G>(), to, adds, factor, divisor, last);
        }},
        finite{[](memory<T>& in, const gradient_view& of) {
          return static_cast<Verbs&>(in).is_finite_gradient(of.values<G>());
        }} {}

private:
  template <class G>
  std::span<const G> values() const noexcept {
    return {static_cast<const G*>(data), n};
  }
};

/// A contribution is the sum of a step's micro-batches, each times its weight; divided by the sum of the
/// weights where contributions are means, and by the scale of the loss. Sums are kept in T, whatever
/// gradients are. Absent in a micro-batch is zero; absent in all of them, a tensor has no gradient.
template <class T>
class collecting {
public:
  collecting() = default;
  /// `in` is where gradients and contributions are; `means`: contributions are means of micro-batches, not sums.
  collecting(memory<T>& in, std::size_t tensors, bool means) : in_{&in}, means_{means}, tensors_(tensors) {}

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
          (open_ && has(k) && !gradients_[k].finite(*in_, gradients_[k])))
        break;
    return k;
  }

  /// Adds tensor k of the open micro-batch to what is in `to`; the last one makes the contribution. The gradient is
  /// elsewhere, or in `to` itself as the only one of the step.
  void take(std::size_t k, std::span<T> to, bool last) {
    entry& t = tensors_[k];
    t.taken = true;
    const T divisor = last ? T((means_ && first_ > 0 ? weight_ / first_ : 1) * scale_) : T(1);
    if (has(k)) {
      const gradient_view<T>& g = gradients_[k];
      if (!last && !g.finite(*in_, g)) t.bad = true;
      g.collect(*in_, g, to, t.written, factor_, divisor, last);
      t.written = true;
    } else if (last && !t.written) {
      in_->clear(to);
    } else if (last) {
      in_->divide(to, divisor);
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
    if (in_) in_->forget();
  }

  void freeze(std::size_t k, bool frozen) { tensors_[k].frozen = frozen; }
  bool is_frozen(std::size_t k) const { return tensors_[k].frozen; }

private:
  struct entry {
    bool taken = false, present = false, written = false, bad = false, frozen = false;
  };

  memory<T>* in_ = nullptr;
  bool means_ = true, open_ = false, counts_ = false;
  std::vector<entry> tensors_;
  std::vector<gradient_view<T>> gradients_;
  double weight_ = 0, first_ = 0, scale_ = 1;
  T factor_ = 1;
};

} // namespace tutti::detail
