// What a file of ONNX computes, by the text of ONNX's operator specification, opset 17: each operator that this library
// writes, in the plainest way. ONNX Runtime says the same in tests/acceptance.sh.
#pragma once

#include <ATen/ATen.h>
#include <onnx/onnx_pb.h>

#include <cstdint>
#include <cstring>
#include <limits>
#include <map>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

namespace onnx_test {

using at::Tensor;

inline Tensor tensor_of(const onnx::TensorProto& proto) {
  static const std::map<int, at::ScalarType> elements{{onnx::TensorProto::FLOAT, at::kFloat},
                                                      {onnx::TensorProto::DOUBLE, at::kDouble},
                                                      {onnx::TensorProto::INT64, at::kLong},
                                                      {onnx::TensorProto::INT32, at::kInt},
                                                      {onnx::TensorProto::BOOL, at::kBool}};
  const std::vector<std::int64_t> sizes(proto.dims().begin(), proto.dims().end());
  const Tensor out = at::empty(sizes, elements.at(proto.data_type()));
  if (out.nbytes() != proto.raw_data().size())
    throw std::runtime_error{proto.name() + " has other bytes than elements"};
  std::memcpy(out.data_ptr(), proto.raw_data().data(), out.nbytes());
  return out;
}

/// One node: inputs by place, undefined where left out.
class evaluated_node {
public:
  evaluated_node(const onnx::NodeProto& node, std::vector<Tensor> inputs) : node_{node}, in_{std::move(inputs)} {}

  std::vector<Tensor> outputs() const {
    const std::string& op = node_.op_type();
    const auto found = operators().find(op);
    if (found != operators().end()) return {found->second(*this)};
    if (op == "LSTM" || op == "GRU" || op == "RNN") return recurrent(op);
    if (op == "Split") return x().chunk(node_.output_size(), ints_or("axis", {0})[0]);
    throw std::runtime_error{"the evaluator has no " + op};
  }

private:
  using function = Tensor (*)(const evaluated_node&);

  const Tensor& x() const { return in_[0]; }
  Tensor in(std::size_t k) const { return k < in_.size() ? in_[k] : Tensor{}; }
  const onnx::AttributeProto* attribute(const char* name) const {
    for (const auto& each : node_.attribute())
      if (each.name() == name) return &each;
    return nullptr;
  }
  std::int64_t integer(const char* name, std::int64_t otherwise) const {
    return attribute(name) ? attribute(name)->i() : otherwise;
  }
  double number(const char* name, double otherwise) const {
    return attribute(name) ? double(attribute(name)->f()) : otherwise;
  }
  std::vector<std::int64_t> ints_or(const char* name, std::vector<std::int64_t> otherwise) const {
    const auto* found = attribute(name);
    if (found == nullptr) return otherwise;
    if (found->ints_size() == 0 && found->type() == onnx::AttributeProto::INT) return {found->i()};
    return {found->ints().begin(), found->ints().end()};
  }
  static std::vector<std::int64_t> list(const Tensor& t) {
    const Tensor flat = t.reshape(-1).contiguous();
    return {flat.data_ptr<std::int64_t>(), flat.data_ptr<std::int64_t>() + flat.numel()};
  }

