// The CUDA runtime as tutti uses it: errors become tutti::error, and having no GPU is an answer.
#pragma once

#include <tutti/core/error.hpp>

#include <cuda_runtime_api.h>

#include <string>

namespace tutti::cuda {

/// Throws `transport` with the runtime's text, or `out_of_memory`, unless `status` is success.
inline void check(cudaError_t status, const char* call) {
  if (status == cudaSuccess) return;
  throw error{{.code = status == cudaErrorMemoryAllocation ? error_code::out_of_memory
                                                           : error_code::transport,
               .call = call,
               .native =
                   std::string{cudaGetErrorName(status)} + ": " + cudaGetErrorString(status)}};
}

/// How many GPUs this process can use; 0 where there is none, or no driver for one.
inline int device_count() {
  int count = 0;
  const cudaError_t status = cudaGetDeviceCount(&count);
  if (status == cudaErrorNoDevice || status == cudaErrorInsufficientDriver) return 0;
  cuda::check(status, "cudaGetDeviceCount");
  return count;
}

} // namespace tutti::cuda
