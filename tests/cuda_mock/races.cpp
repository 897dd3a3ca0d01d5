// What the mock finds by vector clocks, and that what stands on it leaves nothing to be found.
#include "cuda_mock/mocked.hpp"

#include <tutti/communicators/self.hpp>
#include <tutti/cuda/staging.hpp>

#include <boost/test/unit_test.hpp>

#include <optional>
#include <string>
#include <thread>
#include <vector>

namespace races {

using namespace mocked;

/// 64 bytes that `first` writes and `second` then reads, and what is between the two.
template <class Between> std::vector<std::string> found(Between&& between) {
  mock::begin();
  const cuda::stream first, second;
  const cuda::device_buffer<char> from{first, 64}, to{second, 64};
  cuda::check(cudaMemsetAsync(from.span().data(), 1, 64, first.handle()), "cudaMemsetAsync");
  between(first, second);
  cuda::check(
      cudaMemcpyAsync(to.span().data(), from.span().data(), 64, cudaMemcpyDeviceToDevice, second.handle()), "copy");
  first.wait();
  second.wait();
  return mock::races();
}

BOOST_AUTO_TEST_SUITE(cuda_races)

BOOST_AUTO_TEST_CASE(a_reader_that_does_not_wait_for_the_writer_is_found) {
  const auto nothing = found([](const auto&, const auto&) {});
  BOOST_REQUIRE_EQUAL(nothing.size(), 1u);
  BOOST_CHECK_EQUAL(nothing[0], "cudaMemcpyAsync does not wait for cudaMemsetAsync");
  BOOST_CHECK_EQUAL(found([](const auto& a, const auto& b) { a.wait_for(b); }).size(), 1u); // the wrong way round
}

BOOST_AUTO_TEST_CASE(order_comes_from_events_from_streams_between_and_from_the_host) {
  BOOST_CHECK(found([](const auto& a, const auto& b) { b.wait_for(a); }).empty());
  BOOST_CHECK(found([](const auto& a, const auto& b) {
                const cuda::stream between;
                between.wait_for(a);
                b.wait_for(between);
              }).empty());
  BOOST_CHECK(found([](const auto& a, const auto&) { a.wait(); }).empty());
  BOOST_CHECK(found([](const auto& a, const auto&) { cuda::event{a}.wait(); }).empty());
}

BOOST_AUTO_TEST_CASE(readers_do_not_wait_for_each_other_nor_for_what_lies_apart) {
  mock::begin();
  const cuda::stream one, other;
  const cuda::device_buffer<char> data{one, 64};
  char* const bytes = data.span().data();
  cuda::check(cudaMemsetAsync(bytes, 1, 32, one.handle()), "cudaMemsetAsync");
  cuda::check(cudaMemsetAsync(bytes + 32, 1, 32, other.handle()), "cudaMemsetAsync");
  BOOST_CHECK(mock::races().empty());
  one.wait();
  other.wait();
  for (const cuda::stream* on : {&one, &other}) {
    mock::enqueue(on->handle(), [] {});
    mock::touches(on->handle(), bytes, 64, false, "a reader");
  }
  BOOST_CHECK(mock::races().empty());
  mock::touches(other.handle(), bytes, 1, true, "a writer"); // one's reader goes on
  BOOST_CHECK_EQUAL(mock::races().size(), 1u);
}

BOOST_AUTO_TEST_CASE(memory_is_given_back_behind_the_last_stream_that_used_it) {
  for (const bool says_so : {false, true}) {
    mock::begin();
    const cuda::stream home, other;
    {
      cuda::device_buffer<int> buffer{home, 64};
      other.wait_for(home);
      mock::touches(other.handle(), buffer.span().data(), 256, false, "a collective");
      if (says_so) buffer.used_on(other);
    }
    const std::vector<std::string> all = mock::races();
    BOOST_CHECK_EQUAL(all.size(), says_so ? 0u : 1u);
    if (!says_so) BOOST_CHECK_EQUAL(all.at(0), "cudaFreeAsync does not wait for a collective");
  }
}

BOOST_AUTO_TEST_CASE(pinned_memory_is_not_used_again_nor_freed_before_the_copy_is_over) {
  mock::begin();
  const cuda::stream on, other;
  const placed<char> data{on, std::vector<char>(64)}, more{other, std::vector<char>(64)};
  on.wait();
  other.wait();
  {
    cuda::detail::host_slot slot{64};
    slot.copy(on, slot.data(), data.span().data(), 64, cudaMemcpyDeviceToHost);
    slot.wait();
    slot.copy(other, slot.data(), more.span().data(), 64, cudaMemcpyDeviceToHost);
  } // waits for itself
  BOOST_CHECK(mock::races().empty());
  cuda::detail::host_slot slot{64};
  slot.copy(on, slot.data(), data.span().data(), 64, cudaMemcpyDeviceToHost);
  slot.copy(other, slot.data(), more.span().data(), 64, cudaMemcpyDeviceToHost);
  BOOST_CHECK_EQUAL(mock::races().size(), 1u);
}

BOOST_AUTO_TEST_CASE(staging_leaves_no_race) {
  mock::begin();
  tutti::self alone;
  const cuda::stream on;
  cuda::staging through{2};
  const placed<float> data{on, std::vector<float>(5 * (cuda::staging::chunk_bytes / sizeof(float)) / 2, 5)};
  cuda::all_reduce(alone, on, data.span(), through);
  on.wait();
  BOOST_CHECK(mock::races().empty());
}

BOOST_AUTO_TEST_CASE(looking_and_waiting_leave_a_capture_of_another_thread_alone) {
  mock::begin();
  const cuda::stream captured, on;
  const cuda::event moment{on};
  mock::capture(captured.handle(), true);
  std::thread{[&] {
    while (!moment.is_over()) std::this_thread::yield();
    moment.wait();
    on.wait();
  }}.join();
  BOOST_CHECK(!mock::is_invalidated(captured.handle()));
  cudaEventQuery(moment.handle()); // the mock would show it
  BOOST_CHECK(mock::is_invalidated(captured.handle()));
}

BOOST_AUTO_TEST_CASE(every_thread_has_a_last_error_and_a_device_of_its_own) {
  mock::begin();
  BOOST_CHECK_EQUAL(cudaSetDevice(7), cudaErrorInvalidDevice);
  std::thread{[] {
    BOOST_CHECK_EQUAL(cudaPeekAtLastError(), cudaSuccess);
    const cuda::current_device held{1};
    BOOST_CHECK_EQUAL(cuda::stream{}.device(), 1);
  }}.join();
  BOOST_CHECK_EQUAL(cudaGetLastError(), cudaErrorInvalidDevice);
  BOOST_CHECK_EQUAL(cuda::stream{}.device(), 0);
}

BOOST_AUTO_TEST_SUITE_END()

} // namespace races
