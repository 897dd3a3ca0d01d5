// Trainers of tests on the mock of the runtime: the same steps on the host and on a device.
#pragma once

#include "cuda_mock/mocked.hpp"

#include <tutti/communicators/threads.hpp>
#include <tutti/cuda/device_verbs.cuh>
#include <tutti/tutti.hpp>

#include <cmath>
#include <cstdint>
#include <mutex>
#include <string>
#include <vector>

namespace strategies_on_devices {

using namespace mocked;
using model = std::vector<std::vector<float>>;

inline const std::size_t lengths[] = {5, 0, 300, 41};
/// The third is a matrix, and what codecs are for; the others are vectors, which they leave alone.
inline std::vector<std::int64_t> shape_of(std::size_t k) {
  return k == 2 ? std::vector<std::int64_t>{30, 10} : std::vector<std::int64_t>{};
}

/// Whether rank 1's gradient overflows in step 1.
inline bool overflows = false;

/// Whether rank 1's model is on a device of its own.
inline bool apart = false;

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
inline bool has_gradient(std::size_t k, int step) {
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
    for (auto& v : values_) parameters.push_back({std::to_string(parameters.size()), v, shape_of(parameters.size())});
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
  explicit device_side(int rank) : on_{apart ? rank % 2 : 0} {
    for (const auto& v : at_first<V>(rank)) {
      values_.emplace_back(on_, v);
      gradients_.emplace_back(on_, v);
    }
  }

  template <class Strategy, class Optimizer>
  auto bind(Strategy& strategy, const Optimizer& by, const tutti::training_options& how) {
    std::vector<cuda::device_tensor<V>> parameters;
    for (const auto& v : values_) parameters.push_back({std::to_string(parameters.size()), v.span(), shape_of(parameters.size())});
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
  std::size_t to_host = 0; ///< bytes that steps have brought there
};
template <class Side, class Make>
outcome trained(const Make& make, const tutti::training_options& how = {}, int micro_batches = 1) {
  outcome all;
  std::mutex lock;
  tutti::threads::run(2, [&](auto& world) {
    auto strategy = make(world);
    Side side{world.rank()};
    auto trainer = side.bind(strategy, tutti::adamw{.learning_rate = .1}, how);
    tutti::barrier(world);
    const std::size_t before = mock::bytes_to_host();
    tutti::barrier(world);
    for (int s = 0; s < 6 && trainer.role() != tutti::role::server; ++s) {
      for (int m = 1; m < micro_batches; ++m) trainer.accumulate(side.gradients(world.rank(), s + m));
      trainer.step(side.gradients(world.rank(), s));
    }
    if (trainer.role() == tutti::role::server) trainer.serve();
    trainer.finalize();
    tutti::barrier(world);
    const std::size_t to_host = mock::bytes_to_host() - before;
    tutti::barrier(world);
    const std::lock_guard<std::mutex> held{lock};
    all.to_host = to_host;
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

} // namespace strategies_on_devices
