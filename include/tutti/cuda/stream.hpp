// Streams and events that know their device.
#pragma once

#include <tutti/cuda/runtime.hpp>

#include <string>
#include <utility>

namespace tutti::cuda {

class stream;

/// A moment of a stream, move-only. Whoever waits for it waits for all that the stream was given before.
class event {
public:
  /// Of what `on` was given so far.
  explicit event(const stream& on);
  event(event&& from) noexcept : handle_{std::exchange(from.handle_, nullptr)}, device_{from.device_} {}
  event& operator=(event&& from) noexcept {
    std::swap(handle_, from.handle_);
    std::swap(device_, from.device_);
    return *this;
  }
  ~event() {
    if (handle_) static_cast<void>(cudaEventDestroy(handle_)); // the runtime may have ended before
  }
  cudaEvent_t handle() const noexcept { return handle_; }

  /// Whether it has come; never waits.
  bool is_over() const {
    const detail::relaxed_capture others_go_on;
    const cudaError_t status = cudaEventQuery(handle_);
    if (status == cudaErrorNotReady) {
      static_cast<void>(cudaGetLastError());
      return false;
    }
    cuda::check(status, "cudaEventQuery");
    return true;
  }
  void wait() const {
    const detail::relaxed_capture others_go_on;
    cuda::check(cudaEventSynchronize(handle_), "cudaEventSynchronize");
  }

private:
  cudaEvent_t handle_ = nullptr;
  int device_ = 0;
};

/// A stream and the device that it is on. The default streams are refused: they wait for others by accident, which
/// hides races, and their handles are equal where streams are not.
class stream {
public:
  /// A stream of its own, which waits for no other; of the current device where none is named.
  stream() : stream{current()} {}
  explicit stream(int device) : device_{device}, owned_{true} {
    const current_device held{device};
    cuda::check(cudaStreamCreateWithFlags(&handle_, cudaStreamNonBlocking), "cudaStreamCreateWithFlags");
  }
  /// Somebody else's, who keeps it for as long as this lives. Errors: invalid_argument for a default stream.
  static stream of(cudaStream_t handle) {
    if (handle == nullptr || handle == cudaStreamLegacy || handle == cudaStreamPerThread)
      throw error{
          {.code = error_code::invalid_argument,
           .call = "cuda::stream",
           .detail = "this is a default stream - give one that cudaStreamCreateWithFlags or cuda::stream made"}};
    stream all{handle};
    cuda::check(cudaStreamGetDevice(handle, &all.device_), "cudaStreamGetDevice");
    return all;
  }
  stream(stream&& from) noexcept
      : handle_{std::exchange(from.handle_, nullptr)}, device_{from.device_}, owned_{
                                                                                  std::exchange(from.owned_, false)} {}
  stream& operator=(stream&& from) noexcept {
    std::swap(handle_, from.handle_);
    std::swap(device_, from.device_);
    std::swap(owned_, from.owned_);
    return *this;
  }
  ~stream() {
    if (owned_) static_cast<void>(cudaStreamDestroy(handle_));
  }

  cudaStream_t handle() const noexcept { return handle_; }
  int device() const noexcept { return device_; }

  /// What it is given from now on waits for the event, or for what another stream was given so far.
  void wait_for(const event& e) const {
    const current_device held{device_};
    cuda::check(cudaStreamWaitEvent(handle_, e.handle(), 0), "cudaStreamWaitEvent");
  }
  void wait_for(const stream& other) const { wait_for(event{other}); }

  /// Returns when all that it was given is done.
  void wait() const {
    const detail::relaxed_capture others_go_on;
    cuda::check(cudaStreamSynchronize(handle_), "cudaStreamSynchronize");
  }

  bool is_captured() const {
    cudaStreamCaptureStatus status = cudaStreamCaptureStatusNone;
    cuda::check(cudaStreamIsCapturing(handle_, &status), "cudaStreamIsCapturing");
    return status != cudaStreamCaptureStatusNone;
  }

private:
  explicit stream(cudaStream_t handle) : handle_{handle} {}
  static int current() {
    int device = 0;
    cuda::check(cudaGetDevice(&device), "cudaGetDevice");
    return device;
  }

  cudaStream_t handle_ = nullptr;
  int device_ = 0;
  bool owned_ = false;
};

inline event::event(const stream& on) : device_{on.device()} {
  const current_device held{device_};
  cuda::check(cudaEventCreateWithFlags(&handle_, cudaEventDisableTiming), "cudaEventCreateWithFlags");
  const cudaError_t status = cudaEventRecord(handle_, on.handle());
  if (status == cudaSuccess) return;
  static_cast<void>(cudaEventDestroy(std::exchange(handle_, nullptr)));
  cuda::check(status, "cudaEventRecord");
}

namespace detail {

/// Before what must not become a part of a graph.
inline void refuse_capture(const stream& on, const char* call, const char* instead) {
  if (on.is_captured())
    throw error{{.code = error_code::unsupported,
                 .call = call,
                 .detail = std::string{"this stream is being captured - "} + instead}};
}

} // namespace detail
} // namespace tutti::cuda
