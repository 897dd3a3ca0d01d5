// Kernels: reducers, codecs and optimizers that they cannot run.
#include <tutti/codecs/int_block.hpp>
#include <tutti/cuda/codecs.cuh>
#include <tutti/cuda/gather.cuh>
#include <tutti/cuda/reduce.cuh>
#include <tutti/cuda/update.cuh>
#include <tutti/cuda/vote.cuh>
#include <tutti/optimizers/sgd.hpp>
#include <tutti/reducers/elementary.hpp>

#include <cmath>

namespace cuda = tutti::cuda;

struct hypotenuse { // on the host alone, as it says nothing
  using part = tutti::reducer_part;
  template <class A>
  A identity() const {
    return A{0};
  }
  template <class A>
  A combine(A a, A b) const {
    return std::hypot(a, b);
  }
};
struct first_of_all {
  using part = tutti::reducer_part;
  static constexpr tutti::execution runs = tutti::execution::both;
  template <class A>
  A gather(std::span<A> column) const {
    return column[0];
  }
};
struct first_of_a_column {
  using part = tutti::reducer_part;
  static constexpr tutti::execution runs = tutti::execution::both;
  TUTTI_HD float gather(tutti::column<float> column) const { return column[0]; }
};
struct own_descent : tutti::sgd {
  static constexpr tutti::execution runs = tutti::execution::host;
};

void reduces(const cuda::stream& on, std::span<const cuda::device_span<const float>> in, cuda::device_span<float> out) {
  // REJECT host_reducer: tutti::cuda::reduce: this reducer runs on the host alone - mark its functions TUTTI_HD
  // REJECT gathering_reducer: tutti::cuda::reduce: this reducer needs every contribution at once, .* tutti::cuda::median
  // REJECT weighted_reducer: tutti::cuda::reduce: this reducer has weights - use tutti::cuda::reduce_weighted
#if defined REJECT_host_reducer
  cuda::reduce(on, hypotenuse{}, in, out);
#elif defined REJECT_gathering_reducer
  cuda::reduce(on, first_of_all{}, in, out);
#elif defined REJECT_weighted_reducer
  cuda::reduce(on, tutti::weighted_mean{}, in, out);
#else
  cuda::reduce(on, tutti::max{}, in, out);
#endif
}

void gathers(const cuda::stream& on, std::span<const cuda::device_span<const float>> in, cuda::device_span<float> out) {
  // REJECT span_in_a_kernel: tutti::cuda::gather: this is no gathering reducer that runs in kernels .* tutti::column
#if defined REJECT_span_in_a_kernel
  cuda::gather(on, first_of_all{}, in, {}, out);
#else
  cuda::gather(on, first_of_a_column{}, in, {}, out);
#endif
}

void encodes(const cuda::stream& on, cuda::device_span<const float> values, cuda::device_span<std::byte> wire) {
  // REJECT host_codec: tutti::cuda::encode: this codec runs on the host alone - use int8_block
#if defined REJECT_host_codec
  cuda::encode(on, tutti::int4_block{}, values, wire);
#else
  cuda::encode(on, tutti::int8_block{}, values, wire);
#endif
}

void updates(const cuda::stream& on, std::span<const cuda::device_span<const float>> in,
             const cuda::device_parameters<float, 1>& parameters) {
  // REJECT host_optimizer: tutti::cuda::update: this optimizer runs on the host alone - let at\(\) return a struct
#if defined REJECT_host_optimizer
  cuda::update(on, tutti::mean{}, in, own_descent{}, 1, parameters);
#else
  cuda::update(on, tutti::mean{}, in, tutti::sgd{}, 1, parameters);
#endif
}

void votes(const cuda::stream& on, std::span<const cuda::device_span<const std::byte>> wires,
           cuda::device_span<std::byte> out) {
  // REJECT short_blocks: tutti::cuda::majority_vote: blocks are not of 128 signs or more, in multiples of 32
#if defined REJECT_short_blocks
  cuda::majority_vote(on, tutti::basic_sign_block<64>{}, wires, out);
#else
  cuda::majority_vote(on, tutti::sign_block{}, wires, out);
#endif
}
