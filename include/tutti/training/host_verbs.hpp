// The verbs of the host's memory (training/memory.hpp): plain loops.
#pragma once

#include <tutti/carriers/carrier.hpp>
#include <tutti/core/element.hpp>
#include <tutti/core/exact_arithmetic.hpp>
#include <tutti/core/rounded.hpp>
#include <tutti/optimizers/optimizer.hpp>
#include <tutti/training/elementwise.hpp>
#include <tutti/training/memory.hpp>
#include <tutti/training/verdict.hpp>

#include <algorithm>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <new>
#include <span>

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

/// The same of a gradient that is where it is collected, and the only one.
template <class T>
void scale_in_place(std::span<T> values, T factor, T divisor) {
  const exact_mode held;
  const rounding rounded;
  for (T& v : values) v = rounded(factor * v) / divisor;
}

/// What is elementwise, by the loops of the space: `Here` is a verbs<T>.
template <class T, class Here>
class elementwise_verbs : public memory<T> {
public:
  void depart(std::span<T> values, std::span<const T> agreed) final {
    here().update(departed_from{}, 0, values, agreed, optimizer_slots<T, 0>{});
  }
  void keep_share(std::span<T> values, std::span<const T> agreed, double share) final {
    here().update(keeps_a_share{share}, 0, values, agreed, optimizer_slots<T, 0>{});
  }
  void track(std::span<T> tracked, std::span<const T> own, std::span<T> last, T factor) final {
    here().update(tracks_own{}, 0, tracked, own, optimizer_slots<T, 1>{last}, factor);
  }
  void pull(std::span<T> gradient, std::span<const T> own, std::span<T> mixed, double by) final {
    here().update(pulls_towards{by}, 0, gradient, own, optimizer_slots<T, 1>{mixed});
  }

private:
  Here& here() noexcept { return static_cast<Here&>(*this); }
};

/// Everything is done when a call returns.
template <class T>
class host_verbs final : public elementwise_verbs<T, host_verbs<T>> {
public:
  host_verbs() = default;
  explicit host_verbs(const host_memory&) {}

  std::span<T> allocate(std::size_t n) override { // on a cache line, so that vector loops do not depend on where it is
    auto* const values = static_cast<T*>(::operator new(n * sizeof(T) + 1, std::align_val_t{64}));
    std::uninitialized_value_construct_n(values, n);
    return {values, n};
  }
  void release(std::span<T> values) noexcept override { ::operator delete(values.data(), std::align_val_t{64}); }
  void clear(std::span<T> values) override { std::fill(values.begin(), values.end(), T{}); }
  void copy(std::span<const T> from, std::span<T> to) override { std::copy(from.begin(), from.end(), to.begin()); }
  arriving fetch(std::span<const T> from, T* to) override {
    std::copy(from.begin(), from.end(), to);
    return {};
  }
  arriving store(const T* from, std::span<T> to) override {
    std::copy_n(from, to.size(), to.begin());
    return {};
  }
  using memory<T>::on_host;
  void on_host(std::span<std::byte> bytes, function_ref<void(std::span<std::byte>)> use) override { use(bytes); }

  void look(std::span<const T> values, bool norm) override {
    found_.finite = found_.finite && detail::all_finite(values);
    if (norm) found_.squares += detail::sum_of_squares(values);
  }
  step_verdict found() override { return std::exchange(found_, {}); }
  void bound(T limit) override { limit_ = std::bit_cast<bits_of<T>>(limit); }
  bool is_bounded() override { return std::exchange(bounded_, true); }
  void forget() noexcept override {
    found_ = {};
    bounded_ = true;
  }
  std::size_t first_bad(std::span<const T> values) override {
    return std::size_t(std::find_if_not(values.begin(), values.end(), [](T v) { return is_finite(v); }) -
                       values.begin());
  }

  void scale(std::span<T> values, T factor) override { detail::scale_contribution(values, factor); }
  void divide(std::span<T> values, T divisor) override {
    if (divisor == 1) return;
    const exact_mode held;
    for (T& v : values) v /= divisor;
  }

  template <class O>
  void update(const O& o, std::int64_t step, std::span<T> values, std::span<const T> gradients,
              const optimizer_slots<T, slots_of<O>>& slots, T factor = 1, std::span<const T> before = {}) {
    tutti::update<T>(o, step, values, gradients, slots, factor, before);
  }
  /// `last`: the contribution is complete; then it is looked at piece by piece, while it is in the caches.
  template <class G>
  void collect(std::span<const G> from, std::span<T> to, bool adds, T factor, T divisor, bool last) {
    const std::size_t piece = last && limit_ > 0 ? 4096 : (std::max)(from.size(), std::size_t{1});
    for (std::size_t at = 0; at < from.size(); at += piece) {
      const std::size_t n = (std::min)(piece, from.size() - at);
      if (static_cast<const void*>(from.data()) != to.data())
        detail::collect_values(from.data() + at, to.data() + at, n, adds, factor, divisor);
      else if (factor != 1 || divisor != 1)
        detail::scale_in_place(to.subspan(at, n), factor, divisor);
      if (last && limit_ > 0) bounded_ = bounded_ && detail::all_bits_below(std::span<const T>{to.subspan(at, n)}, limit_);
    }
  }
  template <class G>
  bool is_finite_gradient(std::span<const G> values) {
    return detail::all_finite(values);
  }
  template <class From, class To>
  void cast(std::span<const From> from, std::span<To> to) {
    for (std::size_t i = 0; i < from.size(); ++i) to[i] = element_cast<To>(from[i]);
  }

private:
  step_verdict found_;
  bits_of<T> limit_ = 0; ///< 0: nothing is bounded
  bool bounded_ = true;
};

} // namespace tutti::detail
