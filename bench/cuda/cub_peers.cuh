// What a user would write with CUB alone, to be measured beside tutti's kernels.
#pragma once

#include <tutti/cuda/device_buffer.hpp>

#include <cub/device/device_reduce.cuh>
#include <cub/device/device_transform.cuh>

#include <cuda/std/functional>
#include <cuda/std/tuple>

#include <cstddef>
#include <cstdint>
#include <utility>
#include <vector>

namespace measured {

/// The sum of what it is given, in float, rounded once.
template <class T> struct sum_in_float {
  template <class... X> __host__ __device__ T operator()(X... x) const {
    return T((static_cast<float>(x) + ...));
  }
};
struct square_in_double {
  __host__ __device__ double operator()(float x) const { return double(x) * double(x); }
};

/// out = the sum of K, by DeviceTransform.
template <std::size_t K, class T>
void cub_sum(const tutti::cuda::stream& on, const std::vector<tutti::cuda::device_span<const T>>& in,
             tutti::cuda::device_span<T> out) {
  [&]<std::size_t... At>(std::index_sequence<At...>) {
    tutti::cuda::check(cub::DeviceTransform::Transform(::cuda::std::make_tuple(in[At].data()...), out.data(),
                                                       std::int64_t(out.size()), sum_in_float<T>{}, on.handle()),
                       "cub::DeviceTransform");
  }(std::make_index_sequence<K>{});
}

/// The sum of squares in double, by DeviceReduce, with its workspace made before.
class cub_squares {
public:
  cub_squares(const tutti::cuda::stream& on, tutti::cuda::device_span<const float> of)
      : on_{on}, of_{of}, result_{on, 1}, workspace_{on, bytes()} {}

  void operator()() {
    std::size_t n = workspace_.size();
    run(workspace_.span().data(), n);
  }

private:
  std::size_t bytes() {
    std::size_t n = 0;
    run(nullptr, n);
    return n;
  }
  void run(void* workspace, std::size_t& n) {
    tutti::cuda::check(cub::DeviceReduce::TransformReduce(workspace, n, of_.data(), result_.span().data(),
                                                          std::int64_t(of_.size()), ::cuda::std::plus<double>{},
                                                          square_in_double{}, 0.0, on_.handle()),
                       "cub::DeviceReduce");
  }

  const tutti::cuda::stream& on_;
  tutti::cuda::device_span<const float> of_;
  tutti::cuda::device_buffer<double> result_;
  tutti::cuda::device_buffer<std::byte> workspace_;
};

} // namespace measured
