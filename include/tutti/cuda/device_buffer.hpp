// device_buffer: memory of a device that is had and given back in the order of a stream.
#pragma once

#include <tutti/cuda/device_span.hpp>
#include <tutti/cuda/stream.hpp>

#include <cstddef>
#include <limits>
#include <new>
#include <type_traits>
#include <utility>
#include <vector>

namespace tutti::cuda {

/// n values on the device of a stream, move-only; what they are is not said. Work of that stream may use them at once.
/// Another stream waits for the home stream first, and is named by used_on() behind the last work that it is given with
/// them: the memory goes back when that is done, and not before. The stream outlives the buffer.
/// Cost: cudaMallocAsync and cudaFreeAsync, which wait for nobody. Errors: out_of_memory; unsupported while the stream
/// is captured; transport.
template <class T> class device_buffer {
  static_assert(std::is_trivially_copyable_v<T>,
                "tutti::cuda::device_buffer: values are moved as bytes - use a trivially "
                "copyable type");

public:
  device_buffer() = default;
  device_buffer(const stream& home, std::size_t n) : home_{&home}, n_{n} {
    if (n == 0) return;
    detail::refuse_capture(home, "cuda::device_buffer", "allocate before the capture begins");
    if (n > (std::numeric_limits<std::size_t>::max)() / sizeof(T))
      cuda::check(cudaErrorMemoryAllocation, "cuda::device_buffer");
    const current_device held{home.device()};
    void* memory = nullptr;
    cuda::check(cudaMallocAsync(&memory, n * sizeof(T), home.handle()), "cudaMallocAsync");
    data_ = static_cast<T*>(memory);
  }
  device_buffer(device_buffer&& from) noexcept { swap(from); }
  device_buffer& operator=(device_buffer&& from) noexcept {
    swap(from);
    return *this;
  }
  ~device_buffer() {
    if (!data_) return;
    // Errors have nowhere to go; that the runtime has ended before is none.
    for (const event& last : others_) static_cast<void>(cudaStreamWaitEvent(home_->handle(), last.handle(), 0));
    static_cast<void>(cudaFreeAsync(data_, home_->handle()));
  }

  device_span<T> span() const noexcept { return {data_, n_, home_ ? home_->device() : -1}; }
  std::size_t size() const noexcept { return n_; }

  /// What `other` was given so far may use these values.
  void used_on(const stream& other) {
    if (data_ && other.handle() != home_->handle()) others_.emplace_back(other);
  }

private:
  void swap(device_buffer& with) noexcept {
    std::swap(home_, with.home_);
    std::swap(data_, with.data_);
    std::swap(n_, with.n_);
    std::swap(others_, with.others_);
  }

  const stream* home_ = nullptr;
  T* data_ = nullptr;
  std::size_t n_ = 0;
  std::vector<event> others_; ///< of the last work of other streams
};

} // namespace tutti::cuda
