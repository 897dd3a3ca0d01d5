// What reductions are given: contributions in device memory, checked, and packed into what kernels take.
#pragma once

#include <tutti/core/execution.hpp>
#include <tutti/cuda/device_span.hpp>
#include <tutti/cuda/tuning.hpp>
#include <tutti/kernels/reduce.hpp>
#include <tutti/reducers/weights.hpp>

#include <cstddef>
#include <span>
#include <string>
#include <vector>

namespace tutti::cuda::detail {

namespace kernels = tutti::detail::kernels;

/// As the sentences of a reduction in a kernel need it.
template <class R, class T> constexpr void explain_reducer() {
  static_assert(reducer_of<R, T>,
                "tutti::cuda::reduce: this is no reducer of these elements - see tutti/reducers/reducer.hpp");
  static_assert(!reducer_of<R, T> || folding_reducer<R, T>,
                "tutti::cuda::reduce: this reducer needs every contribution at once, and this kernel folds them - use "
                "tutti::cuda::median or tutti::cuda::trimmed_mean, or tutti::cuda::gather with a gather() that takes a "
                "tutti::column");
  static_assert(
      !folding_reducer<R, T> || runs_on_device<R>,
      "tutti::cuda::reduce: this reducer runs on the host alone - mark its functions TUTTI_HD, call nothing in "
      "them that is the host's, and say static constexpr tutti::execution runs = tutti::execution::both");
}
template <class R, class T> inline constexpr bool reduces_in_kernels = folding_reducer<R, T>&& runs_on_device<R>;

template <class T>
void check_contributions(const stream& on, const char* call, std::span<const device_span<const T>> in,
                         const device_span<T>& out, std::size_t most) {
  if (in.empty() || in.size() > most)
    throw error{
        {.code = error_code::invalid_argument,
         .call = call,
         .detail = std::to_string(in.size()) + " contributions were given - give 1 to " + std::to_string(most)}};
  detail::require_one_device(on, call, out);
  for (const auto& one : in) {
    detail::require_length(call, out, one);
    detail::require_one_device(on, call, one);
    detail::require_apart(call, out, one);
  }
}

template <std::size_t K, class T>
kernels::rows<T, K> rows_of(std::span<const device_span<const T>> in, const device_span<T>& out, double total) {
  constexpr std::size_t length = kernels::packet<T>::length;
  const std::size_t n = out.size();
  kernels::rows<T, K> all{{}, out.data(), n, kernels::head_of(n, length, out.data()), total};
  for (std::size_t k = 0; k < in.size(); ++k) {
    all.in[k] = in[k].data();
    if (kernels::head_of(n, length, out.data(), in[k].data()) != all.head) all.head = n;
  }
  return all;
}

/// Weights as collectives take them (collectives/reductions.hpp): non-negative, finite, not all zero, and of a reducer
/// with relative weights on a scale where none is lost. Returns their sum; of a reducer without weights all are 1.
template <class R>
double take_weights(const char* call, std::span<const double> given, std::size_t count, double* weights) {
  const auto refuse = [&](std::string why) {
    throw error{{.code = error_code::invalid_argument, .call = call, .detail = std::move(why)}};
  };
  if (!is_weighted<R> && !given.empty())
    refuse("this reducer has no weights - leave them out, or use tutti::weighted_mean");
  if (is_weighted<R> && given.size() != count)
    refuse(std::to_string(given.size()) + " weights were given for " + std::to_string(count) +
           " contributions - give one for each");
  if (!is_weighted<R>) {
    for (std::size_t k = 0; k < count; ++k) weights[k] = 1;
    return double(count);
  }
  bool nothing = true;
  for (std::size_t k = 0; k < count; ++k) {
    if (!(given[k] >= 0) || !tutti::is_finite(given[k]))
      refuse("weight " + std::to_string(k) + " is negative or not finite - give what its contribution counts for");
    nothing = nothing && given[k] == 0;
    weights[k] = given[k];
  }
  if (nothing) refuse("all weights are zero - at least one contribution must count");
  const std::span<double> all{weights, count};
  if constexpr (has_relative_weights<R>) tutti::detail::scale_weights(all);
  return tutti::detail::total_weight(all);
}

} // namespace tutti::cuda::detail