  static const std::map<std::string, function>& operators() {
    using n = const evaluated_node&;
    static const std::map<std::string, function> all{
        {"Identity", [](n o) { return o.x(); }},
        {"Add", [](n o) { return o.x() + o.in(1); }},
        {"Sub", [](n o) { return o.x() - o.in(1); }},
        {"Mul", [](n o) { return o.x() * o.in(1); }},
        {"Div", [](n o) { return o.x() / o.in(1); }},
        {"Neg", [](n o) { return o.x().neg(); }},
        {"Exp", [](n o) { return o.x().exp(); }},
        {"Log", [](n o) { return o.x().log(); }},
        {"Sqrt", [](n o) { return o.x().sqrt(); }},
        {"Erf", [](n o) { return o.x().erf(); }},
        {"Tanh", [](n o) { return o.x().tanh(); }},
        {"Sigmoid", [](n o) { return 1 / (1 + (-o.x()).exp()); }},
        {"Softplus", [](n o) { return (o.x().to(at::kDouble).exp() + 1).log().to(o.x().scalar_type()); }},
        {"Softsign", [](n o) { return o.x() / (1 + o.x().abs()); }},
        {"Relu", [](n o) { return o.x().clamp_min(0); }},
        {"LeakyRelu", [](n o) { return at::where(o.x() < 0, o.x() * o.number("alpha", .01), o.x()); }},
        {"PRelu", [](n o) { return at::where(o.x() < 0, o.x() * o.in(1), o.x()); }},
        {"Elu", [](n o) { return at::where(o.x() < 0, (o.x().exp() - 1) * o.number("alpha", 1), o.x()); }},
        {"Selu",
         [](n o) {
           const double alpha = o.number("alpha", 1.67326319217681884765625),
                        gamma = o.number("gamma", 1.05070102214813232421875);
           return at::where(o.x() > 0, o.x(), (o.x().exp() - 1) * alpha) * gamma;
         }},
        {"Shrink",
         [](n o) {
           const double lambda = o.number("lambd", .5), bias = o.number("bias", 0);
           return at::where(o.x() < -lambda, o.x() + bias, at::where(o.x() > lambda, o.x() - bias, o.x() * 0));
         }},
        {"Clip", [](n o) { return at::min(at::max(o.x(), o.in(1)), o.in(2)); }},
        {"Greater", [](n o) { return o.x() > o.in(1); }},
        {"Where", [](n o) { return at::where(o.x(), o.in(1), o.in(2)); }},
        {"Softmax", [](n o) { return o.x().softmax(o.integer("axis", -1)); }},
        {"LogSoftmax", [](n o) { return o.x().log_softmax(o.integer("axis", -1)); }},
        {"MatMul", [](n o) { return at::matmul(o.x(), o.in(1)); }},
        {"Gemm",
         [](n o) {
           const Tensor product = at::matmul(o.x(), o.integer("transB", 0) ? o.in(1).t() : o.in(1));
           return o.in(2).defined() ? product + o.in(2) : product;
         }},
        {"Transpose", [](n o) { return o.x().permute(o.ints_or("perm", {})); }},
        {"Reshape",
         [](n o) {
           std::vector<std::int64_t> to = list(o.in(1));
           for (std::size_t k = 0; k < to.size(); ++k)
             if (to[k] == 0) to[k] = o.x().size(std::int64_t(k));
           return o.x().reshape(to);
         }},
        {"Shape",
         [](n o) {
           const std::int64_t from = o.integer("start", 0), to = o.integer("end", o.x().dim());
           return at::tensor(o.x().sizes().slice(std::size_t(from), std::size_t(to - from)), at::kLong);
         }},
        {"Concat", [](n o) { return at::cat(o.in_, o.integer("axis", 0)); }},
        {"Unsqueeze", [](n o) { return o.x().unsqueeze(list(o.in(1)).at(0)); }},
        {"Squeeze", [](n o) { return o.x().squeeze(list(o.in(1)).at(0)); }},
        {"Slice",
         [](n o) {
           const auto from = list(o.in(1)), to = list(o.in(2)), axes = list(o.in(3));
           Tensor out = o.x();
           for (std::size_t k = 0; k < axes.size(); ++k) out = out.slice(axes[k], from[k], to[k]);
           return out;
         }},
        {"Gather",
         [](n o) {
           const std::int64_t axis = o.integer("axis", 0);
           const Tensor index = o.in(1).reshape(-1).to(at::kLong);
           const Tensor rows = o.x().index_select(axis, at::where(index < 0, index + o.x().size(axis), index));
           std::vector<std::int64_t> shape = o.x().sizes().vec();
           shape.erase(shape.begin() + axis);
           shape.insert(shape.begin() + axis, o.in(1).sizes().begin(), o.in(1).sizes().end());
           return rows.reshape(shape);
         }},
        {"ReduceMean", [](n o) { return o.x().mean(o.ints_or("axes", {}), o.integer("keepdims", 1) != 0); }},
        {"ReduceSum", [](n o) { return o.x().sum(list(o.in(1)), o.integer("keepdims", 1) != 0); }},
        {"ConstantOfShape", [](n o) { return tensor_of(o.attribute("value")->t()).expand(list(o.x())).contiguous(); }},
        {"Trilu",
         [](n o) {
           const std::int64_t k = list(o.in(1)).at(0);
           return o.integer("upper", 1) ? at::triu(o.x(), k) : at::tril(o.x(), k);
         }},
        {"Pad", [](n o) { return o.padded(); }},
        {"Conv",
         [](n o) {
           const auto none = zeros(o.in(1).dim() - 2);
           return at::convolution(pad_ends(o.x(), o.ints_or("pads", {}), 0), o.in(1), o.in(2), o.ints_or("strides", {}),
                                  none, o.ints_or("dilations", {}), false, none, o.integer("group", 1));
         }},
        {"ConvTranspose",
         [](n o) {
           std::vector<std::int64_t> pads = o.ints_or("pads", {});
           pads.resize(pads.size() / 2); // as large at the ends
           return at::convolution(o.x(), o.in(1), o.in(2), o.ints_or("strides", {}), pads, o.ints_or("dilations", {}),
                                  true, o.ints_or("output_padding", {}), o.integer("group", 1));
         }},
        {"MaxPool", [](n o) { return o.windows(-std::numeric_limits<double>::infinity()).amax(-1); }},
        {"AveragePool",
         [](n o) {
           const Tensor sums = o.windows(0).sum(-1);
           const Tensor ones = at::ones_like(o.x());
           return o.integer("count_include_pad", 0) ? o.windows(0).mean(-1)
                                                    : sums / evaluated_node{o.node_, {ones}}.windows(0).sum(-1);
         }},
        {"GlobalAveragePool", [](n o) { return o.x().mean(o.space(), true); }},
        {"GlobalMaxPool", [](n o) { return o.x().amax(o.space(), true); }},
        {"BatchNormalization",
         [](n o) {
           std::vector<std::int64_t> shape(std::size_t(o.x().dim()), 1);
           shape[1] = -1;
           const auto wide = [&](std::size_t k) { return o.in(k).reshape(shape); };
           return (o.x() - wide(3)) / (wide(4) + o.number("epsilon", 1e-5)).sqrt() * wide(1) + wide(2);
         }},
        {"LayerNormalization", [](n o) {
           std::vector<std::int64_t> over;
           for (std::int64_t d = o.integer("axis", -1); d < 0; ++d) over.push_back(d);
           const Tensor centred = o.x() - o.x().mean(over, true);
           const Tensor out =
               centred / ((centred * centred).mean(over, true) + o.number("epsilon", 1e-5)).sqrt() * o.in(1);
           return o.in(2).defined() ? out + o.in(2) : out;
         }}};
    return all;
  }

