// Ranks that reach each other's device memory, on the mock of the runtime: devices of one process, and handles.
#include "cuda_mock/mocked.hpp"
#include "kernels/memory.hpp"

#include <tutti/communicators/threads.hpp>
#include <tutti/cuda/direct.cuh>
#include <tutti/reducers/elementary.hpp>
#include <tutti/topologies/direct.hpp>

#include <boost/test/unit_test.hpp>

#include <algorithm>
#include <atomic>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

namespace peers {

using namespace mocked;
using kernel_memory::random_values;

template <class World> auto buffer_of(World& world, const cuda::stream& on, std::size_t n, bool by_handles) {
  return std::make_unique<cuda::peer_buffer<float>>(std::make_unique<tutti::control_on<World>>(world, tutti::options{}),
                                                    on, n, by_handles);
}

/// Two buffers one after the other, so that addresses come again, and two calls of each, of values that are written
/// late; whether all have the bits of the host.
template <class R>
bool equals_the_host(const R& reducer, int ranks, std::size_t n, bool by_handles, std::uint64_t seed) {
  mock::begin(seed);
  std::atomic<int> right = 0;
  tutti::threads::run(ranks, [&](auto& world) {
    const cuda::stream on{world.rank() % 2};
    bool good = true;
    for (int again = 0; again < 2; ++again) {
      const auto data = buffer_of(world, on, n, by_handles);
      float* const values = data->span().data();
      good = good && data->reaches();
      std::vector<float> wanted(n, 0), got(n);
      for (int call = 0; call < 2; ++call) {
        const auto more = random_values<float>(n, std::uint64_t(10 * call + world.rank()), false);
        for (std::size_t i = 0; i < n; ++i) wanted[i] = wanted[i] * 0.5f + more[i];
        mock::enqueue(on.handle(), [=] {
          for (std::size_t i = 0; i < n; ++i) values[i] = (call == 0 ? 0.f : values[i] * 0.5f) + more[i];
        });
        tutti::all_reduce(world, wanted, reducer, tutti::direct{});
        cuda::direct_all_reduce(reducer, *data);
      }
      if (n > 0)
        cuda::check(cudaMemcpyAsync(got.data(), values, n * sizeof(float), cudaMemcpyDefault, on.handle()), "copy");
      on.wait();
      good = good && got == wanted;
    }
    right += good;
  });
  for (const auto& race : mock::races()) BOOST_ERROR(race);
  return right == ranks && mock::left_over() == 0;
}

/// What is refused of two ranks on two devices, and whether their values are there all the same.
std::vector<std::string> refusals(bool by_handles) {
  std::vector<std::string> all(2);
  std::atomic<int> there = 0;
  tutti::threads::run(2, [&](auto& world) {
    const cuda::stream on{world.rank()};
    const auto data = buffer_of(world, on, 3, by_handles);
    there += !data->reaches() && data->span().size() == 3;
    all[std::size_t(world.rank())] = refusal([&] { cuda::direct_all_reduce(tutti::sum{}, *data); });
  });
  BOOST_CHECK_EQUAL(there, 2);
  BOOST_CHECK_EQUAL(mock::left_over(), 0);
  BOOST_CHECK_EQUAL(cudaPeekAtLastError(), cudaSuccess);
  return all;
}

BOOST_AUTO_TEST_SUITE(cuda_peers)

BOOST_AUTO_TEST_CASE(devices_read_each_others_memory) {
  for (const bool by_handles : {false, true}) {
    for (const std::uint64_t seed : {1u, 2u, 3u})
      BOOST_CHECK(equals_the_host(tutti::mean{}, 3, 1000, by_handles, seed));
    for (const std::size_t n : {0u, 1u, 5u}) BOOST_CHECK(equals_the_host(tutti::sum{}, 4, n, by_handles, n + 4));
    BOOST_CHECK(equals_the_host(tutti::median{}, 3, 50, by_handles, 9));
    BOOST_CHECK(equals_the_host(tutti::sum{}, 1, 10, by_handles, 10));
  }
}

BOOST_AUTO_TEST_CASE(where_one_rank_does_not_reach_another_all_know_why) {
  const auto all_say = [](const std::vector<std::string>& refused, const std::string& why) {
    for (const auto& text : refused)
      BOOST_CHECK_MESSAGE(says(text, "unsupported") && says(text, why) && says(text, "use cuda::staging"), text);
  };
  mock::begin();
  mock::have_peers(false);
  all_say(refusals(false), "does not reach device");
  for (const char* call : {"cudaDeviceCanAccessPeer", "cudaDeviceEnablePeerAccess"}) {
    mock::begin();
    mock::fail(call, cudaErrorUnknown);
    all_say(refusals(false), "as the mock was told");
  }
  for (const char* call :
       {"cudaIpcGetMemHandle", "cudaIpcOpenMemHandle", "cudaIpcGetEventHandle", "cudaIpcOpenEventHandle"}) {
    mock::begin();
    mock::fail(call, cudaErrorInvalidValue);
    all_say(refusals(true), call);
  }
}

BOOST_AUTO_TEST_CASE(what_peers_refuse) {
  mock::begin();
  std::atomic<int> refused = 0;
  tutti::threads::run(2, [&](auto& world) {
    const cuda::stream on;
    cuda::peer_buffer<float> data{world, on, 3};
    mock::capture(on.handle(), true);
    refused += says(refusal([&] { cuda::direct_all_reduce(tutti::sum{}, data); }),
                    "this stream is being captured - ranks tell each other on the host how far they are");
    tutti::barrier(world); // a capture's end is that of all
    mock::capture(on.handle(), false);
  });
  BOOST_CHECK_EQUAL(refused, 2);
  const auto all_say = [](std::size_t more, const char* code, const char* why) {
    std::vector<std::string> all(2);
    tutti::threads::run(2, [&](auto& world) {
      const cuda::stream on;
      const std::size_t n = 3 + more * std::size_t(world.rank());
      all[std::size_t(world.rank())] = refusal([&] { cuda::peer_buffer<float>{world, on, n}; });
    });
    for (const auto& text : all) BOOST_CHECK_MESSAGE(says(text, code) && says(text, why), text);
  };
  all_say(1, "mismatch", "give as many on every rank");
  mock::fail("cudaMalloc", cudaErrorMemoryAllocation); // of one of them
  all_say(0, "out_of_memory", "cudaMalloc");
}

BOOST_AUTO_TEST_SUITE_END()

} // namespace peers
