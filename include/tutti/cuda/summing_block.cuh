// A block of threads that adds up what its lanes have, by CUB.
#pragma once

#include <tutti/cuda/cub_version.cuh>
#include <tutti/cuda/launch.cuh>

#include <cub/block/block_reduce.cuh>

namespace tutti::cuda::detail {

/// With the sums of kernels/context.hpp, in the order of CUB's warp reductions. One scratch serves all sums of a body:
/// each ends with a barrier.
template <std::size_t Lanes> class summing_block : public device_block<Lanes> {
  template <class X> using reduction = cub::BlockReduce<X, Lanes, cub::BLOCK_REDUCE_WARP_REDUCTIONS>;

public:
  struct scratch {
    union {
      typename reduction<double>::TempStorage doubles;
      typename reduction<std::uint32_t>::TempStorage words;
    };
    double sum;
  };
  __device__ explicit summing_block(scratch& with) : scratch_{with} {}

  template <class X> using own = typename device_block<Lanes>::template own<X>;

  __host__ __device__ double sum([[maybe_unused]] own<double>& of) {
#if defined(__CUDA_ARCH__)
    return to_all(reduction<double>{scratch_.doubles}.Sum(of.value));
#else
    return 0;
#endif
  }
  __host__ __device__ std::uint32_t sum([[maybe_unused]] own<std::uint32_t>& of) {
#if defined(__CUDA_ARCH__)
    return to_all(reduction<std::uint32_t>{scratch_.words}.Sum(of.value));
#else
    return 0;
#endif
  }

private:
  /// What the first lane has.
  template <class X> __device__ X to_all(X x) {
    if (threadIdx.x == 0) *reinterpret_cast<X*>(&scratch_.sum) = x;
    __syncthreads();
    const X all = *reinterpret_cast<X*>(&scratch_.sum);
    __syncthreads();
    return all;
  }

  scratch& scratch_;
};

} // namespace tutti::cuda::detail