  static std::vector<std::int64_t> zeros(std::int64_t n) { return std::vector<std::int64_t>(std::size_t(n), 0); }
  std::vector<std::int64_t> space() const {
    std::vector<std::int64_t> out;
    for (std::int64_t d = 2; d < x().dim(); ++d) out.push_back(d);
    return out;
  }
  /// All beginnings, then all ends, of the last dimensions.
  static Tensor pad_ends(Tensor t, const std::vector<std::int64_t>& pads, double number) {
    const std::size_t half = pads.size() / 2;
    std::vector<std::int64_t> reversed;
    for (std::size_t k = half; k-- > 0;) reversed.push_back(pads[k]), reversed.push_back(pads[k + half]);
    return at::constant_pad_nd(t, reversed, number);
  }
  Tensor padded() const {
    const auto pads = list(in(1));
    const std::string mode = attribute("mode") ? attribute("mode")->s() : "constant";
    if (mode == "constant") return pad_ends(x(), pads, in(2).defined() ? in(2).item<double>() : 0);
    Tensor out = x(); // by index: mirrored without the edge, or the edge again
    const std::size_t rank = pads.size() / 2;
    for (std::size_t d = 0; d < rank; ++d) {
      const std::int64_t n = out.size(std::int64_t(d));
      Tensor index = at::arange(-pads[d], n + pads[d + rank]);
      if (mode == "reflect") {
        index = index.abs();
        index = at::where(index >= n, 2 * (n - 1) - index, index);
      } else {
        index = index.clamp(0, n - 1);
      }
      out = out.index_select(std::int64_t(d), index);
    }
    return out;
  }
  /// The elements of each window along a last dimension.
  Tensor windows(double beyond) const {
    const auto kernel = ints_or("kernel_shape", {}), strides = ints_or("strides", {});
    const auto pads = ints_or("pads", zeros(2 * std::int64_t(kernel.size())));
    const auto dilations = ints_or("dilations", std::vector<std::int64_t>(kernel.size(), 1));
    Tensor out = pad_ends(x(), pads, beyond);
    for (std::size_t k = 0; k < kernel.size(); ++k) {
      const std::int64_t reach = dilations[k] * (kernel[k] - 1) + 1;
      out = out.unfold(std::int64_t(k + 2), reach, strides[k]).slice(-1, 0, reach, dilations[k]);
    }
    return out.flatten(x().dim());
  }

