// The two ends of a reduction that is folded pairwise, in kernels (kernels/partials.hpp).
#pragma once

#include <tutti/cuda/device_span.hpp>
#include <tutti/cuda/launch.cuh>
#include <tutti/kernels/partials.hpp>
#include <tutti/kernels/reduce.hpp>

#include <cstddef>

namespace tutti::cuda::detail {

namespace kernels = tutti::detail::kernels;

template <class Built, class R, class T, class A>
TUTTI_KERNEL void __launch_bounds__(tuning::lanes, tuning::elementwise_blocks)
    lift_kernel(R reducer, kernels::column<T, A> of, double weight) {
  device_block<tuning::lanes> block;
  kernels::lift(block, reducer, of, weight);
}
template <class Built, class R, class T, class A>
TUTTI_KERNEL void __launch_bounds__(tuning::lanes, tuning::elementwise_blocks)
    lower_kernel(R reducer, kernels::column<A, T> of, double total) {
  device_block<tuning::lanes> block;
  kernels::lower<device_block<tuning::lanes>, R, T, A>(block, reducer, of, total);
}

template <class In, class Out> kernels::column<In, Out> column_of(device_span<const In> in, device_span<Out> out) {
  constexpr std::size_t length = kernels::length_of<In, Out>;
  return {in.data(), out.data(), out.size(), kernels::head_of(out.size(), length, in.data(), out.data())};
}

/// in[i] as an accumulator of `reducer`. Both spans are of the stream's device and of one length.
template <class Built, class R, class T, class A>
void lift_contribution(const stream& on, const R& reducer, device_span<const T> in, double weight, device_span<A> out) {
  const auto of = detail::column_of(in, out);
  detail::launch(on, "cuda::all_reduce", detail::packet_blocks(of.n, of.head, kernels::length_of<T, A>),
                 &lift_kernel<Built, R, T, A>, reducer, of, weight);
}
/// in[i] as the result that it is.
template <class Built, class R, class A, class T>
void lower_partial(const stream& on, const R& reducer, device_span<const A> in, double total, device_span<T> out) {
  const auto of = detail::column_of(in, out);
  detail::launch(on, "cuda::all_reduce", detail::packet_blocks(of.n, of.head, kernels::length_of<A, T>),
                 &lower_kernel<Built, R, T, A>, reducer, of, total);
}

} // namespace tutti::cuda::detail
