// Arithmetic of values of an ONNX graph, with the names and the rules of at::Tensor. Sizes are written into the graph
// only where they are given here: what keeps its size is said by -1, or by the value itself.
#pragma once

#include <tutti/adapters/onnx/graph.hpp>

#include <ATen/ATen.h>

#include <cstdint>
#include <limits>
#include <string>
#include <type_traits>
#include <vector>

namespace tutti::torch {

namespace detail {

/// Whole numbers, as operators take them: 64 bits.
inline onnx_value integers(onnx_graph& graph, at::IntArrayRef numbers, const char* name) {
  return graph.constant(at::tensor(numbers, at::kLong), name);
}
/// A number, of the element of a value.
inline onnx_value scalar(const onnx_value& like, double number) {
  return like.graph().constant(at::scalar_tensor(number, like.example().options().device(at::kCPU)), "scalar");
}
inline onnx_value apply(const char* op, const onnx_value& x, const at::Tensor& example) {
  return x.graph().node(op, {x}, {}, example);
}
inline std::int64_t positive(const onnx_value& x, std::int64_t dimension) {
  const std::int64_t out = dimension < 0 ? dimension + x.dim() : dimension;
  if (out < 0 || out >= x.dim())
    x.graph().refuse("dimension " + std::to_string(dimension) + " of a tensor with " + std::to_string(x.dim()));
  return out;
}

} // namespace detail

inline onnx_value operator+(const onnx_value& a, const onnx_value& b) {
  return a.graph().node("Add", {a, b}, {}, a.example() + b.example());
}
inline onnx_value operator-(const onnx_value& a, const onnx_value& b) {
  return a.graph().node("Sub", {a, b}, {}, a.example() - b.example());
}
inline onnx_value operator*(const onnx_value& a, const onnx_value& b) {
  return a.graph().node("Mul", {a, b}, {}, a.example() * b.example());
}
inline onnx_value operator/(const onnx_value& a, const onnx_value& b) {
  return a.graph().node("Div", {a, b}, {}, a.example() / b.example());
}
inline onnx_value operator+(const onnx_value& a, double b) { return a + detail::scalar(a, b); }
inline onnx_value operator-(const onnx_value& a, double b) { return a - detail::scalar(a, b); }
inline onnx_value operator*(const onnx_value& a, double b) { return a * detail::scalar(a, b); }
inline onnx_value operator/(const onnx_value& a, double b) { return a / detail::scalar(a, b); }
inline onnx_value operator+(double a, const onnx_value& b) { return b + a; }
inline onnx_value operator*(double a, const onnx_value& b) { return b * a; }
inline onnx_value operator-(double a, const onnx_value& b) { return detail::scalar(b, a) - b; }
inline onnx_value operator-(const onnx_value& a) { return detail::apply("Neg", a, -a.example()); }

inline onnx_value relu(const onnx_value& x) { return detail::apply("Relu", x, at::relu(x.example())); }
inline onnx_value tanh(const onnx_value& x) { return detail::apply("Tanh", x, at::tanh(x.example())); }
inline onnx_value sigmoid(const onnx_value& x) { return detail::apply("Sigmoid", x, at::sigmoid(x.example())); }
inline onnx_value exp(const onnx_value& x) { return detail::apply("Exp", x, at::exp(x.example())); }
inline onnx_value log(const onnx_value& x) { return detail::apply("Log", x, at::log(x.example())); }
inline onnx_value sqrt(const onnx_value& x) { return detail::apply("Sqrt", x, at::sqrt(x.example())); }
inline onnx_value erf(const onnx_value& x) { return detail::apply("Erf", x, at::erf(x.example())); }
inline onnx_value softplus(const onnx_value& x) { return detail::apply("Softplus", x, at::softplus(x.example())); }
inline onnx_value softmax(const onnx_value& x, std::int64_t dimension) {
  return x.graph().node("Softmax", {x}, {onnx_attribute("axis", dimension)}, at::softmax(x.example(), dimension));
}
inline onnx_value gelu(const onnx_value& x) { return x * 0.5 * (1.0 + erf(x * 0.70710678118654752440)); }

inline onnx_value matmul(const onnx_value& a, const onnx_value& b) {
  return a.graph().node("MatMul", {a, b}, {}, at::matmul(a.example(), b.example()));
}
inline onnx_value permute(const onnx_value& x, const std::vector<std::int64_t>& order) {
  std::vector<std::int64_t> perm = order;
  for (std::int64_t& dimension : perm) dimension = detail::positive(x, dimension);
  return x.graph().node("Transpose", {x}, {onnx_attribute("perm", perm)}, x.example().permute(perm));
}
inline onnx_value transpose(const onnx_value& x, std::int64_t one, std::int64_t other) {
  std::vector<std::int64_t> order(std::size_t(x.dim()));
  for (std::size_t k = 0; k < order.size(); ++k) order[k] = std::int64_t(k);
  std::swap(order[std::size_t(detail::positive(x, one))], order[std::size_t(detail::positive(x, other))]);
  return permute(x, order);
}
/// x W' + b, the weight as torch::nn::Linear has it. The bias may be undefined.
inline onnx_value linear(const onnx_value& x, const onnx_value& weight, const onnx_value& bias = {}) {
  const at::Tensor example = at::linear(x.example(), weight.example(),
                                        bias.defined() ? c10::optional<at::Tensor>{bias.example()} : c10::nullopt);
  if (x.dim() == 2) return x.graph().node("Gemm", {x, weight, bias}, {onnx_attribute("transB", 1)}, example);
  const onnx_value product = matmul(x, transpose(weight, 0, 1));
  return bias.defined() ? product + bias : product;
}

/// A size of 0 is that of x in the same place, whatever it is; -1 is what is left over.
inline onnx_value reshape(const onnx_value& x, const std::vector<std::int64_t>& sizes) {
  std::vector<std::int64_t> now = sizes;
  for (std::size_t k = 0; k < now.size(); ++k)
    if (now[k] == 0) now[k] = x.example().size(std::int64_t(k));
  return x.graph().node("Reshape", {x, detail::integers(x.graph(), sizes, "shape")}, {}, x.example().reshape(now));
}
/// The sizes of x from one dimension up to another.
inline onnx_value sizes(const onnx_value& x, std::int64_t from, std::int64_t to) {
  return x.graph().node("Shape", {x}, {onnx_attribute("start", from), onnx_attribute("end", to)},
                        at::tensor(x.example().sizes().slice(std::size_t(from), std::size_t(to - from)), at::kLong));
}
inline onnx_value cat(const std::vector<onnx_value>& values, std::int64_t dimension) {
  std::vector<at::Tensor> examples;
  for (const onnx_value& value : values) examples.push_back(value.example());
  return values[0].graph().node("Concat", values, {onnx_attribute("axis", detail::positive(values[0], dimension))},
                                at::cat(examples, dimension));
}
/// In place of the dimensions from one to another, both among them, their product.
inline onnx_value flatten(const onnx_value& x, std::int64_t from = 0, std::int64_t to = -1) {
  from = detail::positive(x, from), to = detail::positive(x, to);
  if (from == to) return x;
  if (to == x.dim() - 1) {
    std::vector<std::int64_t> shape(std::size_t(from), 0);
    shape.push_back(-1);
    return reshape(x, shape);
  }
  std::vector<onnx_value> shape;
  if (from > 0) shape.push_back(sizes(x, 0, from));
  shape.push_back(detail::integers(x.graph(), -1, "rest"));
  shape.push_back(sizes(x, to + 1, x.dim()));
  return x.graph().node("Reshape", {x, cat(shape, 0)}, {}, x.example().flatten(from, to));
}
inline onnx_value unsqueeze(const onnx_value& x, std::int64_t dimension) {
  if (dimension < 0) dimension += x.dim() + 1;
  return x.graph().node("Unsqueeze", {x, detail::integers(x.graph(), dimension, "axes")}, {},
                        x.example().unsqueeze(dimension));
}
/// Without a dimension of size 1.
inline onnx_value squeeze(const onnx_value& x, std::int64_t dimension) {
  dimension = detail::positive(x, dimension);
  if (x.example().size(dimension) != 1) x.graph().refuse("squeeze of a dimension that is not 1");
  return x.graph().node("Squeeze", {x, detail::integers(x.graph(), dimension, "axes")}, {},
                        x.example().squeeze(dimension));
}
/// Those from `from` up to `to`; negative ones count from the end, and without `to` it is all the rest.
inline onnx_value slice(const onnx_value& x, std::int64_t dimension, std::int64_t from,
                        std::int64_t to = (std::numeric_limits<std::int64_t>::max)()) {
  onnx_graph& g = x.graph();
  dimension = detail::positive(x, dimension);
  return g.node(
      "Slice",
      {x, detail::integers(g, from, "starts"), detail::integers(g, to, "ends"), detail::integers(g, dimension, "axes")},
      {}, x.example().slice(dimension, from, to));
}
/// From `from` up to a size that is known when the graph runs: sizes(y, d, d + 1).
inline onnx_value slice(const onnx_value& x, std::int64_t dimension, std::int64_t from, const onnx_value& to) {
  onnx_graph& g = x.graph();
  dimension = detail::positive(x, dimension);
  return g.node("Slice", {x, detail::integers(g, from, "starts"), to, detail::integers(g, dimension, "axes")}, {},
                x.example().slice(dimension, from, to.example().item<std::int64_t>()));
}
/// One of a dimension, which is gone then; negative counts from the end.
inline onnx_value select(const onnx_value& x, std::int64_t dimension, std::int64_t which) {
  dimension = detail::positive(x, dimension);
  const onnx_value index = x.graph().constant(at::scalar_tensor(which, at::kLong), "index");
  return x.graph().node("Gather", {x, index}, {onnx_attribute("axis", dimension)},
                        x.example().select(dimension, which));
}
inline onnx_value mean(const onnx_value& x, const std::vector<std::int64_t>& dimensions, bool keep = false) {
  return x.graph().node("ReduceMean", {x}, {onnx_attribute("axes", dimensions), onnx_attribute("keepdims", keep)},
                        x.example().mean(dimensions, keep));
}
inline onnx_value sum(const onnx_value& x, const std::vector<std::int64_t>& dimensions, bool keep = false) {
  return x.graph().node("ReduceSum", {x, detail::integers(x.graph(), dimensions, "axes")},
                        {onnx_attribute("keepdims", keep)}, x.example().sum(dimensions, keep));
}
/// Rows of a table, by whole numbers of 32 or 64 bits.
inline onnx_value embedding(const onnx_value& table, const onnx_value& rows) {
  return table.graph().node("Gather", {table, rows}, {onnx_attribute("axis", 0)},
                            at::embedding(table.example(), rows.example()));
}

} // namespace tutti::torch
