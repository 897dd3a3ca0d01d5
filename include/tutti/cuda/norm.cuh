// The length of a gradient in device memory, whether it is finite, and what follows: unscaled, clipped, rounded.
#pragma once

#include <tutti/cuda/device_buffer.hpp>
#include <tutti/cuda/launch.cuh>
#include <tutti/cuda/norm_verdict.hpp>
#include <tutti/cuda/summing_block.cuh>
#include <tutti/kernels/norm.hpp>

#include <algorithm>
#include <cstddef>
#include <span>

namespace tutti::cuda {

namespace detail {

namespace kernels = tutti::detail::kernels;

/// Tensors whose addresses one launch has as parameters.
inline constexpr std::size_t most_tensors = 512;

template <class Built, class T>
TUTTI_KERNEL void __launch_bounds__(tuning::lanes, tuning::elementwise_blocks)
    squares_kernel(const __grid_constant__ kernels::tensor_list<T, most_tensors> of, kernels::found_norm* found) {
  using block_type = summing_block<tuning::lanes>;
  __shared__ typename block_type::scratch scratch;
  block_type block{scratch};
  kernels::sum_squares(block, of, found);
}
template <class Built>
TUTTI_KERNEL void __launch_bounds__(tuning::lanes) judge_kernel(const kernels::found_norm* found, std::size_t count,
                                                                double scale, double clip, norm_verdict* verdict) {
  using block_type = summing_block<tuning::lanes>;
  __shared__ typename block_type::scratch scratch;
  block_type block{scratch};
  kernels::judge_norm(block, found, count, scale, clip, verdict);
}
template <class Built, class T, class U>
TUTTI_KERNEL void __launch_bounds__(tuning::lanes, tuning::elementwise_blocks)
    scale_kernel(const T* from, U* to, std::size_t n, std::size_t head, const norm_verdict* verdict) {
  device_block<tuning::lanes> block;
  kernels::scale_and_cast(block, from, to, n, head, verdict);
}

/// The tensors from `first` on that one launch takes.
template <class T>
kernels::tensor_list<T, most_tensors> listed(std::span<const device_span<const T>> tensors, std::size_t first) {
  constexpr std::size_t chunk = std::size_t{4} * tuning::lanes * kernels::chunk_rounds;
  kernels::tensor_list<T, most_tensors> list{};
  list.count = int((std::min)(most_tensors, tensors.size() - first));
  for (std::size_t k = 0; k < std::size_t(list.count); ++k) {
    const auto& t = tensors[first + k];
    list.data[k] = t.data();
    list.n[k] = t.size();
    list.chunks_before[k + 1] = list.chunks_before[k] + t.size() / chunk + (t.size() % chunk != 0);
  }
  return list;
}

} // namespace detail

/// Room for the norm of up to `tensors` tensors, and the verdict on them. Of one stream; work on it comes one after the
/// other.
class norm_workspace {
public:
  norm_workspace(const stream& on, std::size_t tensors)
      : found_{on, tuning::norm_blocks * groups_of(tensors)}, verdict_{on, 1} {}

  std::size_t tensors() const noexcept { return found_.size() / tuning::norm_blocks * detail::most_tensors; }
  device_span<const norm_verdict> verdict() const noexcept { return verdict_.span(); }

  device_span<detail::kernels::found_norm> found() const noexcept { return found_.span(); }
  device_span<norm_verdict> writable_verdict() const noexcept { return verdict_.span(); }

private:
  static std::size_t groups_of(std::size_t tensors) {
    return (std::max)(std::size_t{1}, (tensors + detail::most_tensors - 1) / detail::most_tensors);
  }
  device_buffer<detail::kernels::found_norm> found_;
  device_buffer<norm_verdict> verdict_;
};

/// Leaves the verdict on `tensors` in the workspace: `scale` times them is the gradient, and one that is longer than
/// `clip` is to become as long; 0 clips nothing. Squares are added up in double, in an order that depends on the
/// lengths of the tensors alone: the same bits wherever they are and on every GPU, and those of the body on the host.
/// Returns when the work is enqueued; allocates nothing. Cost: one read, a launch for each 512 tensors and one more.
/// Errors: invalid_argument, transport.
template <class T, class Built = detail::built_for>
void judge_norm(const stream& on, std::span<const device_span<const T>> tensors, norm_workspace& with, double scale = 1,
                double clip = 0) {
  namespace kernels = detail::kernels;
  const char* const call = "cuda::judge_norm";
  const auto refuse = [&](const char* why) {
    throw error{{.code = error_code::invalid_argument, .call = call, .detail = why}};
  };
  if (tensors.size() > with.tensors()) refuse("the workspace is for fewer tensors - make one for as many");
  if (!(clip >= 0)) refuse("clip is negative or no number - give the length of the longest gradient, or 0");
  if (!tutti::is_finite(scale)) refuse("scale is not finite - give 1 over the scale of the loss");
  detail::require_one_device(on, call, with.found());
  for (const auto& t : tensors) detail::require_one_device(on, call, t);
  std::size_t groups = 0;
  for (std::size_t first = 0; first == 0 || first < tensors.size(); first += detail::most_tensors, ++groups) {
    detail::launch(on, call, unsigned(tuning::norm_blocks), &detail::squares_kernel<Built, T>,
                   detail::listed(tensors, first), with.found().data() + groups * tuning::norm_blocks);
  }
  detail::launch(on, call, 1u, &detail::judge_kernel<Built>,
                 static_cast<const kernels::found_norm*>(with.found().data()), groups * tuning::norm_blocks, scale,
                 clip, with.writable_verdict().data());
}

/// to = from times the verdict's factor, rounded to U; where the verdict is not finite `to` stays as it is. `to` may be
/// `from` where they are of one type. Cost: one read and one write. Errors: invalid_argument, transport.
template <class T, class U, class Built = detail::built_for>
void scale_and_cast(const stream& on, device_span<const T> from, device_span<U> to,
                    device_span<const norm_verdict> verdict) {
  const char* const call = "cuda::scale_and_cast";
  detail::require_length(call, to, from);
  detail::require_one_device(on, call, from, to, verdict);
  detail::require_apart(call, to, from);
  constexpr std::size_t length = 16 / (std::min)(sizeof(T), sizeof(U));
  const std::size_t n = to.size(), head = detail::kernels::head_of(n, length, from.data(), to.data());
  detail::launch(on, call, detail::packet_blocks(n, head, length), &detail::scale_kernel<Built, T, U>, from.data(),
                 to.data(), n, head, verdict.data());
}

} // namespace tutti::cuda
