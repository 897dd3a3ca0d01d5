// median and trimmed_mean of contributions in device memory, coordinate by coordinate.
#pragma once

#include <tutti/cuda/contributions.hpp>
#include <tutti/cuda/launch.cuh>
#include <tutti/kernels/order_statistics.hpp>
#include <tutti/reducers/order_statistics.hpp>

#include <cstddef>
#include <span>

namespace tutti::cuda {

namespace detail {

/// The most contributions that are sorted in registers.
inline constexpr std::size_t most_in_column = 64;

template <class Built, class Pick, class T, std::size_t Size>
TUTTI_KERNEL void __launch_bounds__(tuning::lanes, tuning::column_blocks)
    column_kernel(Pick pick, const __grid_constant__ kernels::columns<T, Size> of) {
  device_block<tuning::lanes> block;
  kernels::pick_from_columns(block, pick, of);
}

/// By the smallest network of 4, 8, 16, 32 and 64 that has room for all.
template <class Built, std::size_t Size = 4, class Pick, class T>
void gather_columns(const stream& on, const char* call, const Pick& pick, std::span<const device_span<const T>> in,
                    device_span<T> out) {
  if constexpr (Size < most_in_column)
    if (in.size() > Size) return detail::gather_columns<Built, 2 * Size>(on, call, pick, in, out);
  kernels::columns<T, Size> of{{}, out.data(), out.size(), int(in.size())};
  for (std::size_t k = 0; k < in.size(); ++k) of.in[k] = in[k].data();
  detail::launch(on, call, detail::blocks_for(of.n), &column_kernel<Built, Pick, T, Size>, pick, of);
}

} // namespace detail

/// The bits of tutti::median on the host: of each coordinate the middle value of up to 64 contributions, or the mean of
/// the two in the middle. A NaN is larger than all numbers. Of float, bfloat16 and half. `out` may be one of the
/// contributions. Returns when the work is enqueued; allocates nothing. Cost: one read of each and one write; a sort in
/// registers, by a network of 4, 8, 16, 32 or 64. Errors: invalid_argument, transport.
template <class T, class Built = detail::built_for>
void reduce(const stream& on, const median&, std::span<const device_span<const T>> in, device_span<T> out) {
  detail::check_contributions<T>(on, "cuda::reduce", in, out, detail::most_in_column);
  detail::gather_columns<Built>(on, "cuda::reduce", detail::kernels::middle{}, in, out);
}

/// The bits of tutti::trimmed_mean on the host, as above.
template <class T, class Built = detail::built_for>
void reduce(const stream& on, const trimmed_mean& reducer, std::span<const device_span<const T>> in,
            device_span<T> out) {
  const char* const call = "cuda::reduce";
  const auto refuse = [&](std::string why) {
    throw error{{.code = error_code::invalid_argument, .call = call, .detail = std::move(why)}};
  };
  if (const char* wrong = reducer.objection()) refuse(wrong);
  if (in.size() < std::size_t(reducer.least_contributions()))
    refuse("trimmed_mean leaves out " + std::to_string(reducer.trim) + " at each end of " + std::to_string(in.size()) +
           " contributions - give at least " + std::to_string(reducer.least_contributions()));
  detail::check_contributions<T>(on, call, in, out, detail::most_in_column);
  detail::gather_columns<Built>(on, call, detail::kernels::mean_within{reducer.trim}, in, out);
}

} // namespace tutti::cuda
