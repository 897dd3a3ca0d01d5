// Ranks that share a device, on the mock of the runtime.
#include "cuda_mock/mocked.hpp"
#include "kernels/memory.hpp"

#include <tutti/communicators/threads.hpp>
#include <tutti/cuda/direct.cuh>
#include <tutti/reducers/elementary.hpp>
#include <tutti/topologies/direct.hpp>

#include <boost/test/unit_test.hpp>

#include <atomic>
#include <string>
#include <vector>

namespace directly {

using namespace mocked;
using kernel_memory::random_values;

/// Three calls one behind the other, each of values that are written late; whether all have the bits of the host.
template <class R> bool equals_the_host(const R& reducer, int ranks, std::size_t n, std::uint64_t seed) {
  mock::begin(seed);
  std::atomic<int> right = 0;
  tutti::threads::run(ranks, [&](auto& world) {
    const cuda::stream on;
    const placed<float> data{on, std::vector<float>(n, -1)};
    float* const values = data.span().data();
    std::vector<float> wanted(n, -1);
    for (int call = 0; call < 3; ++call) {
      const auto more = random_values<float>(n, std::uint64_t(10 * call + world.rank()), false);
      for (std::size_t i = 0; i < n; ++i) wanted[i] = wanted[i] * 0.5f + more[i];
      tutti::all_reduce(world, wanted, reducer, tutti::direct{});
      mock::enqueue(on.handle(), [=] {
        for (std::size_t i = 0; i < n; ++i) values[i] = values[i] * 0.5f + more[i];
      });
      cuda::direct_all_reduce(world, on, reducer, data.span());
    }
    right += data.values() == wanted;
  });
  return right == ranks && mock::left_over() == 0 && mock::races().empty();
}

BOOST_AUTO_TEST_SUITE(cuda_direct)

BOOST_AUTO_TEST_CASE(ranks_read_each_others_memory) {
  for (const std::uint64_t seed : {1u, 2u, 3u, 4u, 5u}) BOOST_CHECK(equals_the_host(tutti::mean{}, 3, 1000, seed));
  for (const std::size_t n : {0u, 1u, 4u}) BOOST_CHECK(equals_the_host(tutti::sum{}, 3, n, n + 6));
  BOOST_CHECK(equals_the_host(tutti::sum{}, 1, 10, 9));
  BOOST_CHECK(equals_the_host(tutti::median{}, 4, 50, 10));
}

BOOST_AUTO_TEST_CASE(what_it_refuses) {
  mock::begin();
  std::vector<cuda::detail::device_rank> ranks(3, {1, 0, 0, 8, 0});
  const auto refused = [&] { return refusal([&] { cuda::detail::check_ranks("call", ranks, 0); }); };
  BOOST_CHECK_EQUAL(refused(), "");
  ranks[2].n = 9;
  BOOST_CHECK(says(refused(), "mismatch on rank 0 (peer 2): this rank gives 8 values, and rank 2 gives 9"));
  ranks[1].device = 1;
  BOOST_CHECK(
      says(refused(), "unsupported on rank 0 (peer 1): ranks are on devices 0 and 1 - use a cuda::peer_buffer"));
  ranks[1].process = 2;
  BOOST_CHECK(says(refused(), "ranks are processes, whose device memory others do not see - use a cuda::peer_buffer"));
  tutti::threads::run(1, [&](auto& world) {
    const cuda::stream on;
    const placed<float> data{on, {1}};
    mock::capture(on.handle(), true);
    BOOST_CHECK(says(refusal([&] { cuda::direct_all_reduce(world, on, tutti::sum{}, data.span()); }),
                     "this stream is being captured - ranks tell each other on the host where their data is"));
  });
}

BOOST_AUTO_TEST_SUITE_END()

} // namespace directly
