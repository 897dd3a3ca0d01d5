// The distances between contributions in device memory, as Krum and its like need them.
#pragma once

#include <tutti/cuda/device_buffer.hpp>
#include <tutti/cuda/launch.cuh>
#include <tutti/kernels/distances.hpp>

#include <algorithm>
#include <cstddef>
#include <span>
#include <string>

namespace tutti::cuda {

namespace detail {

namespace kernels = tutti::detail::kernels;

template <class Built, class T>
TUTTI_KERNEL void __launch_bounds__(tuning::lanes, tuning::elementwise_blocks)
    distance_kernel(kernels::points<T, tuning::most_points> of, std::size_t first, double* found) {
  __shared__ kernels::distance_scratch<tuning::lanes> scratch;
  device_block<tuning::lanes> block;
  kernels::measure_tile(block, of, first, found, scratch);
}
template <class Built>
TUTTI_KERNEL void __launch_bounds__(tuning::lanes)
    add_distances_kernel(const double* found, std::size_t tiles, int count, bool begins, bool ends, double* matrix) {
  device_block<tuning::lanes> block;
  kernels::add_tiles(block, found, tiles, count, begins, ends, matrix);
}

} // namespace detail

/// Room for the distances between up to tuning::most_points contributions, and the matrix of them. Of one stream; work
/// on it comes one after the other.
class distance_workspace {
public:
  explicit distance_workspace(const stream& on)
      : found_{on, tuning::distance_tiles * pairs}, matrix_{on, points * points} {}

  device_span<double> found() const noexcept { return found_.span(); }
  device_span<double> matrix() const noexcept { return matrix_.span(); }

private:
  static constexpr std::size_t points = tuning::most_points + 1, pairs = points * (points - 1) / 2;
  device_buffer<double> found_, matrix_;
};

/// The squared distances between 1 to 32 contributions and, where `origin`, to zero: a symmetric matrix in the
/// workspace, which is returned. In double: to about 1e-6 what krum and bulyan agree on on the host, where blocks are
/// added up in float, and the same in every run; a contribution with a NaN or infinity is infinitely far from all others.
/// For krum{}.agreed(), with the matrix of all shards added up. Returns when the work is enqueued; allocates nothing. Cost: one read of each, out of the caches
/// after that, and 3 operations in double a value and pair. Errors: invalid_argument, transport.
template <class T, class Built = detail::built_for>
device_span<const double> measure_distances(const stream& on, std::span<const device_span<const T>> in,
                                            distance_workspace& with, bool origin = false) {
  namespace kernels = detail::kernels;
  const char* const call = "cuda::measure_distances";
  if (in.empty() || in.size() > tuning::most_points)
    throw error{{.code = error_code::invalid_argument,
                 .call = call,
                 .detail = std::to_string(in.size()) + " contributions were given - give 1 to " +
                           std::to_string(tuning::most_points)}};
  detail::require_one_device(on, call, with.found(), with.matrix());
  kernels::points<T, tuning::most_points> of{{}, in[0].size(), int(in.size()), origin};
  for (std::size_t k = 0; k < in.size(); ++k) {
    detail::require_length(call, in[0], in[k]);
    detail::require_one_device(on, call, in[k]);
    of.in[k] = in[k].data();
  }
  const auto points = std::size_t(of.count());
  const std::size_t tiles = of.n / kernels::distance_tile + (of.n % kernels::distance_tile != 0);
  const unsigned blocks = detail::blocks_for((std::max)(points, std::size_t(of.pairs())));
  std::size_t first = 0;
  do {
    const std::size_t count = (std::min)(tuning::distance_tiles, tiles - first);
    detail::launch(on, call, unsigned(count), &detail::distance_kernel<Built, T>, of, first, with.found().data());
    detail::launch(on, call, blocks, &detail::add_distances_kernel<Built>,
                   static_cast<const double*>(with.found().data()), count, of.count(), first == 0,
                   first + count == tiles, with.matrix().data());
    first += count;
  } while (first < tiles);
  return with.matrix().first(points * points);
}

} // namespace tutti::cuda
