// Streams, events and buffers on the mock of the runtime.
#include "cuda_mock/mocked.hpp"

#include <boost/test/unit_test.hpp>

#include <cstdint>
#include <string>
#include <thread>
#include <vector>

namespace streams {

using namespace mocked;

BOOST_AUTO_TEST_SUITE(cuda_streams)

BOOST_AUTO_TEST_CASE(default_streams_are_refused) {
  mock::begin();
  for (const cudaStream_t handle : {cudaStream_t{}, cudaStreamLegacy, cudaStreamPerThread})
    BOOST_CHECK(says(refusal([&] { cuda::stream::of(handle); }), "this is a default stream - give one that"));
  const cuda::stream own{1};
  const cuda::stream borrowed = cuda::stream::of(own.handle());
  BOOST_CHECK_EQUAL(borrowed.device(), 1);
}

BOOST_AUTO_TEST_CASE(objects_know_their_device_and_leave_the_callers_alone) {
  mock::begin();
  {
    const cuda::stream on{1};
    cuda::device_buffer<float> buffer{on, 5};
    BOOST_CHECK_EQUAL(buffer.span().device(), 1);
    std::thread{[gone = std::move(buffer)]() mutable { cuda::device_buffer<float> taken = std::move(gone); }}.join();
    const cuda::event moment{on};
    int now = -1;
    cudaGetDevice(&now);
    BOOST_CHECK_EQUAL(now, 0);
    on.wait();
    BOOST_CHECK(moment.is_over());
  }
  BOOST_CHECK_EQUAL(mock::left_over(), 0);
}

BOOST_AUTO_TEST_CASE(expected_answers_are_not_left_behind) {
  mock::begin();
  const cuda::stream on;
  mock::enqueue(on.handle(), [] {});
  const cuda::event moment{on};
  while (!moment.is_over()) moment.wait();
  mock::fail("cudaEventQuery", cudaErrorNotReady);
  BOOST_CHECK(!moment.is_over());
  BOOST_CHECK_EQUAL(cudaPeekAtLastError(), cudaSuccess);
  mock::fail("cudaGetDeviceCount", cudaErrorNoDevice);
  BOOST_CHECK_EQUAL(cuda::device_count(), 0);
  mock::fail("cudaGetDeviceCount", cudaErrorInsufficientDriver);
  BOOST_CHECK_EQUAL(cuda::device_count(), 0);
  BOOST_CHECK_EQUAL(cudaPeekAtLastError(), cudaSuccess);
  mock::fail("cudaStreamSynchronize", cudaErrorIllegalAddress);
  BOOST_CHECK(says(refusal([&] { on.wait(); }), "transport"));
  BOOST_CHECK_EQUAL(cudaPeekAtLastError(), cudaSuccess);
  for (const cudaError_t status : {cudaErrorNoKernelImageForDevice, cudaErrorUnsupportedPtxVersion})
    BOOST_CHECK(says(refusal([&] { cuda::check(status, "a launch"); }), "this program holds no code for this GPU"));
}

BOOST_AUTO_TEST_CASE(an_event_that_cannot_be_recorded_is_given_back) {
  mock::begin();
  {
    const cuda::stream on;
    mock::fail("cudaEventRecord", cudaErrorUnknown);
    BOOST_CHECK(says(refusal([&] { cuda::event{on}; }), "cudaEventRecord"));
  }
  BOOST_CHECK_EQUAL(mock::left_over(), 0);
}

BOOST_AUTO_TEST_CASE(memory_waits_for_the_last_stream_that_used_it) {
  const auto wrong_values = [](bool says_so) {
    int wrong = 0;
    for (std::uint64_t seed = 1; seed <= 40; ++seed) {
      mock::begin(seed);
      const cuda::stream home, other;
      std::vector<int> read(64);
      {
        cuda::device_buffer<int> buffer{home, 64};
        int* const data = buffer.span().data();
        mock::enqueue(home.handle(), [=] { std::fill(data, data + 64, 7); });
        other.wait_for(home);
        mock::enqueue(other.handle(), [data, &read] { read.assign(data, data + 64); });
        if (says_so) buffer.used_on(other);
      }
      const cuda::device_buffer<int> next{home, 64}; // at the same address
      int* const data = next.span().data();
      mock::enqueue(home.handle(), [=] { std::fill(data, data + 64, 9); });
      home.wait();
      other.wait();
      wrong += read != std::vector<int>(64, 7);
    }
    return wrong;
  };
  BOOST_CHECK_EQUAL(wrong_values(true), 0);
  BOOST_CHECK_GT(wrong_values(false), 0); // the mock would show it
}

BOOST_AUTO_TEST_CASE(what_cannot_be_had_says_so) {
  mock::begin();
  const cuda::stream on;
  mock::fail("cudaMallocAsync", cudaErrorMemoryAllocation);
  BOOST_CHECK(says(refusal([&] { cuda::device_buffer<float>{on, 8}; }), "cudaMallocAsync: out_of_memory"));
  BOOST_CHECK(says(refusal([&] { cuda::device_buffer<float>{on, ~std::size_t{0} / 2}; }), "out_of_memory"));
  BOOST_CHECK(says(refusal([&] { cuda::device_buffer<float>{on, std::size_t{1} << 50}; }), "out_of_memory"));
  BOOST_CHECK_EQUAL(cudaPeekAtLastError(), cudaSuccess);
  mock::capture(on.handle(), true);
  const int before = mock::calls("cudaMallocAsync");
  BOOST_CHECK(says(refusal([&] {
                     cuda::device_buffer<float>{on, 8};
                   }),
                   "unsupported: this stream is being captured - allocate before the capture begins"));
  BOOST_CHECK_EQUAL(mock::calls("cudaMallocAsync"), before);
}

BOOST_AUTO_TEST_CASE(nothing_is_allocated_for_no_values) {
  mock::begin();
  const cuda::stream on;
  const cuda::device_buffer<float> none{on, 0};
  BOOST_CHECK(none.span().empty());
  BOOST_CHECK_EQUAL(mock::calls("cudaMallocAsync"), 0);
}

BOOST_AUTO_TEST_CASE(clean_up_after_the_runtime_has_ended_is_silent) {
  mock::begin();
  {
    const cuda::stream on;
    cuda::device_buffer<float> buffer{on, 5};
    buffer.used_on(cuda::stream{});
    mock::unload();
  }
  BOOST_CHECK_EQUAL(mock::calls("cudaFreeAsync"), 1);
}

BOOST_AUTO_TEST_CASE(spans_ask_what_memory_it_is) {
  mock::begin();
  auto* const device = static_cast<float*>(mock::device_memory(64, 1));
  const cuda::device_span<float> span{device, 16};
  BOOST_CHECK_EQUAL(span.device(), 1);
  float on_stack[4];
  void* pinned = nullptr;
  cuda::check(cudaMallocHost(&pinned, 64), "cudaMallocHost");
  for (float* host : {on_stack, static_cast<float*>(pinned)})
    BOOST_CHECK(says(refusal([&] { cuda::device_span<float>{host, 4}; }), "this is memory of the host - copy it"));
  auto* const between = reinterpret_cast<float*>(reinterpret_cast<char*>(device) + 2);
  BOOST_CHECK(says(refusal([&] { cuda::device_span<float>{between, 4}; }), "not aligned to its elements"));
  BOOST_CHECK(says(refusal([&] { span.subspan(10, 7); }), "values 10 and 7 more of 16 were asked for"));
  BOOST_CHECK(says(refusal([&] { span.subspan(1, ~std::size_t{0}); }), "more of 16 were asked for")); // no overflow
  BOOST_CHECK_EQUAL(span.first(3).size(), 3u);
  BOOST_CHECK(cuda::device_span<float>(nullptr, 0).empty());
  cuda::check(cudaFreeHost(pinned), "cudaFreeHost");
}

BOOST_AUTO_TEST_SUITE_END()

} // namespace streams
