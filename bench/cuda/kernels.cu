#include "cub_peers.cuh"
#include "measured.hpp"

#include <tutti/codecs/fp8_block.hpp>
#include <tutti/codecs/int_block.hpp>
#include <tutti/codecs/sign_block.hpp>
#include <tutti/core/random.hpp>
#include <tutti/cuda/codecs.cuh>
#include <tutti/cuda/distances.cuh>
#include <tutti/cuda/norm.cuh>
#include <tutti/cuda/order_statistics.cuh>
#include <tutti/cuda/packing.cuh>
#include <tutti/cuda/reduce.cuh>
#include <tutti/cuda/top_k.cuh>
#include <tutti/cuda/update.cuh>
#include <tutti/cuda/vote.cuh>
#include <tutti/optimizers/adam.hpp>
#include <tutti/reducers/elementary.hpp>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <span>
#include <utility>

namespace measured {

namespace cuda = tutti::cuda;

namespace {

constexpr std::size_t n = std::size_t{1} << 26; ///< values: 256 MiB of floats

/// `work` on the stream, captured once and replayed.
class replayed {
public:
  template <class Work> replayed(const cuda::stream& on, Work&& work) : on_{on} {
    cudaGraph_t graph = nullptr;
    cuda::check(cudaStreamBeginCapture(on.handle(), cudaStreamCaptureModeThreadLocal), "cudaStreamBeginCapture");
    work();
    cuda::check(cudaStreamEndCapture(on.handle(), &graph), "cudaStreamEndCapture");
    cuda::check(cudaGraphInstantiate(&graph_, graph, 0), "cudaGraphInstantiate");
    cuda::check(cudaGraphDestroy(graph), "cudaGraphDestroy");
    for (cudaEvent_t* e : {&begin_, &end_}) cuda::check(cudaEventCreate(e), "cudaEventCreate");
  }
  replayed(const replayed&) = delete;
  ~replayed() {
    cudaGraphExecDestroy(graph_);
    cudaEventDestroy(begin_);
    cudaEventDestroy(end_);
  }
  /// Seconds of each replay, sorted.
  std::vector<double> times(int replays) const {
    std::vector<double> all;
    for (int k = -3; k < replays; ++k) { // three to warm up
      cuda::check(cudaEventRecord(begin_, on_.handle()), "cudaEventRecord");
      cuda::check(cudaGraphLaunch(graph_, on_.handle()), "cudaGraphLaunch");
      cuda::check(cudaEventRecord(end_, on_.handle()), "cudaEventRecord");
      on_.wait();
      float ms = 0;
      cuda::check(cudaEventElapsedTime(&ms, begin_, end_), "cudaEventElapsedTime");
      if (k >= 0) all.push_back(double(ms) * 1e-3);
    }
    std::sort(all.begin(), all.end());
    return all;
  }

private:
  const cuda::stream& on_;
  cudaGraphExec_t graph_ = nullptr;
  cudaEvent_t begin_ = nullptr, end_ = nullptr;
};

/// Buffers of n values, random ones.
template <class T>
std::vector<cuda::device_buffer<T>> buffers(const cuda::stream& on, std::size_t count, std::size_t values = n) {
  std::vector<T> from(std::size_t{1} << 20);
  std::vector<cuda::device_buffer<T>> all;
  for (std::size_t k = 0; k < count; ++k) {
    tutti::random_stream random{k + 1};
    for (T& x : from) x = T(random.uniform() - 0.5f);
    all.emplace_back(on, values);
    for (std::size_t at = 0; at < values; at += from.size()) {
      const std::size_t length = (std::min)(from.size(), values - at);
      cuda::check(cudaMemcpyAsync(all.back().span().data() + at, from.data(), length * sizeof(T),
                                  cudaMemcpyHostToDevice, on.handle()),
                  "cudaMemcpyAsync");
    }
    on.wait();
  }
  return all;
}
template <class T> std::vector<cuda::device_span<const T>> read(const std::vector<cuda::device_buffer<T>>& all) {
  std::vector<cuda::device_span<const T>> spans;
  for (const auto& one : all) spans.push_back(one.span());
  return spans;
}

class bench {
public:
  std::vector<kernel> results;

