// The CUDA runtime as tutti uses it: errors become tutti::error, and having no GPU is an answer.
#pragma once

#include <tutti/core/error.hpp>

#include <cuda_runtime_api.h>

#include <string>
#include <utility>

namespace tutti::cuda {

/// Throws `transport` with the runtime's text, or `out_of_memory`, unless `status` is success. What has failed does not
/// stay behind as the runtime's last error, where it would be blamed on the next launch.
inline void check(cudaError_t status, const char* call) {
  if (status == cudaSuccess) return;
  static_cast<void>(cudaGetLastError());
  const bool no_code = status == cudaErrorNoKernelImageForDevice || status == cudaErrorInvalidDeviceFunction ||
                       status == cudaErrorUnsupportedPtxVersion;
  const bool never_began = status == cudaErrorInitializationError;
  throw error{{.code = status == cudaErrorMemoryAllocation ? error_code::out_of_memory
                       : no_code || never_began            ? error_code::unsupported
                                                           : error_code::transport,
               .call = call,
               .detail = no_code ? "this program holds no code for this GPU, or newer code than its driver reads - "
                                   "compile it with CMAKE_CUDA_ARCHITECTURES of the GPU"
                         : never_began ? "CUDA does not begin in this process: one that was forked after its parent "
                                         "had begun cannot use it - fork before, or start another program"
                                       : "",
               .native = std::string{cudaGetErrorName(status)} + ": " + cudaGetErrorString(status)}};
}

/// How many GPUs this process can use; 0 where there is none, or no driver for one.
inline int device_count() {
  int count = 0;
  const cudaError_t status = cudaGetDeviceCount(&count);
  if (status == cudaErrorNoDevice || status == cudaErrorInsufficientDriver) {
    static_cast<void>(cudaGetLastError());
    return 0;
  }
  cuda::check(status, "cudaGetDeviceCount");
  return count;
}

/// While it lives a device is the calling thread's current one; then what was current before is again.
class current_device {
public:
  explicit current_device(int device) {
    cuda::check(cudaGetDevice(&before_), "cudaGetDevice");
    if (device != before_) cuda::check(cudaSetDevice(device), "cudaSetDevice");
    changed_ = device != before_;
  }
  ~current_device() {
    if (changed_) static_cast<void>(cudaSetDevice(before_));
  }
  current_device(const current_device&) = delete;
  current_device& operator=(const current_device&) = delete;

private:
  int before_ = 0;
  bool changed_ = false;
};

namespace detail {

/// While it lives the calling thread may look at events and wait, though another thread captures a stream: what is
/// looked at is never captured itself, and without this the other thread's capture would be invalid.
class relaxed_capture {
public:
  relaxed_capture() { cuda::check(cudaThreadExchangeStreamCaptureMode(&mode_), call); }
  ~relaxed_capture() { static_cast<void>(cudaThreadExchangeStreamCaptureMode(&mode_)); }
  relaxed_capture(const relaxed_capture&) = delete;
  relaxed_capture& operator=(const relaxed_capture&) = delete;

private:
  static constexpr const char* call = "cudaThreadExchangeStreamCaptureMode";
  cudaStreamCaptureMode mode_ = cudaStreamCaptureModeRelaxed; ///< what the thread had before
};

} // namespace detail
} // namespace tutti::cuda
