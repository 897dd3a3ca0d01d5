// Modules with values that are worked out, not drawn: the generator of LibTorch is one for all threads.
#pragma once

#include "core/text_of.hpp"

#include <tutti/adapters/torch.hpp>

#include <tutti/tutti.hpp>

#include <torch/nn/functional.h>
#include <torch/nn/modules.h>
#include <torch/optim/adam.h>
#include <torch/optim/sgd.h>
#include <torch/utils.h>

#include <boost/test/unit_test.hpp>

#include <cstddef>
#include <cstdint>
#include <exception>
#include <stdexcept>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

namespace torch_model {

using at::Tensor;
using world_type = tutti::threads::communicator;

inline constexpr tutti::sgd descent{.learning_rate = .1, .momentum = .9};

/// Numbers of such sizes that look drawn, a function of `name` alone.
inline Tensor numbers(at::IntArrayRef sizes, int name) {
  const Tensor places = at::arange(c10::multiply_integers(sizes), at::kDouble) * .7;
  return at::sin(places + double(name)).reshape(sizes).to(at::kFloat);
}
/// Module number `name` of its kind.
inline void fill(const ::torch::nn::Module& module, int name) {
  const ::torch::NoGradGuard unrecorded;
  for (const auto& p : module.parameters()) p.copy_(numbers(p.sizes(), name++) * .4);
}
/// Its parameters one behind the other.
inline Tensor flat(const ::torch::nn::Module& module) {
  std::vector<Tensor> all;
  for (const auto& p : module.parameters()) all.push_back(p.detach().reshape(-1).to(at::kDouble));
  return at::cat(all);
}
/// Of a from b, as a share of b's length.
inline double distance(const Tensor& a, const Tensor& b) { return ((a - b).norm() / b.norm()).item<double>(); }
inline double first(const Tensor& t) { return t.reshape(-1)[0].to(at::kDouble).item<double>(); }

/// What body(world) returns on every rank; no rank asks LibTorch for threads of its own.
template <class Body>
auto on(int ranks, Body&& body) {
  ::torch::set_num_threads(1);
  using result = std::decay_t<decltype(body(std::declval<world_type&>()))>;
  std::vector<result> out(static_cast<std::size_t>(ranks));
  tutti::threads::run(ranks, [&](world_type& world) {
    ::torch::set_num_threads(1);
    out[std::size_t(world.rank())] = body(world);
  });
  return out;
}
using trial::text_of;
inline void must(bool holds, const std::string& what) { // within a rank, where Boost.Test must not be called
  if (!holds) throw std::logic_error{what};
}

struct convolutional : ::torch::nn::Module {
  ::torch::nn::Conv2d first{nullptr}, second{nullptr};
  ::torch::nn::Linear last{nullptr};
  convolutional() {
    first = register_module("first", ::torch::nn::Conv2d(::torch::nn::Conv2dOptions(1, 4, 3)));
    second = register_module("second", ::torch::nn::Conv2d(::torch::nn::Conv2dOptions(4, 6, 1).bias(false)));
    last = register_module("last", ::torch::nn::Linear(24, 3));
  }
  Tensor loss(int step, std::int64_t from, std::int64_t to, int /*rank*/) {
    const Tensor x = numbers({8, 1, 6, 6}, step).slice(0, from, to);
    const Tensor wanted = at::arange(8).remainder(3).slice(0, from, to);
    return ::torch::nn::functional::cross_entropy(
        last(at::max_pool2d(at::relu(second(at::relu(first(x)))), 2).flatten(1)), wanted);
  }
};

/// Its head is the embedding, read the other way round.
struct transformer : ::torch::nn::Module {
  ::torch::nn::Embedding embedding{nullptr};
  ::torch::nn::MultiheadAttention attention{nullptr};
  ::torch::nn::LayerNorm before{nullptr}, after{nullptr};
  ::torch::nn::Linear wide{nullptr}, narrow{nullptr};
  transformer() {
    embedding = register_module("embedding", ::torch::nn::Embedding(11, 8));
    attention = register_module("attention", ::torch::nn::MultiheadAttention(8, 2));
    before = register_module("before", ::torch::nn::LayerNorm(::torch::nn::LayerNormOptions({8})));
    after = register_module("after", ::torch::nn::LayerNorm(::torch::nn::LayerNormOptions({8})));
    wide = register_module("wide", ::torch::nn::Linear(8, 16));
    narrow = register_module("narrow", ::torch::nn::Linear(16, 8));
    register_parameter("head", embedding->weight); // a second name for the same tensor
  }
  Tensor loss(int step, std::int64_t from, std::int64_t to, int /*rank*/) {
    const Tensor text = (at::arange(8 * 6).reshape({8, 6}) * (step + 3)).remainder(11).slice(0, from, to);
    Tensor x = embedding(text.slice(1, 0, 5)).transpose(0, 1); // places, batch, width
    const Tensor n = before(x);
    x = x + std::get<0>(attention(n, n, n));
    x = x + narrow(at::gelu(wide(after(x))));
    return ::torch::nn::functional::cross_entropy(at::linear(x, embedding->weight).reshape({-1, 11}),
                                                  text.slice(1, 1, 6).transpose(0, 1).reshape(-1));
  }
};

/// One branch that is never used, and one that rank 1's half of the batch uses in every other step.
struct branching : ::torch::nn::Module {
  ::torch::nn::Linear always{nullptr}, sometimes{nullptr}, never{nullptr};
  branching() {
    always = register_module("always", ::torch::nn::Linear(3, 2));
    sometimes = register_module("sometimes", ::torch::nn::Linear(3, 2));
    never = register_module("never", ::torch::nn::Linear(3, 2));
  }
  Tensor loss(int step, std::int64_t from, std::int64_t to, int /*rank*/) {
    const Tensor x = numbers({8, 3}, step);
    Tensor sum = at::zeros({});
    for (std::int64_t row = from; row < to; ++row) {
      sum = sum + at::tanh(always(x[row])).pow(2).sum();
      if (row >= 4 && step % 2 == 1) sum = sum + at::tanh(sometimes(x[row])).sum();
    }
    return sum / (to - from);
  }
};

} // namespace torch_model
