// packing: tensors in device memory that stand one behind the other in a bucket, copied there and back in one launch.
#pragma once

#include <tutti/cuda/batched_copy.cuh>
#include <tutti/cuda/device_buffer.hpp>

#include <cstddef>
#include <span>
#include <type_traits>
#include <vector>

namespace tutti::cuda {

/// Which tensors stand in which bucket, worked out once: their addresses lie in device memory, so that a step that is
/// captured and run again finds them. For loops of your own, as cuda::all_reduce takes one span. A trainer does not
/// pack: it collects (cuda/collect.cuh) gradients whose addresses may be others in every step, and scales, adds and
/// rounds them on the way, which after copies would be a second read and write of the bucket; and what is made in
/// trainer.reduced() is not copied at all. The stream outlives it; what is on other streams waits for it and is waited
/// for.
template <class T, class Built = detail::built_for>
requires std::is_trivially_copyable_v<T>
class packing {
public:
  /// Tensors one behind the other from the start of the bucket on, which may be longer; empty ones take no room. Waits
  /// for the stream once. Errors: invalid_argument where they do not fit, overlap with the bucket, or are on another
  /// device; out_of_memory; unsupported while the stream is captured.
  packing(const stream& on, std::span<const device_span<T>> tensors, device_span<T> bucket)
      : on_{on}, count_{tensors.size()}, addresses_{on, 2 * count_}, sizes_{on, count_},
        workspace_{on, count_ == 0 ? 0 : detail::workspace_for_copies<Built>(on, count_)} {
    const char* const call = "cuda::packing";
    detail::refuse_capture(on, call, "make it before the capture begins");
    detail::require_one_device(on, call, bucket);
    std::vector<void*> addresses(2 * count_);
    std::vector<std::size_t> sizes(count_);
    std::size_t begin = 0;
    for (std::size_t k = 0; k < count_; ++k) {
      const auto& tensor = tensors[k];
      detail::require_one_device(on, call, tensor);
      detail::require_no_overlap(call, bucket, tensor);
      addresses[k] = tensor.data();
      addresses[count_ + k] = bucket.subspan(begin, tensor.size()).data();
      sizes[k] = tensor.size() * sizeof(T);
      begin += tensor.size();
    }
    if (count_ == 0) return;
    const auto upload = [&](const auto& to, const auto& from) {
      cuda::check(cudaMemcpyAsync(to.span().data(), from.data(), from.size() * sizeof(from[0]), cudaMemcpyHostToDevice,
                                  on.handle()),
                  "cudaMemcpyAsync");
    };
    upload(addresses_, addresses);
    upload(sizes_, sizes);
    on.wait();
  }

  /// The tensors into the bucket, and back. Returns when the work is enqueued; allocates nothing. Cost: one read and
  /// one write of each value, however many tensors there are. Errors: transport.
  void pack() const { copy(0, count_); }
  void unpack() const { copy(count_, 0); }

private:
  void copy(std::size_t from, std::size_t to) const {
    if (count_ == 0) return;
    void* const* const addresses = addresses_.span().data();
    detail::copy_all<Built>(on_, {addresses + from, addresses + to, sizes_.span().data(), count_},
                            workspace_.span().data(), workspace_.size());
  }

  const stream& on_;
  std::size_t count_;
  device_buffer<void*> addresses_; ///< of the tensors, then of their places in the bucket
  device_buffer<std::size_t> sizes_;
  device_buffer<std::byte> workspace_;
};

} // namespace tutti::cuda
