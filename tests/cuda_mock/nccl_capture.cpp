// Steps that are work of streams alone are captured; what is not says so.
#include "cuda_mock/aware.hpp"
#include "cuda_mock/nccl_mock.hpp"
#include "cuda_mock/trained.hpp"
#include "training/scratch.hpp"

#include <tutti/cuda/nccl.hpp>
#include <tutti/topologies/ring.hpp>
#include <tutti/training/checkpoint.hpp>

#include <boost/test/unit_test.hpp>

#include <string>
#include <vector>

namespace captured {

using namespace mocked;
using tensors = std::vector<cuda::device_tensor<float>>;
using gradients = std::vector<cuda::device_tensor<const float>>;

const tutti::training_options passing{.bucket_bytes = 8, .non_finite = tutti::non_finite::pass};

/// What a step says that is captured.
template <class Comm, class Optimizer, class... Parts>
std::string captured_step(Comm&& comm, const Optimizer& by, const tutti::training_options& how, const Parts&... parts) {
  tutti::strategy strategy{comm, tutti::synchronous{}, parts...};
  const cuda::stream on;
  const placed<float> values{on, {1, 2, 3}}, gradient{on, {1, 1, 1}};
  auto trainer = strategy.bind(tensors{{"w", values.span()}}, by, how, cuda::device_memory{on});
  const gradients given{{"w", gradient.read()}};
  trainer.step(given);
  mock::capture(on.handle(), true);
  const std::string said = refusal([&] { trainer.step(given); });
  mock::capture(on.handle(), false);
  return said;
}

BOOST_AUTO_TEST_SUITE(cuda_nccl_capture)

BOOST_AUTO_TEST_CASE(a_captured_step_neither_waits_nor_allocates) {
  mock::begin(1);
  mock_nccl::begin();
  const auto disturb = [] {
    int n = 0;
    for (const char* call : {"cudaMallocAsync", "cudaMalloc", "cudaMallocHost", "cudaHostRegister",
                             "cudaStreamSynchronize", "cudaEventSynchronize", "cudaEventQuery"})
      n += mock::calls(call);
    return n;
  };
  tutti::threads::run(2, [&](auto& world) {
    tutti::strategy strategy{cuda::nccl_communicator{world, 0}, tutti::synchronous{}, tutti::ring{}};
    const cuda::stream on;
    const placed<float> values{on, {8, 8, 8}}, gradient{on, std::vector<float>(3, float(1 + 2 * world.rank()))};
    auto trainer = strategy.bind(tensors{{"w", values.span()}}, tutti::sgd{.learning_rate = 1}, passing,
                                 cuda::device_memory{on});
    const gradients given{{"w", gradient.read()}};
    trainer.step(given);
    tutti::barrier(world);
    mock::capture(on.handle(), true);
    const int before = disturb();
    tutti::barrier(world);
    trainer.step(given);
    tutti::barrier(world);
    BOOST_CHECK_EQUAL(disturb(), before);
    BOOST_CHECK(!mock::is_invalidated(on.handle()));
    tutti::barrier(world);
    mock::capture(on.handle(), false);
    tutti::barrier(world);
    BOOST_CHECK(values.values() == (std::vector<float>{4, 4, 4}));
  });
  for (const auto& race : mock::races()) BOOST_ERROR(race);
}

BOOST_AUTO_TEST_CASE(a_graph_repeats_its_step) {
  mock::begin(2);
  mock_nccl::begin();
  tutti::threads::run(1, [&](auto& world) {
    tutti::strategy strategy{cuda::nccl_communicator{world, 0}, tutti::synchronous{}, tutti::ring{}};
    const cuda::stream on;
    const placed<float> values{on, {8, 4}}, gradient{on, {1, 2}};
    auto trainer = strategy.bind(tensors{{"w", values.span()}}, tutti::sgd{.learning_rate = .5}, passing,
                                 cuda::device_memory{on});
    {
      const gradients given{{"w", gradient.read()}};
      trainer.step(given);
      mock::capture(on.handle(), true);
      trainer.step(given);
      mock::capture(on.handle(), false);
    } // what the host held of it is gone
    BOOST_CHECK(values.values() == (std::vector<float>{7, 2}));
    for (int k = 0; k < 3; ++k) mock::replay(on.handle());
    BOOST_CHECK(values.values() == (std::vector<float>{5.5, -1}));
    BOOST_CHECK_EQUAL(trainer.steps(), 2); // which knows of no launch
    trainer.replayed(3);
    BOOST_CHECK_EQUAL(trainer.steps(), 5);

    std::vector<float> on_host{8, 4};
    tutti::strategy host_strategy{world, tutti::synchronous{}, tutti::ring{}};
    const std::vector<tutti::tensor<float>> parameters{{"w", on_host}};
    auto by_hand = host_strategy.bind(parameters, tutti::sgd{.learning_rate = .5}, passing);
    const std::vector<float> ones{1, 2};
    for (int k = 0; k < 5; ++k) by_hand.step(std::vector<tutti::tensor<const float>>{{"w", ones}});
    const scratch files;
    trainer.save(files / "replayed");
    by_hand.save(files / "by hand");
    for (const char* name : {"/model.safetensors", "/state.safetensors"})
      BOOST_CHECK(file_bytes(files / "replayed" + name) == file_bytes(files / "by hand" + name));

    BOOST_CHECK(says(refusal([&] { trainer.replayed(-1); }), "-1 launches were given"));
    BOOST_CHECK(says(refusal([&] { by_hand.replayed(1); }), "no step of this trainer was captured"));
    BOOST_CHECK_EQUAL(trainer.steps(), 5);
  });
}
BOOST_AUTO_TEST_CASE(steps_that_differ_are_not_captured) {
  mock::begin(4);
  mock_nccl::begin();
  tutti::threads::run(1, [&](auto& world) {
    tutti::strategy strategy{cuda::nccl_communicator{world, 0}, tutti::local_sgd{.period = 2}, tutti::ring{}};
    const cuda::stream on;
    const placed<float> values{on, {8, 4}}, gradient{on, {1, 2}};
    auto trainer = strategy.bind(tensors{{"w", values.span()}}, tutti::sgd{}, passing, cuda::device_memory{on});
    mock::capture(on.handle(), true);
    const std::string said = refusal([&] { trainer.step(gradients{{"w", gradient.read()}}); });
    mock::capture(on.handle(), false);
    BOOST_CHECK_MESSAGE(says(said, "unsupported") && says(said, "a graph repeats one of them"), said);
  });
}

BOOST_AUTO_TEST_CASE(what_is_no_work_of_streams_says_so) {
  const auto refused = [](const std::string& why, auto&& call) {
    mock::begin(3);
    mock_nccl::begin();
    tutti::threads::run(1, [&](auto& world) {
      const std::string said = call(world);
      BOOST_CHECK_MESSAGE(says(said, "unsupported") && says(said, "this stream is being captured - " + why), said);
    });
  };
  refused("ranks tell each other on the host",
          [](auto& world) { return captured_step(world, tutti::sgd{}, passing); });
  refused("messages of the host",
          [](auto& world) { return captured_step(aware{world, awareness{}}, tutti::sgd{}, passing); });
  refused("the host waits for the verdict on every step",
          [](auto& world) { return captured_step(cuda::nccl_communicator{world, 0}, tutti::sgd{}, {}); });
  refused("what its codec remembers is another in every step", [](auto& world) {
    return captured_step(cuda::nccl_communicator{world, 0}, tutti::sgd{}, passing,
                         tutti::error_feedback{tutti::int8_block{}});
  });
  refused("this optimizer has other numbers in every step",
          [](auto& world) { return captured_step(cuda::nccl_communicator{world, 0}, tutti::adam{}, passing); });
}

BOOST_AUTO_TEST_SUITE_END()

} // namespace captured
