// The models of these examples as files of ONNX, for ONNX Runtime or TensorRT.
#pragma once

#include "mlp.hpp"
#include "onnx_file.hpp"
#include "transformer.hpp"

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <limits>
#include <string>
#include <vector>

namespace models {

namespace in_onnx {

using value = onnx_file::value;

inline value rms_norm(onnx_file& f, const value& x) {
  const value squares = f.node("ReduceMean", {f.node("Mul", {x, x})}, {{"axes", std::vector{-1}}, {"keepdims", 1}});
  return f.node("Div", {x, f.node("Sqrt", {f.node("Add", {squares, f.number(1e-6f)})})});
}

/// Cosines and sines of the first places of a row, as many as there are in it.
class turning {
public:
  turning(onnx_file& f, const transformer_shape& shape, const value& count) : f_{f} {
    const int half = shape.head_width() / 2;
    const rotary<float> all{shape.context, shape.head_width()};
    std::vector<float> cosines, sines;
    for (int place = 0; place < shape.context; ++place) {
      std::vector<float> head(std::size_t(shape.head_width()), 0.f); // ones, turned
      std::fill_n(head.begin(), half, 1.f);
      all.turn(head.data(), place, 1);
      cosines.insert(cosines.end(), head.begin(), head.begin() + half);
      sines.insert(sines.end(), head.begin() + half, head.end());
    }
    const auto first = [&](const char* name, const std::vector<float>& table) {
      return f.node("Slice", {f.constant(name, {shape.context, half}, table), f.integers({0}), count, f.integers({0})});
    };
    cosine_ = first("rotary.cosine", cosines);
    sine_ = first("rotary.sine", sines);
  }
  /// (batch, head, place, width of a head)
  value operator()(const value& x) const {
    const auto halves = f_.split(x, 2, 3);
    const auto product = [&](const value& a, const value& b) { return f_.node("Mul", {a, b}); };
    return f_.node("Concat", {f_.node("Sub", {product(halves[0], cosine_), product(halves[1], sine_)}),
                              f_.node("Add", {product(halves[1], cosine_), product(halves[0], sine_)})},
                   {{"axis", 3}});
  }

private:
  onnx_file& f_;
  value cosine_, sine_;
};

} // namespace in_onnx

/// Rows of bytes, int64 (batch, place), as many as the context or fewer, into scores of the one behind each
/// (batch, place, symbol).
inline onnx_file onnx_of(transformer& model) {
  using in_onnx::value;
  const transformer_shape& shape = model.shape();
  const int width = shape.width;
  onnx_file f;
  const value text = f.input("text", onnx::TensorProto::INT64, {"batch", "place"});
  auto parameters = model.parameters();
  std::size_t next = 0;
  const auto weight = [&](int rows, int columns) {
    const auto& t = parameters[next++];
    return f.constant(t.name, {rows, columns}, t.values);
  };

  value x = f.node("Gather", {weight(symbols, width), text}, {{"axis", 0}});
  const value count = f.node("Shape", {text}, {{"start", 1}, {"end", 2}});
  const value square = f.node("Concat", {count, count}, {{"axis", 0}});
  const value low = f.node("ConstantOfShape", {square}, {{"value", -std::numeric_limits<float>::infinity()}});
  const value future = f.node("Trilu", {low, f.integer(1)}, {{"upper", 1}});
  const in_onnx::turning turned{f, shape, count};
  const value scale = f.number(float(1 / std::sqrt(double(shape.head_width()))));
  const value by_head = f.integers({0, 0, shape.heads, shape.head_width()}), together = f.integers({0, 0, width});
  const auto heads = [&](const value& part) {
    return f.node("Transpose", {f.node("Reshape", {part, by_head})}, {{"perm", std::vector{0, 2, 1, 3}}});
  };
  for (int layer = 0; layer < shape.layers; ++layer) {
    const auto qkv = f.split(f.node("MatMul", {in_onnx::rms_norm(f, x), weight(width, 3 * width)}), 3, 2);
    const value keys = f.node("Transpose", {turned(heads(qkv[1]))}, {{"perm", std::vector{0, 1, 3, 2}}});
    const value scores = f.node("Mul", {f.node("MatMul", {turned(heads(qkv[0])), keys}), scale});
    const value weights = f.node("Softmax", {f.node("Add", {scores, future})}, {{"axis", 3}});
    const value mixed = f.node("MatMul", {weights, heads(qkv[2])});
    const value rows = f.node("Transpose", {mixed}, {{"perm", std::vector{0, 2, 1, 3}}});
    x = f.node("Add", {x, f.node("MatMul", {f.node("Reshape", {rows, together}), weight(width, width)})});
    const value hidden = f.node("Relu", {f.node("MatMul", {in_onnx::rms_norm(f, x), weight(width, shape.hidden())})});
    x = f.node("Add", {x, f.node("MatMul", {f.node("Mul", {hidden, hidden}), weight(shape.hidden(), width)})});
  }
  f.output(f.node("MatMul", {in_onnx::rms_norm(f, x), weight(width, symbols)}), "scores", {"batch", "place", symbols});
  return f;
}

/// Examples (batch, input) into outputs before the softmax (batch, class).
inline onnx_file onnx_of(mlp& model) {
  onnx_file f;
  const auto parameters = model.parameters();
  const auto rows = [&](std::size_t k) { return int(parameters[k].values.size() / parameters[k + 1].values.size()); };
  onnx_file::value x = f.input("input", onnx::TensorProto::FLOAT, {"batch", rows(0)});
  int columns = 0;
  for (std::size_t k = 0; k < parameters.size(); k += 2) {
    columns = int(parameters[k + 1].values.size());
    x = f.node("Gemm", {x, f.constant(parameters[k].name, {rows(k), columns}, parameters[k].values),
                        f.constant(parameters[k + 1].name, {columns}, parameters[k + 1].values)});
    if (k + 2 < parameters.size()) x = f.node("Relu", {x});
  }
  f.output(x, "output", {"batch", columns});
  return f;
}

} // namespace models
