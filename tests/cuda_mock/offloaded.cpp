// Strategies on device memory, on the mock of the runtime: the bits of the host, whatever order streams work in.
#include "cuda_mock/mocked.hpp"
#include "kernels/memory.hpp"

#include <tutti/communicators/threads.hpp>
#include <tutti/cuda/offloaded.hpp>
#include <tutti/optimizers/adam.hpp>
#include <tutti/strategy/strategy.hpp>
#include <tutti/sync/local_sgd.hpp>

#include <boost/test/unit_test.hpp>

#include <limits>
#include <mutex>
#include <string>
#include <vector>

namespace offloads {

using namespace mocked;
using model = std::vector<std::vector<float>>;

const std::size_t lengths[] = {5, 0, 300};

/// Of a step, as a rank computes it from its parameters.
std::vector<float> gradient_at(const std::vector<float>& values, int rank, int step) {
  std::vector<float> g;
  for (std::size_t i = 0; i < values.size(); ++i)
    g.push_back(values[i] * 0.5f + float(rank + 1) * float(int(i + std::size_t(step)) % 7));
  return g;
}
model at_first() {
  model all;
  for (const std::size_t n : lengths) all.emplace_back(n, float(n));
  return all;
}
/// In step 2 nobody has one of the last tensor.
bool has_gradient(std::size_t k, int step) {
  return step != 2 || k != 2;
}

constexpr int steps = 6;

template <class Strategy> model on_the_host(Strategy& strategy, int rank) {
  model values = at_first();
  std::vector<tutti::tensor<float>> parameters;
  for (std::size_t k = 0; k < values.size(); ++k) parameters.push_back({std::to_string(k), std::span{values[k]}});
  auto trainer = strategy.bind(parameters, tutti::adamw{.learning_rate = .1});
  for (int s = 0; s < steps; ++s) {
    model g;
    for (std::size_t k = 0; k < values.size(); ++k)
      g.push_back(has_gradient(k, s) ? gradient_at(values[k], rank, s) : std::vector<float>{});
    std::vector<tutti::tensor<const float>> gradients;
    for (std::size_t k = 0; k < values.size(); ++k)
      gradients.push_back({std::to_string(k), std::span<const float>{g[k]}});
    trainer.step(gradients);
  }
  trainer.finalize();
  return values;
}

template <class Strategy> model on_the_device(Strategy& strategy, int rank) {
  const cuda::stream on;
  std::vector<placed<float>> values, gradients;
  std::vector<cuda::device_tensor<float>> parameters;
  for (const auto& v : at_first()) {
    values.emplace_back(on, v);
    gradients.emplace_back(on, v);
    parameters.push_back({std::to_string(values.size() - 1), values.back().span()});
  }
  auto trainer = cuda::bind(strategy, on, parameters, tutti::adamw{.learning_rate = .1});
  for (int s = 0; s < steps; ++s) {
    std::vector<cuda::device_tensor<const float>> given;
    for (std::size_t k = 0; k < values.size(); ++k) {
      const auto from = values[k].span(), to = gradients[k].span();
      mock::enqueue(on.handle(), [=] { // a backward pass, done late
        const auto g = gradient_at({from.data(), from.data() + from.size()}, rank, s);
        std::copy(g.begin(), g.end(), to.data());
      });
      given.push_back({std::to_string(k), has_gradient(k, s) ? gradients[k].read() : cuda::device_span<const float>{}});
    }
    trainer.step(given);
  }
  trainer.finalize();
  model all;
  for (const auto& v : values) all.push_back(v.values());
  return all;
}

template <class Sync> bool has_the_bits_of_the_host(const Sync& sync, std::uint64_t seed) {
  mock::begin(seed);
  std::mutex lock;
  bool same = true;
  tutti::threads::run(2, [&](auto& world) {
    tutti::strategy strategy{world, tutti::mean{}, sync};
    const model right = on_the_host(strategy, world.rank()), got = on_the_device(strategy, world.rank());
    const std::lock_guard<std::mutex> held{lock};
    same = same && right == got && right[0] != at_first()[0];
  });
  return same && mock::left_over() == 0;
}

BOOST_AUTO_TEST_SUITE(cuda_offloaded)

BOOST_AUTO_TEST_CASE(device_tensors_are_trained_with_the_bits_of_the_host) {
  for (const std::uint64_t seed : {1, 2, 3}) BOOST_CHECK(has_the_bits_of_the_host(tutti::synchronous{}, seed));
  BOOST_CHECK(has_the_bits_of_the_host(tutti::local_sgd{.period = 2}, 4));
}

BOOST_AUTO_TEST_CASE(a_step_that_fails_leaves_the_device_as_it_was) {
  mock::begin();
  tutti::threads::run(1, [&](auto& world) {
    tutti::strategy strategy{world, tutti::mean{}, tutti::synchronous{}};
    const cuda::stream on;
    const placed<float> values{on, {1, 2, 3}}, good{on, {1, 1, 1}};
    const placed<float> bad{on, {1, std::numeric_limits<float>::quiet_NaN(), 1}};
    auto trainer = cuda::bind(strategy, on, std::vector<cuda::device_tensor<float>>{{"w", values.span()}},
                              tutti::adamw{.learning_rate = .5});
    const auto step = [&](std::vector<cuda::device_tensor<const float>> g) {
      return refusal([&] { trainer.step(g); });
    };
    BOOST_CHECK(says(step({{"w", bad.read()}}), "non_finite"));
    BOOST_CHECK(values.values() == (std::vector<float>{1, 2, 3}));
    BOOST_CHECK(says(step({}), "there are 0 gradients for 1 parameters"));
    BOOST_CHECK(says(step({{"w", good.read().first(2)}}), "spans of 3 and 2 values were given"));
    mock::capture(on.handle(), true);
    BOOST_CHECK(says(step({{"w", good.read()}}), "this stream is being captured - the trainer works on the host"));
    mock::capture(on.handle(), false);
    BOOST_CHECK_EQUAL(step({{"w", good.read()}}), "");
    BOOST_CHECK(values.values()[0] < 0.6f);
  });
}

BOOST_AUTO_TEST_SUITE_END()

} // namespace offloads
