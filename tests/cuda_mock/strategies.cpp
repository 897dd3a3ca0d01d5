// Strategies on device memory, on the mock of the runtime: the trainers of the host, and its bits, in whatever order
// streams work.
#include "cuda_mock/mocked.hpp"
#include "training/scratch.hpp"

#include <tutti/cuda/device_verbs.cuh>
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

using namespace mocked;
using model = std::vector<std::vector<float>>;

const std::size_t lengths[] = {5, 0, 300, 41};

/// Whether rank 1's gradient overflows in step 1.
bool overflows = false;

/// Of a step, as a rank computes it from its parameters.
template <class V> std::vector<V> gradient_at(const V* values, std::size_t n, int rank, int step) {
  std::vector<V> g;
  for (std::size_t i = 0; i < n; ++i)
    g.push_back(tutti::element_cast<V>(tutti::element_cast<float>(values[i]) * .5f +
                                       float(rank + 1) * float(int(i + std::size_t(step)) % 7)));
  if (overflows && rank == 1 && step == 1 && n > 0) g.back() = tutti::element_cast<V>(-INFINITY);
  return g;
}
/// In step 2 nobody has one of the third tensor.
bool has_gradient(std::size_t k, int step) {
  return step != 2 || k != 2;
}
template <class V> model as_floats(const std::vector<std::vector<V>>& values) {
  model all;
  for (const auto& v : values) {
    all.emplace_back();
    for (const V x : v) all.back().push_back(tutti::element_cast<float>(x));
  }
  return all;
}

/// A model of rank 0, and others that bind makes equal to it.
template <class V> std::vector<std::vector<V>> at_first(int rank) {
  std::vector<std::vector<V>> all;
  for (const std::size_t n : lengths) all.emplace_back(n, tutti::element_cast<V>(float(n) * float(1 - rank) / 8));
  return all;
}

template <class V> class host_side {
public:
  explicit host_side(int rank) : values_{at_first<V>(rank)} {}

  template <class Strategy, class Optimizer>
  auto bind(Strategy& strategy, const Optimizer& by, const tutti::training_options& how) {
    std::vector<tutti::tensor<V>> parameters;
    for (auto& v : values_) parameters.push_back({std::to_string(parameters.size()), v});
    return strategy.bind(parameters, by, how);
  }
  std::vector<tutti::tensor<const V>> gradients(int rank, int step) {
    given_.clear();
    std::vector<tutti::tensor<const V>> all;
    for (std::size_t k = 0; k < values_.size(); ++k) {
      given_.push_back(has_gradient(k, step) ? gradient_at(values_[k].data(), values_[k].size(), rank, step)
                                             : std::vector<V>{});
      all.push_back({std::to_string(k), given_.back()});
    }
    return all;
  }
  model values() const { return as_floats(values_); }

private:
  std::vector<std::vector<V>> values_, given_;
};

template <class V> class device_side {
public:
  explicit device_side(int rank) {
    for (const auto& v : at_first<V>(rank)) {
      values_.emplace_back(on_, v);
      gradients_.emplace_back(on_, v);
    }
  }

  template <class Strategy, class Optimizer>
  auto bind(Strategy& strategy, const Optimizer& by, const tutti::training_options& how) {
    std::vector<cuda::device_tensor<V>> parameters;
    for (const auto& v : values_) parameters.push_back({std::to_string(parameters.size()), v.span()});
    return strategy.bind(parameters, by, how, cuda::device_memory{on_});
  }
  std::vector<cuda::device_tensor<const V>> gradients(int rank, int step) {
    std::vector<cuda::device_tensor<const V>> all;
    for (std::size_t k = 0; k < values_.size(); ++k) {
      const auto from = values_[k].span(), to = gradients_[k].span();
      mock::enqueue(on_.handle(), [=] { // a backward pass, done late
        const auto g = gradient_at<V>(from.data(), from.size(), rank, step);
        std::copy(g.begin(), g.end(), to.data());
      });
      all.push_back({std::to_string(k), has_gradient(k, step) ? gradients_[k].read() : cuda::device_span<const V>{}});
    }
    return all;
  }
  model values() const {
    std::vector<std::vector<V>> all;
    for (const auto& v : values_) all.push_back(v.values());
    return as_floats(all);
  }

private:
  cuda::stream on_;
  std::vector<placed<V>> values_, gradients_;
};

/// What 2 ranks have come to, in rank order, and how long the last gradient was.
struct outcome {
  std::vector<model> models = std::vector<model>(2);
  double norm = 0;
};
template <class Side, class Make>
outcome trained(const Make& make, const tutti::training_options& how = {}, int micro_batches = 1) {
  outcome all;
  std::mutex lock;
  tutti::threads::run(2, [&](auto& world) {
    auto strategy = make(world);
    Side side{world.rank()};
    auto trainer = side.bind(strategy, tutti::adamw{.learning_rate = .1}, how);
    for (int s = 0; s < 6 && trainer.role() != tutti::role::server; ++s) {
      for (int m = 1; m < micro_batches; ++m) trainer.accumulate(side.gradients(world.rank(), s + m));
      trainer.step(side.gradients(world.rank(), s));
    }
    if (trainer.role() == tutti::role::server) trainer.serve();
    trainer.finalize();
    const std::lock_guard<std::mutex> held{lock};
    all.models[std::size_t(world.rank())] = side.values();
    all.norm = trainer.gradient_norm();
  });
  return all;
}
template <class V, class Make>
bool has_the_bits_of_the_host(const Make& make, std::uint64_t seed, const tutti::training_options& how = {},
                              int micro_batches = 1) {
  mock::begin(seed);
  const outcome right = trained<host_side<V>>(make, how, micro_batches),
                got = trained<device_side<V>>(make, how, micro_batches);
  return right.models == got.models && right.models[1] != std::vector<model>(2)[1] &&
         right.models[1] != as_floats(at_first<V>(0)) && mock::left_over() == 0;
}
template <class... Parts> auto strategy_of(const Parts&... parts) {
  return [=](auto& world) { return tutti::strategy{world, parts...}; };
}

BOOST_AUTO_TEST_SUITE(cuda_strategies)

BOOST_AUTO_TEST_CASE(a_step_on_the_device_has_the_bits_of_the_host) {
  const auto synchronous = strategy_of(tutti::synchronous{}, tutti::training_options{.bucket_bytes = 100});
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
  const auto make = strategy_of(tutti::synchronous{}, tutti::training_options{.bucket_bytes = 100});
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
    tutti::strategy strategy{world};
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
    BOOST_CHECK(says(step({{"w", good.read()}}), "this stream is being captured - what travels goes through the host"));
    mock::capture(on.handle(), false);
    BOOST_CHECK_EQUAL(step({{"w", good.read()}}), "");
    BOOST_CHECK(values.values()[0] < 0.6f);
  });
}

BOOST_AUTO_TEST_SUITE_END()

} // namespace strategies_on_devices
