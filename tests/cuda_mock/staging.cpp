// Collectives of device memory over a communicator of the host, on the mock of the runtime.
#include "cuda_mock/mocked.hpp"

#include <tutti/communicators/self.hpp>
#include <tutti/communicators/threads.hpp>
#include <tutti/cuda/staging.hpp>
#include <tutti/reducers/elementary.hpp>
#include <tutti/topologies/direct.hpp>

#include <boost/test/unit_test.hpp>

#include <atomic>
#include <vector>

namespace staged {

using namespace mocked;

constexpr std::size_t chunk = cuda::staging::chunk_bytes / sizeof(float);

/// The mean of two ranks' values, which are written late; whether both had it right.
inline bool reduces(std::size_t n, std::uint64_t seed) {
  mock::begin(seed);
  std::atomic<int> right = 0;
  tutti::threads::run(2, [&](auto& world) {
    const cuda::stream on;
    cuda::staging through{2};
    const placed<float> data{on, std::vector<float>(n)};
    float* const values = data.span().data();
    const float mine = world.rank() == 0 ? 1.0f : 3.0f;
    mock::enqueue(on.handle(), [=] { // the producer: done late
      for (std::size_t i = 0; i < n; ++i) values[i] = mine * float(i % 1000);
    });
    cuda::all_reduce(world, on, data.span(), through, tutti::mean{}, tutti::direct{});
    mock::enqueue(on.handle(), [=] {
      for (std::size_t i = 0; i < n; ++i) values[i] += 1;
    });
    const auto all = data.values();
    bool good = true;
    for (std::size_t i = 0; i < n; ++i) good = good && all[i] == 2 * float(i % 1000) + 1;
    right += good;
  });
  return right == 2;
}

BOOST_AUTO_TEST_SUITE(cuda_staging)

BOOST_AUTO_TEST_CASE(ranks_reduce_what_their_devices_hold) {
  for (const std::size_t n : {std::size_t{0}, std::size_t{1}, chunk, 2 * chunk + 5})
    for (const std::uint64_t seed : {1, 2, 3}) BOOST_CHECK(reduces(n, seed));
  BOOST_CHECK_EQUAL(mock::left_over(), 0);
}

BOOST_AUTO_TEST_CASE(where_pinned_memory_runs_out_results_are_the_same) {
  for (const int fails : {0, 1, 2}) {
    mock::begin();
    for (int k = fails; k < 3; ++k)
      mock::fail("cudaMallocHost", cudaErrorMemoryAllocation, fails); // this one and all behind it
    tutti::self alone;
    const cuda::stream on;
    cuda::staging through{3};
    BOOST_CHECK_EQUAL(through.slots(), 2u);
    BOOST_CHECK_EQUAL(through.is_pinned(), fails == 2);
    BOOST_CHECK_EQUAL(cudaPeekAtLastError(), cudaSuccess);
    const placed<float> data{on, std::vector<float>(2 * chunk + 1, 5)};
    cuda::all_reduce(alone, on, data.span(), through);
    BOOST_CHECK(data.values() == std::vector<float>(2 * chunk + 1, 5));
  }
}

BOOST_AUTO_TEST_CASE(slots_are_not_freed_while_they_are_copied) {
  mock::begin(4);
  tutti::self alone;
  const cuda::stream on;
  const placed<float> data{on, std::vector<float>(chunk, 5)};
  {
    cuda::staging through;
    cuda::all_reduce(alone, on, data.span(), through);
  } // poisons the slots
  BOOST_CHECK(data.values() == std::vector<float>(chunk, 5));
}

BOOST_AUTO_TEST_CASE(what_staging_refuses) {
  mock::begin();
  BOOST_CHECK(says(refusal([] { cuda::staging{1}; }), "there are fewer than two slots"));
  tutti::self alone;
  const cuda::stream on, elsewhere{1};
  cuda::staging through;
  const placed<float> data{on, std::vector<float>(3)};
  BOOST_CHECK(says(refusal([&] { cuda::all_reduce(alone, elsewhere, data.span(), through); }),
                   "a span is on device 0 and the stream on device 1"));
  mock::capture(on.handle(), true);
  BOOST_CHECK(says(refusal([&] { cuda::all_reduce(alone, on, data.span(), through); }),
                   "unsupported: this stream is being captured - leave staging out of the capture"));
}

BOOST_AUTO_TEST_SUITE_END()

} // namespace staged
