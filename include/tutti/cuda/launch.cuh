// How a kernel is started, and the block that its body sees.
#pragma once

#include <tutti/cuda/grid.hpp>
#include <tutti/cuda/stream.hpp>
#include <tutti/cuda/tuning.hpp>

#include <cstddef>
#include <cstdint>

namespace tutti::cuda::detail {

/// The architectures that this file is compiled for. Kernels and what starts them are templates over it: two files that
/// are compiled for others have kernels and facades of their own, and no linker takes one for the other
/// (NVIDIA/cub#545).
template <int...> struct architectures {};
using built_for = architectures<__CUDA_ARCH_LIST__>;

/// A block of threads (kernels/context.hpp).
template <std::size_t Lanes> class device_block {
public:
  static constexpr std::size_t lanes = Lanes;

  __host__ __device__ std::size_t block() const {
#if defined(__CUDA_ARCH__)
    return blockIdx.x;
#else
    return 0;
#endif
  }
  __host__ __device__ std::size_t blocks() const {
#if defined(__CUDA_ARCH__)
    return gridDim.x;
#else
    return 1;
#endif
  }
  template <class F> __host__ __device__ void each([[maybe_unused]] F&& f) {
#if defined(__CUDA_ARCH__)
    f(threadIdx.x);
    __syncthreads();
#endif
  }

  template <class X> struct own {
    X value{};
    __host__ __device__ X& operator[](unsigned) { return value; }
  };

  __host__ __device__ void warp_most([[maybe_unused]] own<std::int32_t>& of) {
#if defined(__CUDA_ARCH__)
#pragma unroll
    for (int step = 16; step > 0; step /= 2) {
      const std::int32_t other = __shfl_xor_sync(~0u, of.value, step);
      of.value = other > of.value ? other : of.value;
    }
#endif
  }
  template <class N> __host__ __device__ N add([[maybe_unused]] N& to, [[maybe_unused]] N n) {
#if defined(__CUDA_ARCH__)
    if constexpr (sizeof(N) == 8)
      return atomicAdd(reinterpret_cast<unsigned long long*>(&to), static_cast<unsigned long long>(n));
    else return atomicAdd(&to, n);
#else
    return n;
#endif
  }
};

/// Starts a kernel on the stream's device. Its own status is looked at, not the runtime's last error. No blocks, no
/// launch.
template <class... P>
void launch(const stream& on, const char* call, unsigned blocks, void (*kernel)(P...), P... arguments) {
  if (blocks == 0) return;
  const current_device held{on.device()};
  void* all[] = {static_cast<void*>(&arguments)...};
  cuda::check(cudaLaunchKernel(reinterpret_cast<const void*>(kernel), dim3{blocks}, dim3{unsigned(tuning::lanes)}, all,
                               0, on.handle()),
              call);
}

} // namespace tutti::cuda::detail
