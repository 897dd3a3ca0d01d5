// Strategies on device memory that ranks reach: contributions are reduced where they are, and nothing is sent.
#include "cuda_mock/trained.hpp"

#include <tutti/topologies/ring.hpp>

#include <boost/test/unit_test.hpp>

#include <cstdint>
#include <string>
#include <vector>

namespace peer_strategies {

using namespace mocked;
using strategies_on_devices::device_side, strategies_on_devices::host_side, strategies_on_devices::outcome,
    strategies_on_devices::strategy_of, strategies_on_devices::trained;

/// Whether a trainer has the host's bits; how many bytes its steps have brought to the host.
template <class V, class... Parts> std::size_t steps_bring_to_host(const Parts&... parts) {
  const auto make = strategy_of(parts...);
  const tutti::training_options how{.bucket_bytes = 500, .non_finite = tutti::non_finite::pass};
  const outcome right = trained<host_side<V>>(make, how), got = trained<device_side<V>>(make, how);
  BOOST_CHECK(right.models == got.models);
  BOOST_CHECK_EQUAL(mock::left_over(), 0);
  BOOST_CHECK_EQUAL(cudaPeekAtLastError(), cudaSuccess);
  for (const auto& race : mock::races()) BOOST_ERROR(race);
  return got.to_host;
}

/// Rank 1 has device 1 while this lives.
struct on_two_devices {
  on_two_devices() { strategies_on_devices::apart = true; }
  ~on_two_devices() { strategies_on_devices::apart = false; }
};

BOOST_AUTO_TEST_SUITE(cuda_peer_strategies)

BOOST_AUTO_TEST_CASE(buckets_are_reduced_where_they_are) {
  for (const std::uint64_t seed : {1u, 2u, 3u}) {
    mock::begin(seed);
    BOOST_CHECK_EQUAL(steps_bring_to_host<float>(tutti::synchronous{}), 0u);
    const on_two_devices held;
    mock::begin(seed + 3);
    BOOST_CHECK_EQUAL(steps_bring_to_host<float>(tutti::synchronous{}), 0u);
  }
  BOOST_CHECK_EQUAL(steps_bring_to_host<tutti::bfloat16>(tutti::synchronous{}, tutti::weighted_mean{}), 0u);
  BOOST_CHECK_EQUAL(steps_bring_to_host<float>(tutti::local_sgd{.period = 2}, tutti::median{}), 0u);
}
BOOST_AUTO_TEST_CASE(owners_have_their_shards_and_are_copied_from) {
  for (const std::uint64_t seed : {1u, 2u, 3u}) {
    mock::begin(seed);
    const on_two_devices held;
    BOOST_CHECK_EQUAL(steps_bring_to_host<float>(tutti::sharded{}), 0u);
  }
}
BOOST_AUTO_TEST_CASE(other_ways_are_taken_where_ranks_may_not) {
  const on_two_devices held;
  mock::begin(1);
  mock::have_peers(false);
  BOOST_CHECK_GT(steps_bring_to_host<float>(tutti::synchronous{}), 0u);
  mock::begin(2);
  mock::fail("cudaDeviceEnablePeerAccess", cudaErrorUnknown, 1); // one of two: neither rank goes this way
  BOOST_CHECK_GT(steps_bring_to_host<float>(tutti::synchronous{}), 0u);
  mock::begin(3);
  BOOST_CHECK_GT(steps_bring_to_host<float>(tutti::synchronous{}, tutti::ring{}), 0u); // other bits
}
BOOST_AUTO_TEST_CASE(what_goes_wrong_among_peers_has_a_name_on_all_ranks) {
  using tensors = std::vector<cuda::device_tensor<float>>;
  using gradients = std::vector<cuda::device_tensor<const float>>;
  const auto said = [](auto&& before, auto&& meanwhile) {
    mock::begin(1);
    before();
    std::vector<std::string> all(2);
    tutti::threads::run(2, [&](auto& world) {
      all[std::size_t(world.rank())] = refusal([&] {
        tutti::strategy strategy{world, tutti::synchronous{}};
        const cuda::stream on;
        const placed<float> values{on, {1, 2, 3}}, gradient{on, {1, 1, 1}};
        auto trainer = strategy.bind(tensors{{"w", values.span()}}, tutti::sgd{}, cuda::device_memory{on});
        meanwhile(world, on);
        trainer.step(gradients{{"w", gradient.read()}});
      });
    });
    return all;
  };
  for (const auto& text : said([] { mock::fail("cudaMalloc", cudaErrorMemoryAllocation, 1); }, [](auto&, auto&) {}))
    BOOST_CHECK_MESSAGE(says(text, "out_of_memory") && says(text, "cudaMalloc"), text);
  const auto failing = [](auto& world, auto&) {
    tutti::barrier(world);
    if (world.rank() == 1) mock::fail("cudaMemcpyAsync", cudaErrorUnknown);
    tutti::barrier(world);
  };
  for (const auto& text : said([] {}, failing)) BOOST_CHECK_MESSAGE(says(text, "cudaMemcpyAsync"), text);
}

BOOST_AUTO_TEST_SUITE_END()

} // namespace peer_strategies
