// reduce: many contributions in device memory become one in a single pass.
#pragma once

#include <tutti/cuda/contributions.hpp>
#include <tutti/cuda/launch.cuh>
#include <tutti/kernels/reduce.hpp>

#include <cstddef>
#include <span>

namespace tutti::cuda {

namespace detail {

template <class Built, class R, class T, std::size_t K>
TUTTI_KERNEL void __launch_bounds__(tuning::lanes, tuning::reduce_blocks<reducer_accumulator_t<R, T>, K>)
    reduce_kernel(R reducer, kernels::rows<T, K> of) {
  device_block<tuning::lanes> block;
  kernels::reduce<K>(block, reducer, of);
}

template <class Built, class R, class T, std::size_t Most>
TUTTI_KERNEL void __launch_bounds__(tuning::lanes, tuning::reduce_blocks<reducer_accumulator_t<R, T>, 4>)
    reduce_weighted_kernel(R reducer, const __grid_constant__ kernels::weighted_rows<T, Most> of) {
  device_block<tuning::lanes> block;
  kernels::reduce_weighted<Most>(block, reducer, of);
}

template <std::size_t K, class Built, class R, class T>
void reduce_static(const stream& on, const R& reducer, std::span<const device_span<const T>> in, device_span<T> out) {
  if constexpr (K > 1)
    if (in.size() < std::size_t(K)) return detail::reduce_static<K - 1, Built>(on, reducer, in, out);
  const auto all = detail::rows_of<K>(in, out, double(K));
  detail::launch(on, "cuda::reduce", detail::packet_blocks(all.n, all.head, kernels::packet<T>::length),
                 &reduce_kernel<Built, R, T, K>, reducer, all);
}

} // namespace detail

/// out[i] = the fold of in[0][i], in[1][i], ..., from the first to the last, in the accumulator's precision (float for
/// bfloat16 and half), rounded once: for a folding reducer without weights the bits that it has on the host, NaN
/// payloads aside, and from run to run. `out` may be one of the contributions, and is apart from the others. Spans may
/// begin anywhere; where all begin equally far from a 16-byte boundary it is as fast as at one. 1 to 16 contributions.
/// Returns when the work is enqueued; allocates nothing. Cost: K reads and one write an element, one launch. Errors:
/// invalid_argument, transport.
template <class R, class T, class Built = detail::built_for>
void reduce(const stream& on, const R& reducer, std::span<const device_span<const T>> in, device_span<T> out) {
  detail::explain_reducer<R, T>();
  if constexpr (detail::reduces_in_kernels<R, T>) {
    static_assert(!is_weighted<R>, "tutti::cuda::reduce: this reducer has weights - use tutti::cuda::reduce_weighted");
    detail::check_contributions<T>(on, "cuda::reduce", in, out, tuning::static_contributions);
    detail::reduce_static<tuning::static_contributions, Built>(on, reducer, in, out);
  }
}

/// The same of 1 to 1,024 contributions, each with its weight where the reducer has weights, and none else: addresses
/// and weights are parameters of the kernel. What weighs nothing contributes nothing, whatever it holds.
template <class R, class T, class Built = detail::built_for>
void reduce_weighted(const stream& on, const R& reducer, std::span<const device_span<const T>> in,
                     std::span<const double> weights, device_span<T> out) {
  detail::explain_reducer<R, T>();
  if constexpr (detail::reduces_in_kernels<R, T>) {
    constexpr std::size_t most = tuning::most_contributions;
    const char* const call = "cuda::reduce_weighted";
    detail::check_contributions<T>(on, call, in, out, most);
    detail::kernels::weighted_rows<T, most> all{};
    all.all = detail::rows_of<most>(in, out, 0);
    all.all.total = detail::take_weights<R>(call, weights, in.size(), all.weights);
    all.count = int(in.size());
    detail::launch(on, call, detail::packet_blocks(all.all.n, all.all.head, detail::kernels::packet<T>::length),
                   &detail::reduce_weighted_kernel<Built, R, T, most>, reducer, all);
  }
}

} // namespace tutti::cuda
