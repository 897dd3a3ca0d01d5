// Recurrent modules of torch::nn as nodes of ONNX, one for each layer.
//
// LibTorch has the gates of an LSTM in the order input, forget, cell, output, and ONNX input, output, forget, cell; of
// a GRU reset, update, new against update, reset, hidden, whose product with the reset gate comes after the recurrent
// bias: linear_before_reset. Without a first state it is zero in both, so nothing says how large a batch is.
#pragma once

#include <tutti/adapters/onnx/graph.hpp>
#include <tutti/adapters/onnx/layers.hpp>
#include <tutti/adapters/onnx/values.hpp>

#include <ATen/ATen.h>
#include <torch/nn/functional.h>
#include <torch/nn/modules.h>

#include <cstddef>
#include <cstdint>
#include <string>
#include <tuple>
#include <vector>

namespace tutti::torch::detail {

/// What distinguishes the kinds.
struct recurrent_kind {
  const char* op;
  std::vector<std::int64_t> gates; ///< LibTorch's numbers in the order of ONNX
  std::vector<onnx::AttributeProto> attributes = {};
  bool has_cell = false;
};

/// One layer for the example: what comes out, and the states at the end, as LibTorch gives them.
inline std::vector<at::Tensor> recurrent_example(const recurrent_kind& kind, const std::string& activation,
                                                 const at::Tensor& x, const std::vector<at::Tensor>& state,
                                                 const std::vector<at::Tensor>& weights, bool bias, bool both) {
  if (kind.has_cell) {
    const auto [y, h, c] = at::lstm(x, state, weights, bias, 1, 0., false, both, false);
    return {y, h, c};
  }
  const auto [y, h] = kind.gates.size() == 3 ? at::gru(x, state[0], weights, bias, 1, 0., false, both, false)
                      : activation == "Relu" ? at::rnn_relu(x, state[0], weights, bias, 1, 0., false, both, false)
                                             : at::rnn_tanh(x, state[0], weights, bias, 1, 0., false, both, false);
  return {y, h};
}

/// (length, batch, features) through all layers; with the states of each at the end, (layers * directions, batch,
/// hidden), and of an LSTM the cells. `state` is such, or empty.
template <class Module>
std::vector<onnx_value> recurrent(onnx_graph& g, Module& m, const onnx_value& input,
                                  const std::vector<onnx_value>& state, const recurrent_kind& kind,
                                  const std::string& activation = "") {
  const auto& o = m.options_base;
  require_batch(input, 3);
  if (o.proj_size() != 0) g.refuse("proj_size, which ONNX does not have");
  const bool both = o.bidirectional();
  const std::int64_t directions = both ? 2 : 1, hidden = o.hidden_size();
  const auto parameters = m.named_parameters();
  const auto reordered = [&](const at::Tensor& weight) {
    std::vector<at::Tensor> gates;
    for (const std::int64_t gate : kind.gates) gates.push_back(weight.narrow(0, gate * hidden, hidden));
    return at::cat(gates);
  };

  onnx_value x = o.batch_first() ? transpose(input, 0, 1) : input;
  const std::size_t states = kind.has_cell ? 2 : 1;
  std::vector<std::vector<onnx_value>> last(states);
  for (std::int64_t layer = 0; layer < o.num_layers(); ++layer) {
    std::vector<at::Tensor> own, input_weights, recurrent_weights, biases;
    for (const std::string& end : both ? std::vector<std::string>{"", "_reverse"} : std::vector<std::string>{""}) {
      const auto of = [&](const char* what) { return parameters[what + ("_l" + std::to_string(layer)) + end]; };
      own.insert(own.end(), {of("weight_ih"), of("weight_hh")});
      input_weights.push_back(reordered(own.end()[-2]));
      recurrent_weights.push_back(reordered(own.back()));
      if (!o.bias()) continue;
      own.insert(own.end(), {of("bias_ih"), of("bias_hh")});
      biases.push_back(at::cat({reordered(own.end()[-2]), reordered(own.back())}));
    }
    std::vector<onnx_value> inputs{x, g.constant(at::stack(input_weights), "weight_ih"),
                                   g.constant(at::stack(recurrent_weights), "weight_hh"),
                                   biases.empty() ? onnx_value{} : g.constant(at::stack(biases), "bias"), onnx_value{}};
    std::vector<at::Tensor> before;
    for (std::size_t k = 0; k < states; ++k) {
      if (state.empty()) {
        before.push_back(at::zeros({directions, x.example().size(1), hidden}, x.example().options()));
      } else {
        inputs.push_back(slice(state[k], 0, layer * directions, (layer + 1) * directions));
        before.push_back(inputs.back().example());
      }
    }
    std::vector<onnx::AttributeProto> attributes = kind.attributes;
    attributes.push_back(onnx_attribute("hidden_size", hidden));
    attributes.push_back(onnx_attribute("direction", both ? "bidirectional" : "forward"));

    std::vector<at::Tensor> examples = recurrent_example(kind, activation, x.example(), before, own, o.bias(), both);
    const at::Tensor& y = examples[0]; // ONNX: (length, directions, batch, hidden)
    examples[0] = y.reshape({y.size(0), y.size(1), directions, hidden}).permute({0, 2, 1, 3});
    const auto results = g.nodes(kind.op, inputs, attributes, examples);
    x = reshape(transpose(results[0], 1, 2), {0, 0, -1});
    for (std::size_t k = 0; k < states; ++k) last[k].push_back(results[k + 1]);
  }
  std::vector<onnx_value> out{o.batch_first() ? transpose(x, 0, 1) : x};
  for (const auto& of_layers : last) out.push_back(of_layers.size() == 1 ? of_layers[0] : cat(of_layers, 0));
  return out;
}

using recurrent_result = std::tuple<onnx_value, std::tuple<onnx_value, onnx_value>>;
inline recurrent_result in_tuple(const std::vector<onnx_value>& r) { return {r[0], {r[1], r[2]}}; }
inline recurrent_kind lstm_kind() { return {.op = "LSTM", .gates = {0, 3, 1, 2}, .has_cell = true}; }
inline recurrent_kind gru_kind() {
  return {.op = "GRU", .gates = {1, 0, 2}, .attributes = {onnx_attribute("linear_before_reset", 1)}};
}

inline recurrent_result describe(onnx_graph& g, nn::LSTMImpl& m, const onnx_value& x) {
  return in_tuple(recurrent(g, m, x, {}, lstm_kind()));
}
inline recurrent_result describe(onnx_graph& g, nn::LSTMImpl& m, const onnx_value& x,
                                 const std::tuple<onnx_value, onnx_value>& state) {
  return in_tuple(recurrent(g, m, x, {std::get<0>(state), std::get<1>(state)}, lstm_kind()));
}
inline std::tuple<onnx_value, onnx_value> describe(onnx_graph& g, nn::GRUImpl& m, const onnx_value& x,
                                                   const onnx_value& state = {}) {
  const auto r = recurrent(g, m, x, state.defined() ? std::vector{state} : std::vector<onnx_value>{}, gru_kind());
  return {r[0], r[1]};
}
inline std::tuple<onnx_value, onnx_value> describe(onnx_graph& g, nn::RNNImpl& m, const onnx_value& x,
                                                   const onnx_value& state = {}) {
  const std::string activation =
      get_if<::torch::enumtype::kReLU>(&m.options.nonlinearity()) != nullptr ? "Relu" : "Tanh";
  onnx::AttributeProto activations;
  activations.set_name("activations");
  activations.set_type(onnx::AttributeProto::STRINGS);
  for (int k = 0; k < (m.options.bidirectional() ? 2 : 1); ++k) activations.add_strings(activation);
  const auto r = recurrent(g, m, x, state.defined() ? std::vector{state} : std::vector<onnx_value>{},
                           {.op = "RNN", .gates = {0}, .attributes = {activations}}, activation);
  return {r[0], r[1]};
}

} // namespace tutti::torch::detail
