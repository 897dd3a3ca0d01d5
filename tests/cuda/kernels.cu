#include "cuda/kernels.hpp"

#include <tutti/codecs/int_block.hpp>
#include <tutti/cuda/codecs.cuh>
#include <tutti/cuda/collect.cuh>
#include <tutti/cuda/device_buffer.hpp>
#include <tutti/cuda/distances.cuh>
#include <tutti/cuda/exact_arithmetic.cuh>
#include <tutti/cuda/norm.cuh>
#include <tutti/cuda/order_statistics.cuh>
#include <tutti/cuda/packing.cuh>
#include <tutti/cuda/reduce.cuh>
#include <tutti/cuda/top_k.cuh>
#include <tutti/cuda/update.cuh>
#include <tutti/cuda/vote.cuh>
#include <tutti/optimizers/adam.hpp>
#include <tutti/optimizers/sgd.hpp>
#include <tutti/reducers/elementary.hpp>
#include <tutti/reducers/reproducible_sum.hpp>

namespace on_device {

namespace cuda = tutti::cuda;

namespace {

/// n values somewhere in memory of the device.
template <class T> class placed {
public:
  placed(const cuda::stream& on, const std::vector<T>& values, std::size_t offset)
      : on_{on}, all_{on, values.size() + offset}, span_{all_.span().subspan(offset, values.size())} {
    copy(span_.data(), values.data());
  }
  cuda::device_span<T> span() const { return span_; }
  cuda::device_span<const T> read() const { return span_; }
  std::vector<T> values() const {
    std::vector<T> to(span_.size());
    copy(to.data(), span_.data());
    on_.wait();
    return to;
  }

private:
  void copy(void* to, const void* from) const {
    if (span_.empty()) return;
    cuda::check(cudaMemcpyAsync(to, from, span_.size() * sizeof(T), cudaMemcpyDefault, on_.handle()),
                "cudaMemcpyAsync");
  }
  const cuda::stream& on_;
  cuda::device_buffer<T> all_;
  cuda::device_span<T> span_;
};

template <class T> class many {
public:
  many(const cuda::stream& on, const std::vector<std::vector<T>>& rows, std::size_t offset) {
    for (const auto& row : rows) all.push_back(placed<T>{on, row, offset});
    for (const auto& one : all) spans.push_back(one.read());
  }
  std::vector<placed<T>> all;
  std::vector<cuda::device_span<const T>> spans;
};

template <class T, class R> std::vector<T> reduced(const R& reducer, const rows<T>& in, std::size_t offset) {
  const cuda::stream on;
  const many<T> from{on, in, offset};
  const placed<T> out{on, std::vector<T>(in[0].size()), offset};
  cuda::reduce<R, T>(on, reducer, from.spans, out.span());
  return out.values();
}
template <class R> std::vector<float> picked(const R& reducer, const rows<float>& in, std::size_t offset) {
  const cuda::stream on;
  const many<float> from{on, in, offset};
  const placed<float> out{on, std::vector<float>(in[0].size()), offset};
  cuda::reduce<float>(on, reducer, from.spans, out.span());
  return out.values();
}
template <class C>
encoded encoded_by(const C& codec, const std::vector<float>& values, const std::vector<float>& memory, double decay,
                   std::size_t offset) {
  const cuda::stream on;
  const placed<float> data{on, values, offset}, kept{on, memory, offset};
  const placed<std::byte> wire{on, std::vector<std::byte>(codec.template bytes<float>(values.size())), 0};
  cuda::encode(on, tutti::error_feedback<C>{codec, decay}, {kept.read(), kept.span()}, data.span(), wire.span());
  return {wire.values(), data.values(), kept.values()};
}
template <class R, class O>
rows<float> stepped(const R& reducer, const O& o, const rows<float>& in, const rows<float>& state, std::size_t offset) {
  const cuda::stream on;
  const many<float> from{on, in, offset}, to{on, state, offset};
  cuda::device_parameters<float, tutti::slots_of<O>> of{to.all[0].span(), {}};
  for (std::size_t s = 0; s < of.slots.size(); ++s) of.slots[s] = to.all[s + 1].span();
  cuda::update(on, reducer, std::span<const cuda::device_span<const float>>{from.spans}, o, 3, of, 0.7f);
  rows<float> result;
  for (const auto& one : to.all) result.push_back(one.values());
  return result;
}

// What kernels are given is the same to the host and to the device.
namespace kernels = tutti::detail::kernels;
static_assert(sizeof(kernels::packet<float>) == 16 && kernels::packet<tutti::bfloat16>::length == 8);
static_assert(sizeof(kernels::rows<float, 8>) == 96 && sizeof(kernels::weighted_rows<float, 1024>) == 16424);
static_assert(sizeof(kernels::tensor_list<float, 512>) == 12304 && sizeof(kernels::columns<float, 64>) == 536);
static_assert(sizeof(kernels::encoding<float>) == 64 && cuda::tuning::lanes == 256);

} // namespace

template <class T> std::vector<T> sum(const rows<T>& in, std::size_t offset) {
  return reduced<T>(tutti::sum{}, in, offset);
}
template <class T> std::vector<T> mean(const rows<T>& in, std::size_t offset) {
  return reduced<T>(tutti::mean{}, in, offset);
}
template std::vector<float> sum(const rows<float>&, std::size_t);
template std::vector<float> mean(const rows<float>&, std::size_t);
template std::vector<tutti::bfloat16> mean(const rows<tutti::bfloat16>&, std::size_t);

std::vector<float> weighted_mean(const rows<float>& in, const std::vector<double>& weights, std::size_t offset) {
  const cuda::stream on;
  const many<float> from{on, in, offset};
  const placed<float> out{on, std::vector<float>(in[0].size()), offset};
  cuda::reduce_weighted<tutti::weighted_mean, float>(on, {}, from.spans, weights, out.span());
  return out.values();
}
std::vector<float> reproducible_sum(const rows<float>& in, std::size_t offset) {
  const cuda::stream on;
  const many<float> from{on, in, offset};
  const placed<float> out{on, std::vector<float>(in[0].size()), offset};
  cuda::reduce_weighted<tutti::reproducible_sum, float>(on, {}, from.spans, {}, out.span());
  return out.values();
}
std::vector<float> median(const rows<float>& in, std::size_t offset) {
  return picked(tutti::median{}, in, offset);
}
std::vector<float> trimmed_mean(const rows<float>& in, int trim, std::size_t offset) {
  return picked(tutti::trimmed_mean{trim}, in, offset);
}

encoded encode(codec by, const std::vector<float>& values, const std::vector<float>& memory, double decay,
               std::size_t offset) {
  switch (by) {
  case codec::int8:
    return encoded_by(tutti::int8_block{}, values, memory, decay, offset);
  case codec::fp8:
    return encoded_by(tutti::fp8_block<tutti::fp8::e4m3>{}, values, memory, decay, offset);
  case codec::signs:
    return encoded_by(tutti::sign_block{}, values, memory, decay, offset);
  case codec::bfloat16:
    break;
  }
  return encoded_by(tutti::cast<tutti::bfloat16>{}, values, memory, decay, offset);
}
std::vector<std::byte> encode_clipped(const std::vector<float>& values, double clip, std::size_t offset) {
  const cuda::stream on;
  const many<float> data{on, {values}, offset};
  cuda::norm_workspace with{on, 1};
  cuda::judge_norm<float>(on, data.spans, with, 1, clip);
  const placed<std::byte> wire{on, std::vector<std::byte>(tutti::int8_block{}.bytes<float>(values.size())), 0};
  cuda::encode(on, tutti::int8_block{}, data.spans[0], wire.span(), with.verdict());
  return wire.values();
}
std::vector<float> decode_and_reduce(const std::vector<std::vector<std::byte>>& wires, std::size_t n,
                                     std::size_t offset) {
  const cuda::stream on;
  const many<std::byte> from{on, wires, 0};
  const placed<float> out{on, std::vector<float>(n), offset};
  cuda::decode_and_reduce(on, tutti::int8_block{}, tutti::mean{},
                          std::span<const cuda::device_span<const std::byte>>{from.spans}, out.span());
  return out.values();
}

std::vector<std::byte> top_k(const std::vector<float>& values, double fraction, std::size_t offset) {
  const cuda::stream on;
  const tutti::top_k codec{fraction};
  const placed<float> data{on, values, offset};
  const placed<std::byte> wire{on, std::vector<std::byte>(codec.bytes<float>(values.size())), 0};
  cuda::top_k_workspace with{on, values.size()};
  cuda::encode(on, codec, data.read(), wire.span(), with);
  return wire.values();
}

std::vector<std::byte> majority_vote(const std::vector<std::vector<std::byte>>& wires, std::size_t offset) {
  const cuda::stream on;
  const many<std::byte> from{on, wires, 4 * offset};
  const placed<std::byte> out{on, std::vector<std::byte>(wires[0].size()), 4 * offset};
  cuda::majority_vote(on, tutti::sign_block{}, std::span<const cuda::device_span<const std::byte>>{from.spans},
                      out.span());
  return out.values();
}

rows<float> packed_and_unpacked(const rows<float>& tensors, std::vector<float>& bucket) {
  const cuda::stream on;
  const many<float> from{on, tensors, 1};
  const placed<float> to{on, bucket, 3};
  std::vector<cuda::device_span<float>> spans;
  for (const auto& one : from.all) spans.push_back(one.span());
  const cuda::packing<float> both{on, spans, to.span()};
  both.pack();
  bucket = to.values();
  for (const auto& one : from.all)
    if (!one.span().empty())
      cuda::check(cudaMemsetAsync(one.span().data(), 0xa5, one.span().size() * sizeof(float), on.handle()),
                  "cudaMemsetAsync");
  both.unpack();
  rows<float> all;
  for (const auto& one : from.all) all.push_back(one.values());
  return all;
}

verdict judge(const rows<float>& tensors, double scale, double clip, std::size_t offset) {
  const cuda::stream on;
  const many<float> from{on, tensors, offset};
  cuda::norm_workspace with{on, tensors.size()};
  cuda::judge_norm<float>(on, from.spans, with, scale, clip);
  const placed<tutti::bfloat16> out{on, std::vector<tutti::bfloat16>(tensors[0].size()), offset};
  cuda::scale_and_cast(on, from.spans[0], out.span(), with.verdict());
  cuda::norm_verdict found;
  cuda::check(cudaMemcpyAsync(&found, with.verdict().data(), sizeof found, cudaMemcpyDefault, on.handle()),
              "cudaMemcpyAsync");
  const auto rounded = out.values();
  return {found.squares, found.factor, found.finite != 0, rounded};
}

std::vector<float> collect(const std::vector<tutti::bfloat16>& from, const std::vector<float>& to, bool adds, float factor,
                           float divisor, std::size_t offset) {
  const cuda::stream on;
  const placed<tutti::bfloat16> in{on, from, offset};
  const placed<float> out{on, to, offset};
  cuda::collect(on, in.read(), out.span(), adds, factor, divisor);
  return out.values();
}

rows<float> adamw_step(const rows<float>& in, rows<float> state, std::size_t offset) {
  return stepped(tutti::mean{}, tutti::adamw{}, in, state, offset);
}
rows<float> sgd_step(const rows<float>& in, rows<float> state, std::size_t offset) {
  return stepped(tutti::sum{}, tutti::sgd{.learning_rate = .1, .momentum = .9, .weight_decay = .01}, in, state, offset);
}
rows<float> adamw_step_of_messages(const std::vector<std::vector<std::byte>>& wires, rows<float> state) {
  const cuda::stream on;
  const many<std::byte> from{on, wires, 0};
  const many<float> to{on, state, 0};
  const cuda::device_parameters<float, 2> of{to.all[0].span(), {to.all[1].span(), to.all[2].span()}};
  cuda::decode_and_update(on, tutti::int8_block{}, tutti::mean{},
                          std::span<const cuda::device_span<const std::byte>>{from.spans}, tutti::adamw{}, 3, of, 0.7f);
  return {to.all[0].values(), to.all[1].values(), to.all[2].values()};
}

std::vector<double> distances(const rows<float>& in, bool origin, std::size_t offset) {
  const cuda::stream on;
  const many<float> from{on, in, offset};
  cuda::distance_workspace with{on};
  const auto matrix = cuda::measure_distances<float>(on, from.spans, with, origin);
  std::vector<double> to(matrix.size());
  cuda::check(cudaMemcpyAsync(to.data(), matrix.data(), to.size() * sizeof(double), cudaMemcpyDefault, on.handle()),
              "cudaMemcpyAsync");
  on.wait();
  return to;
}

void require_exact_arithmetic() {
  cuda::require_exact_arithmetic(cuda::stream{});
}

} // namespace on_device
