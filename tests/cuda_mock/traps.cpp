// What others have shipped wrong with CUDA, as far as facades and objects of the host can have it wrong. The rest:
//
//   kernels             tests/kernels/traps.cpp: NaN, ties, overflow, fused products, alignment; races.cpp: barriers
//   order and waiting   races.cpp, streams.cpp, staging.cpp: producers, pinned slots, memory of other streams, captures
//                       of other threads; nccl.cpp: groups, empty messages, several communicators, deadlines, aborts
//   builds              tests/cuda/compiled: two architectures, both default streams, two CUBs, kernels in two files,
//                       architectures; cubin.cpp: kernels that the host starts are those that were compiled;
//                       tests/headers: headers without the operators of short floats, for the oldest and newest GPU;
//                       tests/rejections/kernels.cu: what runs on the host alone is no part of a kernel
//   steps               strategies.cpp: norms that are not finite, steps that are skipped and not counted
//
// What does not apply. Partial results are read by the next launch, never by the last block, so nothing is fenced or
// counted. Device memory is never given to MPI, which has no type for it. No object of the library is static, and
// nothing forks: who starts processes (communicators/) knows nothing of CUDA. Lambdas of the device are refused as what
// runs on the host alone; that a functor which says `both` calls the host is nvcc's to see, whose warnings are errors
// here. Memory of other processes and devices is the affair of what reaches for it, and of its tests.
#include "cuda_mock/mocked.hpp"
#include "kernels/memory.hpp"

#include <tutti/codecs/error_feedback.hpp>
#include <tutti/codecs/fp8_block.hpp>
#include <tutti/codecs/int_block.hpp>
#include <tutti/codecs/sign_block.hpp>
#include <tutti/cuda/codecs.cuh>
#include <tutti/cuda/collect.cuh>
#include <tutti/cuda/distances.cuh>
#include <tutti/cuda/norm.cuh>
#include <tutti/cuda/order_statistics.cuh>
#include <tutti/cuda/partials.cuh>
#include <tutti/cuda/reduce.cuh>
#include <tutti/cuda/staging.hpp>
#include <tutti/cuda/top_k.cuh>
#include <tutti/cuda/update.cuh>
#include <tutti/optimizers/adam.hpp>
#include <tutti/reducers/elementary.hpp>

#include <boost/test/unit_test.hpp>

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <thread>
#include <vector>

namespace cuda_known_traps {

using namespace mocked;
using kernel_memory::random_values;
using reads = std::vector<cuda::device_span<const float>>;

/// Everything that facades are given, on one stream.
struct setup {
  explicit setup(std::size_t count)
      : on{}, n{count}, rows{{{on, random_values<float>(n, 1, false)}, {on, random_values<float>(n, 2, false)}}},
        out{on, std::vector<float>(n)}, values{on, std::vector<float>(n, 1)}, m{on, std::vector<float>(n)},
        v{on, std::vector<float>(n)}, memory{on, std::vector<float>(n)}, wire{on, std::vector<std::byte>(
                                                                                      codec.bytes<float>(n))},
        kept{on, std::vector<std::byte>(tutti::top_k{.1}.bytes<float>(n))}, norm{on, 2}, largest{on, n}, distance{on} {}

  cuda::stream on;
  std::size_t n;
  tutti::int8_block codec;
  std::array<placed<float>, 2> rows;
  placed<float> out, values, m, v, memory;
  placed<std::byte> wire, kept;
  cuda::norm_workspace norm;
  cuda::top_k_workspace largest;
  cuda::distance_workspace distance;

  reads in() const { return {rows[0].read(), rows[1].read()}; }
  cuda::device_parameters<float, 2> parameters() const { return {values.span(), {m.span(), v.span()}}; }

