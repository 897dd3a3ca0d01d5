// gather: contributions in device memory by a gathering reducer of your own.
#pragma once

#include <tutti/cuda/contributions.hpp>
#include <tutti/cuda/launch.cuh>
#include <tutti/kernels/gather.hpp>

#include <cstddef>
#include <span>

namespace tutti::cuda {

namespace detail {

template <class R, class T>
inline constexpr bool gathers_in_kernels = kernels::gathers_columns<R, T>&& runs_on_device<R>;

/// The most contributions whose columns a block has room for: 32 KiB of shared memory.
template <class A> inline constexpr std::size_t most_gathered = (std::size_t{32} << 10) / (tuning::lanes * sizeof(A));

template <class Built, class R, class T, class A, std::size_t Most>
TUTTI_KERNEL void __launch_bounds__(tuning::lanes)
    gather_kernel(R reducer, const __grid_constant__ kernels::gathered<T, Most> of) {
  __shared__ kernels::gather_scratch<A, Most, tuning::lanes> scratch;
  device_block<tuning::lanes> block;
  kernels::gather(block, scratch, reducer, of);
}

} // namespace detail

/// out[i] = what a gathering reducer of your own, whose gather() takes a tutti::column, makes of all contributions to
/// value i, weighted or not: the bits of the host, but for what nvcc fuses of the reducer's own arithmetic. `weights`
/// are one for each contribution where the reducer has them, and none else. Up to 32 contributions, 16 where
/// accumulators have eight bytes, which are trivial. `out` may be one of the contributions. Returns when the work is
/// enqueued; allocates nothing. Cost: one read of each and one write, and what the reducer does in shared memory. For
/// median and trimmed_mean cuda::reduce sorts in registers (cuda/order_statistics.cuh). Errors: invalid_argument,
/// transport.
template <class R, class T, class Built = detail::built_for>
void gather(const stream& on, const R& reducer, std::span<const device_span<const T>> in,
            std::span<const double> weights, device_span<T> out) {
  static_assert(detail::gathers_in_kernels<R, T>,
                "tutti::cuda::gather: this is no gathering reducer that runs in kernels - mark its functions TUTTI_HD, "
                "let gather() take a tutti::column of its accumulators, which are trivial, and say static constexpr "
                "tutti::execution runs = tutti::execution::both");
  if constexpr (detail::gathers_in_kernels<R, T>) {
    using A = reducer_accumulator_t<R, T>;
    constexpr std::size_t most = detail::most_gathered<A>;
    const char* const call = "cuda::gather";
    detail::check_contributions<T>(on, call, in, out, most);
    detail::kernels::gathered<T, most> of{{}, {}, int(in.size()), out.data(), out.size(), 0};
    for (std::size_t k = 0; k < in.size(); ++k) of.in[k] = in[k].data();
    of.total = detail::take_weights<R>(call, weights, in.size(), of.weights);
    detail::launch(on, call, detail::blocks_for(of.n), &detail::gather_kernel<Built, R, T, A, most>, reducer, of);
  }
}

} // namespace tutti::cuda
