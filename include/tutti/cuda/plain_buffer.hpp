// plain_buffer: memory of a device that others may be given.
#pragma once

#include <tutti/cuda/device_span.hpp>
#include <tutti/cuda/stream.hpp>

#include <cstddef>
#include <limits>
#include <type_traits>
#include <utility>

namespace tutti::cuda {

/// n values on the device of a stream, as cudaMalloc gives them, move-only; what they are is not said. Other processes
/// can open them by a handle, and an MPI that takes device memory can: neither holds of memory that is had in the order
/// of a stream (device_buffer), whose pool the runtime shares with nobody. The stream outlives the buffer.
/// Cost: having and giving back may wait for the whole device. Errors: out_of_memory; unsupported while the stream is
/// captured; transport.
template <class T> class plain_buffer {
  static_assert(std::is_trivially_copyable_v<T>,
                "tutti::cuda::plain_buffer: values are moved as bytes - use a trivially copyable type");

public:
  plain_buffer() = default;
  plain_buffer(const stream& home, std::size_t n) : home_{&home}, n_{n} {
    if (n == 0) return;
    detail::refuse_capture(home, "cuda::plain_buffer", "allocate before the capture begins");
    if (n > (std::numeric_limits<std::size_t>::max)() / sizeof(T))
      cuda::check(cudaErrorMemoryAllocation, "cuda::plain_buffer");
    const current_device held{home.device()};
    void* memory = nullptr;
    cuda::check(cudaMalloc(&memory, n * sizeof(T)), "cudaMalloc");
    data_ = static_cast<T*>(memory);
  }
  plain_buffer(plain_buffer&& from) noexcept { swap(from); }
  plain_buffer& operator=(plain_buffer&& from) noexcept {
    swap(from);
    return *this;
  }
  /// What the stream was given is done before.
  ~plain_buffer() {
    if (!data_) return;
    static_cast<void>(cudaStreamSynchronize(home_->handle())); // errors have nowhere to go
    static_cast<void>(cudaFree(data_));
  }

  device_span<T> span() const noexcept { return {data_, n_, home_ ? home_->device() : -1}; }
  std::size_t size() const noexcept { return n_; }
  /// It is left to the end of the process, as somebody may still use it.
  void abandon() noexcept { data_ = nullptr; }

private:
  void swap(plain_buffer& with) noexcept {
    std::swap(home_, with.home_);
    std::swap(data_, with.data_);
    std::swap(n_, with.n_);
  }

  const stream* home_ = nullptr;
  T* data_ = nullptr;
  std::size_t n_ = 0;
};

} // namespace tutti::cuda
