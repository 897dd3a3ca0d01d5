// collect: a gradient in device memory becomes a contribution.
#pragma once

#include <tutti/cuda/device_span.hpp>
#include <tutti/cuda/launch.cuh>
#include <tutti/kernels/collect.hpp>

#include <algorithm>
#include <cstddef>

namespace tutti::cuda {

namespace detail {

template <class Built, class G, class T, class A>
TUTTI_KERNEL void __launch_bounds__(tuning::lanes, tuning::elementwise_blocks)
    collect_kernel(tutti::detail::kernels::collected<G, T, A> of) {
  device_block<tuning::lanes> block;
  tutti::detail::kernels::collect(block, of);
}

} // namespace detail

/// to = (to +) factor from, divided by `divisor`: computed in A, each operation rounded as it is written - the bits of
/// the same on the host - and rounded to T. `from` may be `to` where their types are the same. Returns when the work is
/// enqueued; allocates nothing. Cost: one read of each value, one write, one launch. Errors: invalid_argument,
/// transport.
template <class G, class T, class A, class Built = detail::built_for>
void collect(const stream& on, device_span<const G> from, device_span<T> to, bool adds, A factor, A divisor) {
  const char* const call = "cuda::collect";
  detail::require_length(call, to, from);
  detail::require_one_device(on, call, from, to);
  detail::require_apart(call, to, from);
  constexpr std::size_t length = 16 / (std::min)(sizeof(G), sizeof(T));
  const std::size_t n = to.size(), head = tutti::detail::kernels::head_of(n, length, from.data(), to.data());
  detail::launch(on, call, detail::packet_blocks(n, head, length), &detail::collect_kernel<Built, G, T, A>,
                 tutti::detail::kernels::collected<G, T, A>{from.data(), to.data(), n, head, adds, factor, divisor});
}

} // namespace tutti::cuda
