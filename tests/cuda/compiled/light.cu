// A file with kernels, of which another has the same.
#include <tutti/cuda/reduce.cuh>
#include <tutti/reducers/elementary.hpp>

void TUTTI_TEST_NAME(const tutti::cuda::stream& on, std::span<const tutti::cuda::device_span<const float>> in,
                     tutti::cuda::device_span<float> out) {
  tutti::cuda::reduce_weighted<tutti::sum, float>(on, {}, in, {}, out);
}
