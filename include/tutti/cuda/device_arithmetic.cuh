// The arithmetic of plans on device memory: kernels for what the executor of the host computes.
#pragma once

#include <tutti/collectives/collectives.hpp>
#include <tutti/cuda/coding.cuh>
#include <tutti/cuda/gather.cuh>
#include <tutti/cuda/order_statistics.cuh>
#include <tutti/cuda/partials.cuh>
#include <tutti/cuda/reduce.cuh>
#include <tutti/cuda/staging.hpp>

#include <concepts>
#include <cstddef>
#include <span>
#include <vector>

namespace tutti::cuda::detail {

/// Whether a reducer of elements T may be enqueued: it folds or gathers in kernels, or is one that kernels know, and
/// looks at values alone.
template <class R, class T>
inline constexpr bool is_enqueued = reduces_in_chunks<R, T> &&
                                    (reduces_in_kernels<R, T> || gathers_in_kernels<R, T> ||
                                     std::same_as<R, median> || std::same_as<R, trimmed_mean>);
template <class R, class T> constexpr void explain_enqueued() {
  static_assert(reduces_in_chunks<R, T>,
                "tutti::cuda::all_reduce: this reducer looks at all values, or at where they stand, which kernels do "
                "not - give a cuda::staging, or copy the values to the host and call tutti::all_reduce");
  if constexpr (reduces_in_chunks<R, T> && !is_enqueued<R, T>) detail::explain_reducer<R, T>();
}

/// The arithmetic of a plan: what lies in device memory, and kernels for it. Coder outlives it.
template <class Built, class R, class T, class Coder = exact_coder<T>> class device_arithmetic {
public:
  using coder_type = Coder;
  using A = reducer_accumulator_t<R, T>;
  static constexpr bool in_place = tutti::detail::plain_lift<R, T> && std::same_as<A, T>;
  static constexpr bool reduces = true, folds = folding_reducer<R, T>; ///< all at once; and in pairs

  device_arithmetic(const stream& on, const R& reducer, const tutti::detail::task& work, Coder& coder)
      : on_{on}, reducer_{reducer}, work_{work}, coder_{coder} {}

  /// As planners read it.
  static tutti::detail::arithmetic sizes() {
    tutti::detail::arithmetic math;
    math.value_bytes = sizeof(T);
    math.accumulator_bytes = sizeof(A);
    math.in_place = in_place;
    return math;
  }

  void lift(device_span<const T> in, device_span<A> out) const {
    detail::lift_contribution<Built>(on_, reducer_, in, work_.weight, out);
  }
  void lower(device_span<const A> in, device_span<T> out) const {
    if constexpr (tutti::detail::plain_lower<R, T>)
      if (static_cast<const void*>(in.data()) == out.data()) return;
    detail::lower_partial<Built>(on_, reducer_, in, work_.total, out);
  }
  void fold(const std::vector<device_span<const A>>& in, device_span<A> out) const {
    const kernels::partial_fold<R, A> folding{reducer_};
    const std::span<const device_span<const A>> all{in};
    if (in.size() == 2) return detail::reduce_static<2, Built>(on_, folding, all, out);
    cuda::reduce_weighted<kernels::partial_fold<R, A>, A, Built>(on_, folding, all, {}, out);
  }
  void unite(const std::vector<device_span<const T>>& in, device_span<T> out) const {
    const std::span<const device_span<const T>> all{in};
    if constexpr (gathers_in_kernels<R, T>) {
      cuda::gather<R, T, Built>(on_, reducer_, all, work_.weights, out);
    } else if constexpr (is_weighted<R>) {
      cuda::reduce_weighted<R, T, Built>(on_, reducer_, all, work_.weights, out);
    } else if constexpr (folding_reducer<R, T>) {
      if (in.size() <= tuning::static_contributions) return cuda::reduce<R, T, Built>(on_, reducer_, all, out);
      cuda::reduce_weighted<R, T, Built>(on_, reducer_, all, {}, out);
    } else {
      cuda::reduce<T, Built>(on_, reducer_, all, out);
    }
  }
  /// Of encoded contributions, as far as kernels decode and reduce them in one pass; otherwise they are decoded first.
  static constexpr std::size_t most_decoded =
      !Coder::exact && reduces_in_kernels<R, T> && !is_weighted<R> ? tuning::static_contributions : 0;
  void unite_encoded(const std::vector<device_span<const std::byte>>& in, device_span<T> out) const {
    if constexpr (most_decoded > 0) coder_.reduce(reducer_, std::span<const device_span<const std::byte>>{in}, out);
  }

  Coder& coder() const noexcept { return coder_; }

private:
  const stream& on_;
  const R& reducer_;
  const tutti::detail::task& work_;
  Coder& coder_;
};

/// Copies alone: nothing is lifted, folded or lowered.
template <class T> struct no_device_arithmetic {
  using A = T;
  using coder_type = exact_coder<T>;
  static constexpr bool in_place = true, reduces = false, folds = false;
  static tutti::detail::arithmetic sizes() { return tutti::detail::copying(sizeof(T)); }
  coder_type coder() const noexcept { return {}; }
};

} // namespace tutti::cuda::detail
