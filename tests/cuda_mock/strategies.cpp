// Strategies on device memory, on the mock of the runtime: the trainers of the host, and its bits, in whatever order
// streams work.
#include "cuda_mock/trained.hpp"
#include "training/scratch.hpp"

#include <tutti/cuda/device_verbs.cuh>
#include <tutti/topologies/ring.hpp>
#include <tutti/tutti.hpp>
#include <tutti/training/checkpoint.hpp>

#include <boost/test/unit_test.hpp>

#include <array>
#include <cmath>
#include <cstdint>
#include <limits>
#include <mutex>
#include <string>
#include <string_view>
#include <vector>

namespace strategies_on_devices {

BOOST_AUTO_TEST_SUITE(cuda_strategies)

BOOST_AUTO_TEST_CASE(a_step_on_the_device_has_the_bits_of_the_host) {
  // Over a ring it goes through the host: ranks do not look at each other's memory for it.
  const auto synchronous =
      strategy_of(tutti::synchronous{}, tutti::ring{}, tutti::training_options{.bucket_bytes = 100});
  for (const std::uint64_t seed : {1u, 2u, 3u}) BOOST_CHECK(has_the_bits_of_the_host<float>(synchronous, seed));
  BOOST_CHECK(has_the_bits_of_the_host<float>(synchronous, 4, {.bucket_bytes = 64, .non_finite = tutti::non_finite::pass}));
  BOOST_CHECK(has_the_bits_of_the_host<float>(synchronous, 5, {.loss_scale = {.initial = 8}}, 3));
  BOOST_CHECK(has_the_bits_of_the_host<double>(synchronous, 6));
  BOOST_CHECK(has_the_bits_of_the_host<tutti::bfloat16>(synchronous, 7, {}, 2));
}
BOOST_AUTO_TEST_CASE(steps_that_are_skipped_count_for_nothing_on_the_device) {
  overflows = true;
  BOOST_CHECK(has_the_bits_of_the_host<float>(strategy_of(tutti::synchronous{}), 1,
                                              {.non_finite = tutti::non_finite::skip, .clip = 1e6}));
  BOOST_CHECK(has_the_bits_of_the_host<float>(strategy_of(tutti::local_sgd{.period = 2}), 2,
                                              {.loss_scale = tutti::dynamic_loss_scale}));
  overflows = false;
}
BOOST_AUTO_TEST_CASE(rooms_that_cannot_be_pinned_are_copied_all_the_same) {
  mock::begin(1);
  mock::fail("cudaHostRegister", cudaErrorMemoryAllocation, 0);
  const auto make = strategy_of(tutti::synchronous{}, tutti::ring{}, tutti::training_options{.bucket_bytes = 100});
  const outcome got = trained<device_side<float>>(make);
  BOOST_CHECK(got.models == trained<host_side<float>>(make).models);
  BOOST_CHECK_GT(mock::calls("cudaHostRegister"), mock::calls("cudaHostUnregister"));
  BOOST_CHECK(cudaPeekAtLastError() == cudaSuccess);
}
BOOST_AUTO_TEST_CASE(owners_hand_out_from_device_to_device) {
  BOOST_CHECK(has_the_bits_of_the_host<float>(strategy_of(tutti::sharded{}), 1, {.bucket_bytes = 500}));
}
BOOST_AUTO_TEST_CASE(replicas_that_train_apart_have_the_bits_of_the_host) {
  BOOST_CHECK(has_the_bits_of_the_host<float>(strategy_of(tutti::local_sgd{.period = 2}), 1));
  BOOST_CHECK(has_the_bits_of_the_host<float>(
      strategy_of(tutti::streaming_diloco{.period = 1, .fragments = 2, .delay = 1, .keep = .25}), 2));
}
BOOST_AUTO_TEST_CASE(graphs_mix_device_memory_with_the_bits_of_the_host) {
  BOOST_CHECK(has_the_bits_of_the_host<float>(strategy_of(tutti::gradient_tracking{}, tutti::ring_graph{}), 1));
  BOOST_CHECK(has_the_bits_of_the_host<float>(strategy_of(tutti::no_loco{.period = 2}), 2));
}
BOOST_AUTO_TEST_CASE(servers_keep_on_the_host_what_workers_have_on_the_device) {
  BOOST_CHECK(has_the_bits_of_the_host<float>(
      strategy_of(tutti::asynchronous{}, tutti::star{.servers = 1, .dedicated = true}), 1));
}

BOOST_AUTO_TEST_CASE(what_is_staged_is_encoded_before) {
  const auto encoded = strategy_of(tutti::error_feedback{tutti::int8_block{}});
  BOOST_CHECK(has_the_bits_of_the_host<float>(encoded, 1, {.bucket_bytes = 500}));
  BOOST_CHECK(mock::races().empty());
  const tutti::training_options how{.non_finite = tutti::non_finite::pass};
  const auto brought = [&](const auto& make) { return trained<device_side<float>>(make, how).to_host; };
  const std::size_t encoded_bytes = brought(encoded);
  const std::size_t bytes = brought(strategy_of(tutti::error_feedback{tutti::top_k{}})); // which the host encodes
  BOOST_CHECK_MESSAGE(2 * encoded_bytes < bytes, encoded_bytes << " of " << bytes);
}

BOOST_AUTO_TEST_CASE(norms_differ_in_their_last_bits_at_most) {
  mock::begin();
  const auto make = strategy_of(tutti::synchronous{});
  const tutti::training_options clips{.clip = .5};
  const outcome right = trained<host_side<float>>(make, clips), got = trained<device_side<float>>(make, clips);
  BOOST_CHECK_CLOSE_FRACTION(right.norm, got.norm, 1e-12);
  for (std::size_t k = 0; k < std::size(lengths); ++k)
    for (std::size_t i = 0; i < lengths[k]; ++i)
      BOOST_CHECK_CLOSE_FRACTION(right.models[0][k][i], got.models[0][k][i], 1e-6f);
}

BOOST_AUTO_TEST_CASE(checkpoints_are_the_same_wherever_a_model_is) {
  mock::begin();
  tutti::threads::run(1, [&](auto& world) {
    const scratch files;
    tutti::strategy strategy{world, tutti::diloco{.period = 2}};
    const auto steps = [&](auto& side, auto& trainer, int from, int to) {
      for (int s = from; s < to; ++s) trainer.step(side.gradients(0, s));
    };
    host_side<float> host{0}, resumed_host{0};
    device_side<float> device{0}, resumed{0};
    auto on_host = host.bind(strategy, tutti::adamw{}, {});
    auto on_device = device.bind(strategy, tutti::adamw{}, {});
    steps(host, on_host, 0, 3);
    steps(device, on_device, 0, 3);
    on_host.save(files / "host");
    on_device.save(files / "device");
    for (const char* name : {"/model.safetensors", "/state.safetensors"})
      BOOST_CHECK(file_bytes(files / "host" + name) == file_bytes(files / "device" + name));

    auto goes_on = resumed.bind(strategy, tutti::adamw{}, {});
    auto goes_on_here = resumed_host.bind(strategy, tutti::adamw{}, {});
    BOOST_CHECK(goes_on.load(files / "host").empty());
    BOOST_CHECK(goes_on_here.load(files / "device").empty());
    steps(host, on_host, 3, 6);
    steps(resumed, goes_on, 3, 6);
    steps(resumed_host, goes_on_here, 3, 6);
    BOOST_CHECK(resumed.values() == host.values());
    BOOST_CHECK(resumed_host.values() == host.values());
  });
}

BOOST_AUTO_TEST_CASE(gradients_may_be_made_where_they_are_reduced) {
  mock::begin();
  tutti::threads::run(1, [&](auto& world) {
    tutti::strategy strategy{world, tutti::ring{}};
    const cuda::stream on;
    std::vector<float> right{1, 2, 3};
    const std::vector<float> gradient{5, 6, 7};
    const placed<float> values{on, right}, given{on, gradient};
    std::vector<cuda::device_tensor<float>> parameters{{"values", values.span()}};
    auto host = strategy.bind(right, tutti::sgd{.learning_rate = .5});
    auto device = strategy.bind(parameters, tutti::sgd{.learning_rate = .5}, cuda::device_memory{on});
    host.step(gradient);
    device.step(std::vector<cuda::device_tensor<const float>>{{"values", given.read()}});
    const cuda::device_span<float> there = device.reduced(0);
    const int launched = cuda::detail::launches;
    mock::enqueue(on.handle(), [=] {
      for (std::size_t i = 0; i < 3; ++i) there.data()[i] += float(i);
    });
    for (std::size_t i = 0; i < 3; ++i) host.reduced(0)[i] += float(i);
    host.step(host.reduced(0));
    device.step(std::vector<cuda::device_tensor<float>>{{"values", there}});
    BOOST_CHECK(values.values() == right);
    BOOST_CHECK_EQUAL(cuda::detail::launches - launched, 3); // two for the verdict, one for the update
  });
}

BOOST_AUTO_TEST_CASE(a_step_that_fails_leaves_the_device_as_it_was) {
  mock::begin();
  tutti::threads::run(1, [&](auto& world) {
    tutti::strategy strategy{world, tutti::mean{}, tutti::synchronous{}};
    const cuda::stream on, other{1};
    const placed<float> values{on, {1, 2, 3}}, good{on, {1, 1, 1}}, far{other, {1, 1, 1}};
    const placed<float> bad{on, {1, std::numeric_limits<float>::quiet_NaN(), 1}};
    using tensors = std::vector<cuda::device_tensor<float>>;
    using gradients = std::vector<cuda::device_tensor<const float>>;
    BOOST_CHECK(says(refusal([&] {
                       static_cast<void>(
                           strategy.bind(tensors{{"w", far.span()}}, tutti::sgd{}, cuda::device_memory{on}));
                     }),
                     "\"w\": values are on device 1 and the stream on device 0 - copy the values there first"));
    tensors parameters{{"w", values.span()}};
    auto trainer = strategy.bind(parameters, tutti::adamw{.learning_rate = .5}, cuda::device_memory{on});
    const auto step = [&](const gradients& g) { return refusal([&] { trainer.step(g); }); };
    BOOST_CHECK(says(step({{"w", bad.read()}}), "the gradient of \"w\" on rank 0 holds a NaN or an infinity"));
    BOOST_CHECK(values.values() == (std::vector<float>{1, 2, 3}));
    BOOST_CHECK(says(step({}), "there are 0 gradients for 1 parameters"));
    BOOST_CHECK(says(step({{"w", good.read().first(2)}}), "has 2 values, the parameter has 3"));
    BOOST_CHECK(says(step({{"w", far.read()}}), "values are on device 1 and the stream on device 0"));
    mock::capture(on.handle(), true);
    BOOST_CHECK(says(step({{"w", good.read()}}), "this stream is being captured - ranks tell each other on the host"));
    mock::capture(on.handle(), false);
    BOOST_CHECK_EQUAL(step({{"w", good.read()}}), "");
    BOOST_CHECK(values.values()[0] < 0.6f);
  });
}

BOOST_AUTO_TEST_SUITE_END()

} // namespace strategies_on_devices