  /// X (length, batch, in); W (directions, gates * hidden, in); R likewise; B both biases; Y (length, directions,
  /// batch, hidden), and the last states (directions, batch, hidden). Activations are the default ones, or those of an
  /// RNN.
  std::vector<Tensor> recurrent(const std::string& op) const {
    const std::int64_t length = x().size(0), batch = x().size(1), hidden = integer("hidden_size", 0);
    const bool both = attribute("direction") && attribute("direction")->s() == "bidirectional";
    const bool relu = attribute("activations") && attribute("activations")->strings(0) == "Relu";
    std::vector<Tensor> ys, hs, cs;
    for (std::int64_t d = 0; d < (both ? 2 : 1); ++d) {
      const Tensor w = in(1)[d], r = in(2)[d];
      const std::int64_t gates = w.size(0) / hidden;
      const Tensor b = in(3).defined() ? in(3)[d] : at::zeros({2 * gates * hidden}, x().options());
      Tensor h = in(5).defined() ? in(5)[d] : at::zeros({batch, hidden}, x().options());
      Tensor c = in(6).defined() ? in(6)[d] : at::zeros({batch, hidden}, x().options());
      const auto part = [&](const Tensor& of, std::int64_t k) { return of.narrow(0, k * hidden, hidden); };
      const auto from_input = [&](const Tensor& at_t, std::int64_t k) {
        return at::matmul(at_t, part(w, k).t()) + part(b, k);
      };
      const auto from_state = [&](const Tensor& state, std::int64_t k) { return at::matmul(state, part(r, k).t()); };
      const auto gate = [&](const Tensor& at_t, std::int64_t k) {
        return from_input(at_t, k) + from_state(h, k) + part(b, gates + k);
      };
      std::vector<Tensor> y(std::size_t(length), Tensor{});
      for (std::int64_t k = 0; k < length; ++k) {
        const std::int64_t t = d == 0 ? k : length - 1 - k;
        const Tensor now = x()[t];
        if (op == "LSTM") { // i o f c
          const Tensor i = at::sigmoid(gate(now, 0)), o = at::sigmoid(gate(now, 1)), f = at::sigmoid(gate(now, 2));
          c = f * c + i * at::tanh(gate(now, 3));
          h = o * at::tanh(c);
        } else if (op == "GRU") { // z r h
          const Tensor z = at::sigmoid(gate(now, 0)), reset = at::sigmoid(gate(now, 1));
          const Tensor inner = integer("linear_before_reset", 0) ? reset * (from_state(h, 2) + part(b, 5))
                                                                 : from_state(reset * h, 2) + part(b, 5);
          h = (1 - z) * at::tanh(from_input(now, 2) + inner) + z * h;
        } else {
          h = relu ? at::relu(gate(now, 0)) : at::tanh(gate(now, 0));
        }
        y[std::size_t(t)] = h;
      }
      ys.push_back(at::stack(y)), hs.push_back(h), cs.push_back(c);
    }
    std::vector<Tensor> out{at::stack(ys, 1), at::stack(hs)};
    if (op == "LSTM") out.push_back(at::stack(cs));
    return out;
  }

  const onnx::NodeProto& node_;
  std::vector<Tensor> in_;
};

/// The outputs of a model; what it declares about inputs and outputs has to hold.
inline std::vector<Tensor> evaluate(const onnx::ModelProto& model, const std::vector<Tensor>& inputs) {
  const auto& graph = model.graph();
  std::map<std::string, Tensor> values;
  const auto declared = [](const onnx::ValueInfoProto& info, const Tensor& t) {
    const auto& shape = info.type().tensor_type().shape();
    bool holds = shape.dim_size() == t.dim();
    for (int d = 0; holds && d < shape.dim_size(); ++d)
      holds = !shape.dim(d).has_dim_value() || shape.dim(d).dim_value() == t.size(d);
    if (!holds) throw std::runtime_error{info.name() + " has another shape than is declared"};
  };
  for (const auto& each : graph.initializer()) values[each.name()] = tensor_of(each);
  if (graph.input_size() != int(inputs.size())) throw std::runtime_error{"it takes another number of inputs"};
  for (int k = 0; k < graph.input_size(); ++k) {
    declared(graph.input(k), inputs[std::size_t(k)]);
    values[graph.input(k).name()] = inputs[std::size_t(k)];
  }
  for (const auto& node : graph.node()) {
    std::vector<Tensor> in;
    for (const auto& name : node.input()) in.push_back(name.empty() ? Tensor{} : values.at(name));
    const auto out = evaluated_node{node, in}.outputs();
    for (int k = 0; k < node.output_size(); ++k) values[node.output(k)] = out.at(std::size_t(k));
  }
  std::vector<Tensor> out;
  for (const auto& each : graph.output()) {
    out.push_back(values.at(each.name()));
    declared(each, out.back());
  }
  return out;
}

} // namespace onnx_test
