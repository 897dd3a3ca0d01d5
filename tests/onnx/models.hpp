// Modules as users write them, and the visitors that say what their forward() computes.
#pragma once

#include "round_trip.hpp"

#include <vector>

namespace onnx_test {

/// A Sequential within another has to be a module with a forward() that is no template.
struct nested : nn::Module {
  nn::Sequential body{nullptr};
  explicit nested(const nn::Sequential& of) { body = register_module("body", of); }
  Tensor forward(const Tensor& x) { return body->forward(x); }
};
inline const auto describe_nested = [](onnx_graph& graph, nested& m, const onnx_value& x) { return graph(m.body, x); };

/// That of examples/torch_mnist.cpp.
struct convolutional : nn::Module {
  nn::Conv2d first{nullptr}, second{nullptr};
  nn::Linear last{nullptr};
  convolutional() {
    first = register_module("first", nn::Conv2d(nn::Conv2dOptions(1, 8, 5)));
    second = register_module("second", nn::Conv2d(nn::Conv2dOptions(8, 16, 5)));
    last = register_module("last", nn::Linear(16 * 4 * 4, 10));
  }
  Tensor forward(Tensor x) {
    x = at::max_pool2d(at::relu(first(x)), 2);
    x = at::max_pool2d(at::relu(second(x)), 2);
    return last(x.flatten(1));
  }
};
inline const auto describe_convolutional = [](onnx_graph& graph, convolutional& net, onnx_value x) {
  x = graph(nn::MaxPool2d(2), relu(graph(net.first, x)));
  x = graph(nn::MaxPool2d(2), relu(graph(net.second, x)));
  return graph(net.last, flatten(x, 1));
};

/// A block of a transformer: (length, batch, width).
struct block : nn::Module {
  nn::MultiheadAttention attention{nullptr};
  nn::LayerNorm before{nullptr}, after{nullptr};
  nn::Linear wide{nullptr}, narrow{nullptr};
  block() {
    attention = register_module("attention", nn::MultiheadAttention(8, 2));
    before = register_module("before", nn::LayerNorm(nn::LayerNormOptions({8})));
    after = register_module("after", nn::LayerNorm(nn::LayerNormOptions({8})));
    wide = register_module("wide", nn::Linear(8, 16));
    narrow = register_module("narrow", nn::Linear(16, 8));
  }
  Tensor forward(Tensor x) {
    const Tensor n = before(x);
    const Tensor later = at::triu(at::full({x.size(0), x.size(0)}, -INFINITY), 1);
    x = x + std::get<0>(attention(n, n, n, Tensor{}, false, later));
    return x + narrow(at::gelu(wide(after(x))));
  }
};
inline const auto describe_block = [](onnx_graph& graph, block& net, onnx_value x) {
  const onnx_value n = graph(net.before, x);
  x = x + std::get<0>(graph(net.attention, n, n, n, onnx_value{}, false, causal_mask(n)));
  return x + graph(net.narrow, gelu(graph(net.wide, graph(net.after, x))));
};
/// Its head is the embedding, read the other way round, and it knows ten places.
struct transformer : nn::Module {
  nn::Embedding embedding{nullptr}, places{nullptr};
  std::vector<std::shared_ptr<block>> blocks;
  transformer() {
    embedding = register_module("embedding", nn::Embedding(11, 8));
    places = register_module("places", nn::Embedding(10, 8));
    for (const char* name : {"first", "second"}) blocks.push_back(register_module(name, std::make_shared<block>()));
    register_parameter("head", embedding->weight);
  }
  Tensor forward(const Tensor& text) {
    Tensor x = (embedding(text) + places->weight.slice(0, 0, text.size(1))).transpose(0, 1);
    for (const auto& each : blocks) x = each->forward(x);
    return at::linear(x.transpose(0, 1), embedding->weight);
  }
};
inline const auto describe_transformer = [](onnx_graph& graph, transformer& net, onnx_value text) {
  const onnx_value places = slice(graph.constant(net.places->weight), 0, 0, sizes(text, 1, 2));
  onnx_value x = transpose(graph(net.embedding, text) + places, 0, 1);
  for (const auto& each : net.blocks) x = graph(*each, x);
  return linear(transpose(x, 0, 1), graph.constant(net.embedding->weight));
};

struct carries_state : nn::Module {
  nn::LSTM lstm{nullptr};
  carries_state() { lstm = register_module("lstm", nn::LSTM(nn::LSTMOptions(3, 4).num_layers(2))); }
  std::tuple<Tensor, Tensor, Tensor> forward(const Tensor& x, const Tensor& h, const Tensor& c) {
    const auto [y, state] = lstm(x, std::tuple{h, c});
    return {y, std::get<0>(state), std::get<1>(state)};
  }
};
inline const auto describe_carries_state = [](onnx_graph& graph, carries_state& net, onnx_value x, onnx_value h,
                                              onnx_value c) {
  const auto [y, state] = graph(net.lstm, x, std::tuple{h, c});
  return std::tuple{y, std::get<0>(state), std::get<1>(state)};
};

struct masked_attention : nn::Module {
  nn::MultiheadAttention attention{nullptr};
  masked_attention() { attention = register_module("attention", nn::MultiheadAttention(8, 2)); }
  std::tuple<Tensor, Tensor> forward(const Tensor& x, const Tensor& hidden) {
    return attention(x, x, x, hidden, true, Tensor{}, false);
  }
};
inline const auto describe_masked_attention = [](onnx_graph& graph, masked_attention& net, const onnx_value& x,
                                                 const onnx_value& hidden) {
  return graph(net.attention, x, x, x, hidden, true, onnx_value{}, false);
};

/// Every function of values that no other model has.
struct arithmetic : nn::Module {
  Tensor factor = register_parameter("factor", numbers({6}, 7));
  Tensor forward(const Tensor& x) {
    Tensor y = 2 - (x + 1) / 3 * factor;
    y = at::cat({y.slice(1, 1, 3), y.select(1, -1).unsqueeze(1)}, 1).permute({0, 2, 1});
    y = at::matmul(y, y.transpose(1, 2));
    y = y + y.mean({1}, true) - (y.sum({2}, true) * .01).exp().log().tanh();
    y = (y * y + 1).sqrt() / 7 + at::softmax(y, 1) * at::sigmoid(-y);
    return (1 - 1 * y).slice(2, 0, 1).squeeze(2).reshape({-1, 3, 2}) +
           at::erf(at::softplus(x.select(1, 0).slice(1, 0, 1))).unsqueeze(-1);
  }
};
inline const auto describe_arithmetic = [](onnx_graph& graph, arithmetic& net, const onnx_value& x) {
  onnx_value y = 2 - (x + 1) / 3 * graph.constant(net.factor);
  y = permute(tutti::torch::cat({slice(y, 1, 1, 3), unsqueeze(select(y, 1, -1), 1)}, 1), {0, 2, 1});
  y = matmul(y, transpose(y, 1, 2));
  y = y + mean(y, {1}, true) - tanh(log(exp(sum(y, {2}, true) * .01)));
  y = sqrt(y * y + 1) / 7 + softmax(y, 1) * sigmoid(-y);
  return reshape(squeeze(slice(1 - 1 * y, 2, 0, 1), 2), {-1, 3, 2}) +
         unsqueeze(erf(softplus(slice(select(x, 1, 0), 1, 0, 1))), -1);
};

} // namespace onnx_test
