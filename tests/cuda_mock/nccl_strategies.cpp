// Strategies on device memory over NCCL: contributions travel from device to device.
#include "cuda_mock/nccl_mock.hpp"
#include "cuda_mock/trained.hpp"

#include <tutti/cuda/nccl.hpp>
#include <tutti/topologies/ring.hpp>

#include <boost/test/unit_test.hpp>

#include <cstdint>

namespace nccl_strategies {

using namespace mocked;
using strategies_on_devices::device_side, strategies_on_devices::host_side, strategies_on_devices::outcome,
    strategies_on_devices::trained;

/// Whether a trainer has the host's bits; how many bytes its steps have brought to the host.
template <class V, class... Parts> std::size_t steps_bring_to_host(std::uint64_t seed, const Parts&... parts) {
  const auto by_host = [=](auto& world) { return tutti::strategy{world, parts...}; };
  const auto by_nccl = [=](auto& world) { return tutti::strategy{cuda::nccl_communicator{world, 0}, parts...}; };
  const tutti::training_options how{.bucket_bytes = 500, .non_finite = tutti::non_finite::pass};
  mock::begin(seed);
  mock_nccl::begin();
  const outcome right = trained<host_side<V>>(by_host, how), got = trained<device_side<V>>(by_nccl, how);
  BOOST_CHECK(right.models == got.models);
  BOOST_CHECK_EQUAL(mock::left_over() + mock_nccl::left_over(), 0);
  for (const auto& race : mock::races()) BOOST_ERROR(race);
  return got.to_host;
}

BOOST_AUTO_TEST_SUITE(cuda_nccl_strategies)

BOOST_AUTO_TEST_CASE(buckets_travel_from_device_to_device) {
  for (const std::uint64_t seed : {1u, 2u, 3u})
    BOOST_CHECK_EQUAL(steps_bring_to_host<float>(seed, tutti::synchronous{}, tutti::ring{}), 0u);
  BOOST_CHECK_EQUAL(steps_bring_to_host<tutti::bfloat16>(4, tutti::synchronous{}, tutti::weighted_mean{}), 0u);
  BOOST_CHECK_EQUAL(steps_bring_to_host<double>(5, tutti::local_sgd{.period = 2}, tutti::direct{}), 0u);
  BOOST_CHECK_EQUAL(mock_nccl::calls("ncclAllReduce"), 0);
}
BOOST_AUTO_TEST_CASE(without_a_topology_they_are_reduced_by_nccl) {
  BOOST_CHECK_EQUAL(steps_bring_to_host<float>(1, tutti::synchronous{}), 0u);
  BOOST_CHECK_GT(mock_nccl::calls("ncclAllReduce"), 0);
}
BOOST_AUTO_TEST_CASE(owners_hand_out_over_nccl) {
  BOOST_CHECK_EQUAL(steps_bring_to_host<float>(1, tutti::sharded{}), 0u);
}
BOOST_AUTO_TEST_CASE(encoded_bytes_alone_travel_over_nccl) {
  BOOST_CHECK_EQUAL(steps_bring_to_host<float>(1, tutti::synchronous{}, tutti::cast<tutti::bfloat16>{}, tutti::ring{}),
                    0u);
  BOOST_CHECK_EQUAL(steps_bring_to_host<float>(2, tutti::synchronous{}, tutti::error_feedback{tutti::int8_block{}}), 0u);
}
BOOST_AUTO_TEST_CASE(what_kernels_do_not_take_goes_through_the_host) {
  BOOST_CHECK_GT(steps_bring_to_host<float>(1, tutti::synchronous{}, tutti::error_feedback{tutti::random_k{.1}}), 0u);
}
BOOST_AUTO_TEST_CASE(a_rank_that_fails_ends_the_step_of_all) {
  mock::begin(1);
  mock_nccl::begin();
  tutti::threads::run(2, [](auto& world) {
    tutti::strategy strategy{cuda::nccl_communicator{world, 0}, tutti::synchronous{}, tutti::ring{}};
    const cuda::stream on;
    const placed<float> values{on, {1, 2, 3}}, gradient{on, {1, 1, 1}};
    auto trainer = strategy.bind(std::vector<cuda::device_tensor<float>>{{"w", values.span()}}, tutti::sgd{},
                                 cuda::device_memory{on});
    const std::vector<cuda::device_tensor<const float>> gradients{{"w", gradient.read()}};
    trainer.step(gradients);
    if (world.rank() == 1) mock_nccl::async_error(1, ncclRemoteError);
    BOOST_CHECK(says(refusal([&] {
                       for (int s = 0; s < 1000; ++s) trainer.step(gradients);
                     }),
                     "peer_lost"));
  });
}

BOOST_AUTO_TEST_SUITE_END()

} // namespace nccl_strategies
