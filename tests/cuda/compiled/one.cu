// A file with kernels, compiled for one GPU and with one set of flags.
#include <tutti/cuda/norm.cuh>
#include <tutti/cuda/reduce.cuh>
#include <tutti/reducers/elementary.hpp>

void TUTTI_TEST_NAME(const tutti::cuda::stream& on, std::span<const tutti::cuda::device_span<const float>> in,
                     tutti::cuda::device_span<float> out, tutti::cuda::norm_workspace& with) {
  tutti::cuda::reduce_weighted<tutti::sum, float>(on, {}, in, {}, out);
  tutti::cuda::judge_norm<float>(on, in, with);
}
