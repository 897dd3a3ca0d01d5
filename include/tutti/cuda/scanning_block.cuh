// A block of threads that adds up what the lanes before each have, by CUB.
#pragma once

#include <tutti/cuda/cub_version.cuh>
#include <tutti/cuda/launch.cuh>

#include <cub/block/block_scan.cuh>

namespace tutti::cuda::detail {

/// With sum_before() of kernels/context.hpp. One scratch serves all of a body: each ends with a barrier.
template <std::size_t Lanes> class scanning_block : public device_block<Lanes> {
  template <class N> using scan = cub::BlockScan<N, Lanes, cub::BLOCK_SCAN_WARP_SCANS>;

public:
  union scratch {
    typename scan<std::uint32_t>::TempStorage words;
    typename scan<std::uint64_t>::TempStorage long_words;
  };
  __device__ explicit scanning_block(scratch& with) : scratch_{with} {}

  template <class X> using own = typename device_block<Lanes>::template own<X>;

  template <class N> __host__ __device__ N sum_before([[maybe_unused]] own<N>& of) {
    N all{};
#if defined(__CUDA_ARCH__)
    if constexpr (sizeof(N) == 4) scan<N>{scratch_.words}.ExclusiveSum(of.value, of.value, all);
    else scan<N>{scratch_.long_words}.ExclusiveSum(of.value, of.value, all);
    __syncthreads();
#endif
    return all;
  }

private:
  scratch& scratch_;
};

} // namespace tutti::cuda::detail
