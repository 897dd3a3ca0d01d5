// Activations and normalisations of torch::nn as nodes of ONNX.
#pragma once

#include <tutti/adapters/onnx/graph.hpp>
#include <tutti/adapters/onnx/values.hpp>

#include <ATen/ATen.h>
#include <torch/nn/functional.h>
#include <torch/nn/modules.h>

#include <cstddef>
#include <cstdint>
#include <vector>

namespace tutti::torch::detail {

namespace nn = ::torch::nn;

/// One node, of a module that takes no weights; in-place modules must not change the example.
template <class Module>
onnx_value one_node(const char* op, Module& m, const onnx_value& x,
                    const std::vector<onnx::AttributeProto>& attributes = {}) {
  return x.graph().node(op, {x}, attributes, m.forward(x.example().clone()));
}
inline onnx_value clip(const onnx_value& x, double low, double high) {
  return x.graph().node("Clip", {x, scalar(x, low), scalar(x, high)}, {}, at::clamp(x.example(), low, high));
}
/// a where x is more than a number, b elsewhere.
inline onnx_value where_more(const onnx_value& x, double number, const onnx_value& a, const onnx_value& b) {
  const onnx_value more = x.graph().node("Greater", {x, scalar(x, number)}, {}, x.example() > number);
  return x.graph().node("Where", {more, a, b}, {}, at::where(more.example(), a.example(), b.example()));
}

inline onnx_value describe(onnx_graph&, nn::ReLUImpl& m, const onnx_value& x) { return one_node("Relu", m, x); }
inline onnx_value describe(onnx_graph&, nn::SigmoidImpl& m, const onnx_value& x) { return one_node("Sigmoid", m, x); }
inline onnx_value describe(onnx_graph&, nn::TanhImpl& m, const onnx_value& x) { return one_node("Tanh", m, x); }
inline onnx_value describe(onnx_graph&, nn::SoftsignImpl& m, const onnx_value& x) { return one_node("Softsign", m, x); }
inline onnx_value describe(onnx_graph&, nn::SELUImpl& m, const onnx_value& x) { return one_node("Selu", m, x); }
inline onnx_value describe(onnx_graph&, nn::ELUImpl& m, const onnx_value& x) {
  return one_node("Elu", m, x, {onnx_attribute("alpha", m.options.alpha())});
}
inline onnx_value describe(onnx_graph& g, nn::CELUImpl& m, const onnx_value& x) {
  const onnx_value scaled = x / m.options.alpha();
  return g.node("Elu", {scaled}, {}, at::elu(scaled.example())) * m.options.alpha();
}
inline onnx_value describe(onnx_graph&, nn::LeakyReLUImpl& m, const onnx_value& x) {
  return one_node("LeakyRelu", m, x, {onnx_attribute("alpha", m.options.negative_slope())});
}
inline onnx_value describe(onnx_graph&, nn::RReLUImpl& m, const onnx_value& x) {
  return one_node("LeakyRelu", m, x, {onnx_attribute("alpha", (m.options.lower() + m.options.upper()) / 2)});
}
inline onnx_value describe(onnx_graph& g, nn::PReLUImpl& m, const onnx_value& x) {
  onnx_value slope = g.constant(m.weight);
  if (m.weight.numel() > 1) { // along dimension 1
    std::vector<std::int64_t> shape(std::size_t(x.dim() - 1), 1);
    shape[0] = m.weight.numel();
    slope = reshape(slope, shape);
  }
  return g.node("PRelu", {x, slope}, {}, m.forward(x.example()));
}
inline onnx_value describe(onnx_graph&, nn::ReLU6Impl&, const onnx_value& x) { return clip(x, 0, 6); }
inline onnx_value describe(onnx_graph&, nn::HardtanhImpl& m, const onnx_value& x) {
  return clip(x, m.options.min_val(), m.options.max_val());
}
inline onnx_value describe(onnx_graph&, nn::HardshrinkImpl& m, const onnx_value& x) {
  return one_node("Shrink", m, x, {onnx_attribute("lambd", m.options.lambda()), onnx_attribute("bias", 0.)});
}
inline onnx_value describe(onnx_graph&, nn::SoftshrinkImpl& m, const onnx_value& x) {
  return one_node("Shrink", m, x,
                  {onnx_attribute("lambd", m.options.lambda()), onnx_attribute("bias", m.options.lambda())});
}
inline onnx_value describe(onnx_graph&, nn::TanhshrinkImpl&, const onnx_value& x) { return x - tanh(x); }
inline onnx_value describe(onnx_graph&, nn::ThresholdImpl& m, const onnx_value& x) {
  return where_more(x, m.options.threshold(), x, scalar(x, m.options.value()));
}
inline onnx_value describe(onnx_graph&, nn::SiLUImpl&, const onnx_value& x) { return x * sigmoid(x); }
inline onnx_value describe(onnx_graph&, nn::MishImpl&, const onnx_value& x) { return x * tanh(softplus(x)); }
inline onnx_value describe(onnx_graph&, nn::LogSigmoidImpl&, const onnx_value& x) { return -softplus(-x); }
inline onnx_value describe(onnx_graph&, nn::SoftplusImpl& m, const onnx_value& x) {
  const onnx_value scaled = x * m.options.beta();
  return where_more(scaled, m.options.threshold(), x, softplus(scaled) / m.options.beta());
}
inline onnx_value describe(onnx_graph&, nn::GELUImpl& m, const onnx_value& x) {
  if (m.options.approximate() != "tanh") return gelu(x);
  constexpr double root_of_two_by_pi = 0.79788456080286535588;
  return x * 0.5 * (1.0 + tanh((x + x * x * x * 0.044715) * root_of_two_by_pi));
}
inline onnx_value describe(onnx_graph& g, nn::GLUImpl& m, const onnx_value& x) {
  const std::int64_t dimension = positive(x, m.options.dim());
  const auto halves = g.nodes("Split", {x}, {onnx_attribute("axis", dimension)}, at::chunk(x.example(), 2, dimension));
  return halves[0] * sigmoid(halves[1]);
}
inline onnx_value describe(onnx_graph&, nn::SoftmaxImpl& m, const onnx_value& x) { return softmax(x, m.options.dim()); }
inline onnx_value describe(onnx_graph&, nn::SoftminImpl& m, const onnx_value& x) {
  return softmax(-x, m.options.dim());
}
inline onnx_value describe(onnx_graph&, nn::Softmax2dImpl&, const onnx_value& x) { return softmax(x, x.dim() - 3); }
inline onnx_value describe(onnx_graph&, nn::LogSoftmaxImpl& m, const onnx_value& x) {
  return one_node("LogSoftmax", m, x, {onnx_attribute("axis", m.options.dim())});
}

/// A weight, or the number that stands for it where there is none.
inline onnx_value or_all(const onnx_value& x, const at::Tensor& weight, at::IntArrayRef shape, double number) {
  return x.graph().constant(weight.defined() ? weight : at::full(shape, number, x.example().options()), "none");
}
/// One for each channel, which are dimension 1.
inline onnx_value by_channel(const onnx_value& x, const at::Tensor& weight) {
  std::vector<std::int64_t> shape(std::size_t(x.dim() - 1), 1);
  shape[0] = weight.numel();
  return reshape(x.graph().constant(weight), shape);
}
/// (x - mean) / sqrt(variance + eps) over these dimensions, times weight plus bias of each channel.
inline onnx_value normalised(const onnx_value& x, const std::vector<std::int64_t>& over, double eps,
                             const at::Tensor& weight, const at::Tensor& bias) {
  const onnx_value centred = x - mean(x, over, true);
  onnx_value out = centred / sqrt(mean(centred * centred, over, true) + eps);
  if (weight.defined()) out = out * by_channel(x, weight);
  if (bias.defined()) out = out + by_channel(x, bias);
  return out;
}
inline std::vector<std::int64_t> dimensions_from(const onnx_value& x, std::int64_t first) {
  std::vector<std::int64_t> out;
  for (std::int64_t d = first; d < x.dim(); ++d) out.push_back(d);
  return out;
}

/// By its running statistics; without them by those of what comes in, as LibTorch does in evaluation too.
template <class Module>
onnx_value over_batch(onnx_graph& g, Module& m, const onnx_value& x) {
  if (!m.running_mean.defined()) {
    std::vector<std::int64_t> over = dimensions_from(x, 2);
    over.insert(over.begin(), 0);
    return normalised(x, over, m.options.eps(), m.weight, m.bias);
  }
  const at::IntArrayRef channels = m.running_mean.sizes();
  return g.node("BatchNormalization",
                {x, or_all(x, m.weight, channels, 1), or_all(x, m.bias, channels, 0), g.constant(m.running_mean),
                 g.constant(m.running_var)},
                {onnx_attribute("epsilon", m.options.eps())}, m.forward(x.example()));
}
inline onnx_value describe(onnx_graph& g, nn::BatchNorm1dImpl& m, const onnx_value& x) { return over_batch(g, m, x); }
inline onnx_value describe(onnx_graph& g, nn::BatchNorm2dImpl& m, const onnx_value& x) { return over_batch(g, m, x); }
inline onnx_value describe(onnx_graph& g, nn::BatchNorm3dImpl& m, const onnx_value& x) { return over_batch(g, m, x); }

template <class Module>
onnx_value over_instance(onnx_graph& g, Module& m, const onnx_value& x, std::int64_t rank) {
  if (x.dim() != rank) g.refuse("an input without a batch");
  if (m.running_mean.defined()) return over_batch(g, m, x);
  return normalised(x, dimensions_from(x, 2), m.options.eps(), m.weight, m.bias);
}
inline onnx_value describe(onnx_graph& g, nn::InstanceNorm1dImpl& m, const onnx_value& x) {
  return over_instance(g, m, x, 3);
}
inline onnx_value describe(onnx_graph& g, nn::InstanceNorm2dImpl& m, const onnx_value& x) {
  return over_instance(g, m, x, 4);
}
inline onnx_value describe(onnx_graph& g, nn::InstanceNorm3dImpl& m, const onnx_value& x) {
  return over_instance(g, m, x, 5);
}
inline onnx_value describe(onnx_graph& g, nn::LayerNormImpl& m, const onnx_value& x) {
  const auto& shape = m.options.normalized_shape();
  return g.node("LayerNormalization", {x, or_all(x, m.weight, shape, 1), g.constant(m.bias)},
                {onnx_attribute("axis", -std::int64_t(shape.size())), onnx_attribute("epsilon", m.options.eps())},
                m.forward(x.example()));
}
/// The channels in groups, one behind the other; their sizes come back from x.
inline onnx_value describe(onnx_graph& g, nn::GroupNormImpl& m, const onnx_value& x) {
  const onnx_value groups = reshape(x, {0, m.options.num_groups(), -1});
  const onnx_value flat = normalised(groups, {2}, m.options.eps(), {}, {});
  onnx_value out = g.node("Reshape", {flat, sizes(x, 0, x.dim())}, {}, flat.example().reshape(x.example().sizes()));
  if (m.weight.defined()) out = out * by_channel(x, m.weight);
  if (m.bias.defined()) out = out + by_channel(x, m.bias);
  return out;
}

} // namespace tutti::torch::detail