  /// Each facade once; what it is given is gone when it returns.
  void call_all() {
    auto spans = std::make_unique<reads>(in());
    auto weights = std::make_unique<std::vector<double>>(2, 1.0);
    auto adam = std::make_unique<tutti::adamw>(tutti::adamw{.learning_rate = .5});
    auto wires = std::make_unique<std::vector<cuda::device_span<const std::byte>>>(2, wire.read());
    auto feedback = std::make_unique<tutti::error_feedback<tutti::int8_block>>();
    const tutti::top_k tenth{.1};
    using const_spans = std::span<const cuda::device_span<const float>>;
    using const_wires = std::span<const cuda::device_span<const std::byte>>;

    cuda::reduce<tutti::sum, float>(on, {}, *spans, out.span());
    cuda::reduce_weighted<tutti::weighted_mean, float>(on, {}, *spans, *weights, out.span());
    cuda::reduce<float>(on, tutti::median{}, *spans, out.span());
    cuda::reduce<float>(on, tutti::trimmed_mean{0}, *spans, out.span());
    cuda::measure_distances<float>(on, *spans, distance);
    cuda::judge_norm<float>(on, *spans, norm);
    cuda::scale_and_cast(on, rows[0].read(), out.span(), norm.verdict());
    cuda::encode(on, codec, rows[0].read(), wire.span());
    cuda::encode(on, *feedback, {memory.read(), memory.span()}, out.span(), wire.span());
    cuda::decode_and_reduce(on, codec, tutti::mean{}, const_wires{*wires}, out.span());
    cuda::encode(on, tenth, rows[0].read(), kept.span(), largest);
    cuda::update(on, tutti::mean{}, const_spans{*spans}, *adam, 1, parameters(), 1.0f);
    cuda::decode_and_update(on, codec, tutti::mean{}, const_wires{*wires}, *adam, 2, parameters());
    cuda::collect(on, rows[0].read(), out.span(), true, 2.0f, 1.0f);

    for (auto& span : *spans) span = {nullptr, 0, 0};
    for (auto& span : *wires) span = {nullptr, 0, 0};
    for (double& w : *weights) w = -1;
    adam->learning_rate = -1;
    feedback->decay = -1;
  }
  std::vector<std::vector<float>> results() const {
    return {out.values(), values.values(), m.values(), v.values(), memory.values()};
  }
};

inline int waits_and_allocations() {
  int all = 0;
  for (const char* call : {"cudaMallocAsync", "cudaFreeAsync", "cudaMallocHost", "cudaFreeHost", "cudaHostRegister",
                           "cudaStreamSynchronize", "cudaEventSynchronize", "cudaEventQuery"})
    all += mock::calls(call);
  return all;
}

/// So many values that are nowhere.
template <class T> cuda::device_span<T> imagined(std::size_t n) {
  return {reinterpret_cast<T*>(std::uintptr_t{1} << 40), n, 0};
}

BOOST_AUTO_TEST_SUITE(cuda_traps)

// Captured work that keeps an address of the host; hidden waits and allocations; first use within a capture.
BOOST_AUTO_TEST_CASE(facades_may_be_captured_at_once_and_keep_nothing_of_the_host) {
  std::vector<std::vector<std::vector<float>>> all;
  for (const bool captured : {false, true})
    for (const std::uint64_t seed : {1u, 2u}) {
      mock::begin(seed);
      setup of{1000};
      if (captured) of.on.wait(); // what was copied there is done
      mock::capture(of.on.handle(), captured);
      const int before = waits_and_allocations();
      of.call_all();
      BOOST_CHECK_EQUAL(waits_and_allocations(), before);
      BOOST_CHECK(!mock::is_invalidated(of.on.handle()));
      mock::capture(of.on.handle(), false);
      all.push_back(of.results());
      BOOST_CHECK(all.back() == all.front());
      BOOST_CHECK(of.kept.values() != std::vector<std::byte>(of.kept.span().size()));
    }
}

// A launch with no blocks; results that are left as they were.
BOOST_AUTO_TEST_CASE(of_no_values_a_result_is_written_all_the_same) {
  mock::begin();
  setup of{0};
  const auto poison = [&](auto span) {
    cuda::check(cudaMemsetAsync(const_cast<void*>(static_cast<const void*>(span.data())), 0xa5,
                                span.size() * sizeof(*span.data()), of.on.handle()),
                "cudaMemsetAsync");
  };
  poison(of.norm.verdict());
  poison(of.distance.matrix());
  of.call_all();
  cuda::norm_verdict verdict;
  double matrix[4];
  const auto fetch = [&](void* to, const void* from, std::size_t bytes) {
    cuda::check(cudaMemcpyAsync(to, from, bytes, cudaMemcpyDefault, of.on.handle()), "cudaMemcpyAsync");
  };
  fetch(&verdict, of.norm.verdict().data(), sizeof verdict);
  fetch(matrix, of.distance.matrix().data(), sizeof matrix);
  of.on.wait();
  BOOST_CHECK(verdict.squares == 0 && verdict.factor == 1 && verdict.finite == 1);
  for (const double d : matrix) BOOST_CHECK_EQUAL(d, 0);
}

// Counts that are narrowed to 32 bits.
BOOST_AUTO_TEST_CASE(more_values_than_an_int_counts_are_counted) {
  namespace kernels = tutti::detail::kernels;
  constexpr std::size_t chunk = 4 * cuda::tuning::lanes * kernels::chunk_rounds;
  for (const std::size_t n : {(std::size_t{1} << 31) + 5, (std::size_t{1} << 32) + 1}) {
    const auto big = imagined<const float>(n);
    const reads three{big, imagined<const float>(0), big};
    const auto list = cuda::detail::listed(std::span<const cuda::device_span<const float>>{three}, 0);
    BOOST_CHECK_EQUAL(list.chunks_before[3], 2 * ((n + chunk - 1) / chunk));
    BOOST_CHECK_EQUAL(list.n[2], n);
    const auto rows = cuda::detail::rows_of<2>(std::span<const cuda::device_span<const float>>{three}.first(1),
                                               imagined<float>(n), 1);
    BOOST_CHECK(rows.n == n && rows.head == 0);
    BOOST_CHECK_EQUAL(cuda::detail::column_of(big, imagined<float>(n)).n, n);
    BOOST_CHECK_EQUAL(cuda::top_k_workspace::tiles_of(n), n / 2048 + 1);
    BOOST_CHECK_EQUAL(cuda::detail::warps_for<256>(n), cuda::tuning::most_blocks);
    BOOST_CHECK_EQUAL(tutti::int8_block{}.bytes<float>(n), n + 4 * ((n + 255) / 256));
  }
  mock::begin();
  const setup of{8};
  cuda::top_k_workspace small{of.on, 8};
  const tutti::top_k codec{.1};
  const std::size_t most = std::size_t{1} << 32;
  const cuda::device_span<std::byte> wire{reinterpret_cast<std::byte*>(std::uintptr_t{1} << 44),
                                          codec.bytes<float>(most), 0};
  BOOST_CHECK(says(refusal([&] { cuda::encode(of.on, codec, imagined<const float>(most), wire, small); }),
                   "top_k has indices of 32 bits, and a message more values - use smaller buckets"));
}

// Results that overlap with what they are made of.
BOOST_AUTO_TEST_CASE(spans_that_overlap_are_refused) {
  mock::begin();
  setup of{64};
  const auto parts = of.values.span();
  const std::string sentence = "two spans overlap of which one is changed - give each memory of its own";
  const int launched = cuda::detail::launches;
  const auto expect = [&](auto&& call) { BOOST_CHECK(says(refusal(call), sentence)); };
  const auto update = [&](const cuda::device_parameters<float, 2>& to, cuda::device_span<const float> by) {
    const reads in{by};
    cuda::update(of.on, tutti::mean{}, std::span<const cuda::device_span<const float>>{in}, tutti::adamw{}, 1, to, 1.f);
  };
  expect([&] { update({parts, {parts, of.v.span()}}, of.rows[0].read()); });
  expect([&] { update({parts, {of.m.span(), of.m.span()}}, of.rows[0].read()); });
  expect([&] { update(of.parameters(), of.v.read()); });
  expect([&] { update({parts.first(32), {of.m.span().first(32), of.v.span().first(32)}}, parts.subspan(31, 32)); });
  const auto as_bytes = [](auto span, std::size_t bytes) {
    return cuda::device_span<std::byte>{reinterpret_cast<std::byte*>(span.data()), bytes, span.device()};
  };
  const std::size_t bytes = of.codec.bytes<float>(64);
  expect([&] { cuda::encode(of.on, of.codec, of.out.read(), as_bytes(of.out.span(), bytes)); });
  const tutti::error_feedback<tutti::int8_block> feedback;
  expect([&] {
    cuda::encode(of.on, feedback, {of.memory.read(), of.m.span()}, of.out.span(), as_bytes(of.memory.span(), bytes));
  });
  expect([&] { cuda::encode(of.on, feedback, {of.out.read(), of.m.span()}, of.out.span(), of.wire.span()); });
  expect([&] {
    const std::vector<cuda::device_span<const std::byte>> wires{as_bytes(of.v.span(), bytes)};
    cuda::decode_and_update(of.on, of.codec, tutti::mean{}, std::span<const cuda::device_span<const std::byte>>{wires},
                            tutti::adamw{}, 1, of.parameters());
  });
  expect([&] {
    cuda::encode(of.on, tutti::top_k{.1}, of.out.read(), as_bytes(of.out.span(), tutti::top_k{.1}.bytes<float>(64)),
                 of.largest);
  });
  BOOST_CHECK(
      says(refusal([&] { cuda::collect(of.on, of.values.read().first(32), parts.subspan(1, 32), false, 1.f, 1.f); }),
           "a result overlaps with a part of what it is made of"));
  BOOST_CHECK_EQUAL(cuda::detail::launches, launched);
}

// A workspace, or a stream, of another device; the device that happens to be current.
BOOST_AUTO_TEST_CASE(what_is_current_does_not_matter_and_other_devices_are_refused) {
  const auto right = [] {
    mock::begin();
    setup of{100};
    of.call_all();
    return of.results();
  }();
  mock::begin();
  setup again{100};
  std::thread{[&] {
    const cuda::current_device other{1};
    again.call_all();
    int now = -1;
    cudaGetDevice(&now);
    BOOST_CHECK_EQUAL(now, 1);
  }}.join();
  BOOST_CHECK(again.results() == right);
  const cuda::stream elsewhere{1};
  cuda::norm_workspace norm{elsewhere, 2};
  cuda::distance_workspace distance{elsewhere};
  cuda::top_k_workspace largest{elsewhere, 100};
  const std::string sentence = "a span is on device 1 and the stream on device 0";
  BOOST_CHECK(says(refusal([&] { cuda::judge_norm<float>(again.on, again.in(), norm); }), sentence));
  BOOST_CHECK(says(refusal([&] { cuda::measure_distances<float>(again.on, again.in(), distance); }), sentence));
  BOOST_CHECK(
      says(refusal([&] { cuda::encode(again.on, tutti::top_k{.1}, again.rows[0].read(), again.kept.span(), largest); }),
           sentence));
}

// Memory whose kind is guessed.
BOOST_AUTO_TEST_CASE(memory_that_was_given_back_is_no_devices_memory) {
  mock::begin();
  const cuda::stream on;
  float* gone = nullptr;
  {
    const cuda::device_buffer<float> buffer{on, 16};
    gone = buffer.span().data();
    BOOST_CHECK_EQUAL((cuda::device_span<float>{gone, 16}.device()), 0);
  }
  on.wait();
  BOOST_CHECK(says(refusal([&] { cuda::device_span<float>{gone, 16}; }), "this is memory of the host"));
}

// A process that was forked after CUDA had begun.
BOOST_AUTO_TEST_CASE(in_a_process_where_cuda_cannot_begin_it_says_so) {
  mock::begin();
  for (const char* call : {"cudaGetDeviceCount", "cudaGetDevice", "cudaStreamCreateWithFlags"}) {
    mock::fail(call, cudaErrorInitializationError);
    const auto why = refusal([] {
      static_cast<void>(cuda::device_count());
      const cuda::stream on;
    });
    BOOST_CHECK(says(why, call) && says(why, "unsupported: CUDA does not begin in this process: one that was forked"));
    BOOST_CHECK_EQUAL(cudaPeekAtLastError(), cudaSuccess);
  }
}

// Owners of device memory that outlive the runtime.
BOOST_AUTO_TEST_CASE(whatever_owns_memory_is_silent_after_the_runtime_has_ended) {
  mock::begin();
  {
    std::optional<setup> of;
    of.emplace(100);
    const cuda::staging through{2};
    const cuda::event moment{of->on};
    mock::unload();
  }
  BOOST_CHECK_GT(mock::calls("cudaFreeAsync"), 5);
  mock::begin();
}

BOOST_AUTO_TEST_SUITE_END()

} // namespace cuda_known_traps