  template <class Work> void measure(std::string name, double bytes_per_value, double bar, Work&& work) {
    const double before = copy_rate();
    const auto times = replayed{on, work}.times(40);
    const double after = copy_rate();
    results.push_back({std::move(name), bytes_per_value * double(n), times[times.size() / 2], times[times.size() / 10],
                       times[times.size() * 9 / 10], (before + after) / 2, bar});
  }

  /// The same by CUB alone, beside the last one.
  template <class Work> void beside(double beats, Work&& work) {
    const auto times = replayed{on, work}.times(40);
    results.back().cub = times[times.size() / 2];
    results.back().beats = beats;
  }

  cuda::stream on;

private:
  double copy_rate() {
    const auto times = replayed{
        on, [&] {
          cuda::check(cudaMemcpyAsync(to_.span().data(), from_.span().data(), n * sizeof(float),
                                      cudaMemcpyDeviceToDevice, on.handle()),
                      "cudaMemcpyAsync");
        }}.times(20);
    return 2.0 * double(n * sizeof(float)) / times[times.size() / 2];
  }
  cuda::device_buffer<float> from_{on, n}, to_{on, n};
};

/// With error feedback around it, and where it needs none, without.
template <class C>
void measure_codec(bench& b, const char* name, const C& codec, double bytes, double bar, double remembered_bar) {
  const auto values = buffers<float>(b.on, 2);
  const cuda::device_buffer<std::byte> wire{b.on, codec.template bytes<float>(n)};
  if constexpr (!tutti::is_biased<C> && C::kind == tutti::codec_kind::opaque)
    b.measure(std::string{name} + ", encode", 4 + bytes, bar,
              [&] { cuda::encode(b.on, codec, cuda::device_span<const float>{values[0].span()}, wire.span()); });
  b.measure(std::string{name} + ", encode, error feedback", 16 + bytes, remembered_bar,
            [&] { // values are replaced, too
              cuda::encode(b.on, tutti::error_feedback<C>{codec}, {values[1].span(), values[1].span()},
                           values[0].span(), wire.span());
            });
}

} // namespace

std::string gpu() {
  if (cuda::device_count() == 0) return {};
  cudaDeviceProp facts{};
  cuda::check(cudaGetDeviceProperties(&facts, 0), "cudaGetDeviceProperties");
  return facts.name;
}

std::vector<kernel> all() {
  bench b;
  {
    const auto in = buffers<float>(b.on, 8);
    const auto from = read(in);
    const cuda::device_buffer<float> out{b.on, n};
    for (const std::size_t k : {2, 8}) {
      b.measure("sum of " + std::to_string(k) + ", float", 4.0 * double(k + 1), .95,
                [&] { cuda::reduce<tutti::sum, float>(b.on, {}, std::span{from}.first(k), out.span()); });
      b.beside(1, [&] { k == 2 ? cub_sum<2>(b.on, from, out.span()) : cub_sum<8>(b.on, from, out.span()); });
    }
    b.measure("weighted mean of 8, float", 36, .90, [&] {
      cuda::reduce_weighted<tutti::weighted_mean, float>(b.on, {}, from, std::vector<double>(8, 1.0), out.span());
    });
    b.measure("median of 8, float", 36, .90, [&] { cuda::reduce<float>(b.on, tutti::median{}, from, out.span()); });
    cuda::distance_workspace distances{b.on};
    b.measure("distances between 8, float", 32, .70,
              [&] { cuda::measure_distances<float>(b.on, from, distances); });
    cuda::norm_workspace with{b.on, 8};
    const std::vector<cuda::device_span<const float>> one{from[0]};
    b.measure("norm, float", 4, .95, [&] { cuda::judge_norm<float>(b.on, one, with, 1, 1); });
    b.beside(1, cub_squares{b.on, from[0]});
    const cuda::device_buffer<tutti::bfloat16> half{b.on, n};
    b.measure("scale, clip, cast to bfloat16", 6, .92,
              [&] { cuda::scale_and_cast(b.on, from[0], half.span(), with.verdict()); });
    b.measure("adamw out of 8, float", 4 * 14, .90, [&] {
      cuda::update<tutti::mean, tutti::adamw, float>(b.on, {}, from, {}, 1, {out.span(), {in[0].span(), in[1].span()}});
    });
  }
  {
    const auto in = buffers<tutti::bfloat16>(b.on, 8);
    const cuda::device_buffer<tutti::bfloat16> out{b.on, n};
    b.measure("mean of 8, bfloat16", 18, .92,
              [&] { cuda::reduce<tutti::mean, tutti::bfloat16>(b.on, {}, read(in), out.span()); });
    b.beside(1.15, [&] { cub_sum<8>(b.on, read(in), out.span()); });
  }
  measure_codec(b, "int8_block", tutti::int8_block{}, 1 + 4.0 / 256, .88, .88);
  measure_codec(b, "fp8_block of 128", tutti::basic_fp8_block<tutti::fp8::e4m3, 128>{}, 1 + 4.0 / 128, .85, .88);
  measure_codec(b, "sign_block", tutti::sign_block{}, 1.0 / 8 + 4.0 / 256, 0, .88);
  measure_codec(b, "cast to bfloat16", tutti::cast<tutti::bfloat16>{}, 2, 0, .90);
  {
    const auto in = buffers<float>(b.on, 1);
    const tutti::int8_block codec;
    const std::size_t bytes = codec.bytes<float>(n);
    const cuda::device_buffer<std::byte> wire{b.on, bytes};
    cuda::encode(b.on, codec, cuda::device_span<const float>{in[0].span()}, wire.span());
    std::vector<cuda::device_buffer<std::byte>> wires;
    for (int k = 0; k < 8; ++k) {
      wires.emplace_back(b.on, bytes);
      cuda::check(cudaMemcpyAsync(wires.back().span().data(), wire.span().data(), bytes, cudaMemcpyDeviceToDevice,
                                  b.on.handle()),
                  "cudaMemcpyAsync");
    }
    const auto from = read(wires);
    b.measure("decode and mean of 8 int8_block", 4 + 8 * (1 + 4.0 / 256), .85, [&] {
      cuda::decode_and_reduce(b.on, codec, tutti::mean{}, std::span<const cuda::device_span<const std::byte>>{from},
                              in[0].span());
    });
  }
  {
    const auto in = buffers<float>(b.on, 1);
    const tutti::sign_block codec;
    const std::size_t bytes = codec.bytes<float>(n);
    std::vector<cuda::device_buffer<std::byte>> wires;
    for (int k = 0; k < 9; ++k) wires.emplace_back(b.on, bytes);
    for (const auto& wire : wires)
      cuda::encode(b.on, codec, cuda::device_span<const float>{in[0].span()}, wire.span());
    auto from = read(wires);
    from.pop_back();
    b.measure("majority vote of 8 sign_block", 9 * (1.0 / 8 + 4.0 / 256), .60, [&] {
      cuda::majority_vote(b.on, codec, std::span<const cuda::device_span<const std::byte>>{from}, wires[8].span());
    });
  }
  {
    const auto in = buffers<float>(b.on, 2);
    std::vector<cuda::device_span<float>> tensors; // as of a model: many short ones, and few long ones
    for (std::size_t begin = 0, k = 0; begin < n; ++k) {
      const std::size_t length = (std::min)(n - begin, k % 8 == 7 ? n / 64 : std::size_t{1000} + k);
      tensors.push_back(in[0].span().subspan(begin, length));
      begin += length;
    }
    const cuda::packing<float> packing{b.on, tensors, in[1].span()};
    b.measure("a bucket of " + std::to_string(tensors.size()) + " tensors", 8, .90, [&] { packing.pack(); });
  }
  {
    const auto in = buffers<float>(b.on, 1);
    const tutti::top_k codec{.01};
    const cuda::device_buffer<std::byte> wire{b.on, codec.bytes<float>(n)};
    cuda::top_k_workspace with{b.on, n};
    b.measure("top_k of .01", 12, .90, // the three reads that it may take
              [&] { cuda::encode(b.on, codec, cuda::device_span<const float>{in[0].span()}, wire.span(), with); });
  }
  return b.results;
}

} // namespace measured
