// Random nestings of modules. --count says how many (10), --seed which.
#include "models.hpp"

#include <algorithm>
#include <cstdint>
#include <random>
#include <string>
#include <vector>

BOOST_AUTO_TEST_SUITE(onnx_fuzz)

namespace {
using namespace onnx_test;

/// x + body(x), where the body keeps the shape.
struct residual : nn::Module {
  nn::Sequential body{nullptr};
  explicit residual(const nn::Sequential& of) { body = register_module("body", of); }
  Tensor forward(const Tensor& x) { return x + body->forward(x); }
};
/// Two bodies side by side, joined along dimension 1.
struct fork : nn::Module {
  nn::Sequential left{nullptr}, right{nullptr};
  fork(const nn::Sequential& l, const nn::Sequential& r) {
    left = register_module("left", l);
    right = register_module("right", r);
  }
  Tensor forward(const Tensor& x) { return at::cat({left->forward(x), right->forward(x)}, 1); }
};
const auto describe_residual = [](onnx_graph& graph, residual& m, const onnx_value& x) { return x + graph(m.body, x); };
const auto describe_fork = [](onnx_graph& graph, fork& m, const onnx_value& x) {
  return tutti::torch::cat({graph(m.left, x), graph(m.right, x)}, 1);
};

/// Whether a net leaves nothing but rounding, as one does that ends by normalising a single value: LibTorch has 1e-8 there
/// where others have 0.
bool is_rounding_alone(nn::Sequential& net, const Tensor& example) {
  const at::NoGradGuard unrecorded;
  net->eval();
  const double size = net->forward(example).abs().max().item<double>();
  return size > 0 && size < 1e-5;
}
/// What is normalised may be all the same, by a softmax of one: a small eps would make rounding as large as values.
/// Grows a module for inputs (batch, channels[, places...]) and keeps count of what comes out.
class grower {
public:
  explicit grower(std::uint64_t seed) : draw_{seed} {}

  nn::Sequential grow(std::vector<std::int64_t>& shape, int depth) {
    nn::Sequential out;
    out->push_back(nn::Identity()); // an empty one has no forward()
    for (std::int64_t k = 1 + below(4); k-- > 0;) add(out, shape, depth);
    return out;
  }
  std::int64_t below(std::int64_t n) { return std::int64_t(draw_() % std::uint64_t(n)); }

private:
  void add(nn::Sequential& out, std::vector<std::int64_t>& shape, int depth) {
    const std::int64_t channels = shape[1], rank = std::int64_t(shape.size());
    switch (below(depth > 0 ? 12 : 9)) {
    case 0: activation(out, shape); break;
    case 1: activation(out, shape); break;
    case 2:
      shape.back() = 1 + below(7);
      out->push_back(nn::Linear(nn::LinearOptions(last_, shape.back()).bias(below(4) != 0)));
      break;
    case 3:
      if (rank == 3) convolve<nn::Conv1d, 1>(out, shape);
      else if (rank == 4) convolve<nn::Conv2d, 2>(out, shape);
      else if (rank == 5) convolve<nn::Conv3d, 3>(out, shape);
      break;
    case 4:
      if (rank < 4) out->push_back(nn::BatchNorm1d(channels));
      else if (rank == 4) out->push_back(nn::BatchNorm2d(nn::BatchNorm2dOptions(channels).affine(below(2) == 0)));
      else out->push_back(nn::BatchNorm3d(channels));
      break;
    case 5:
      out->push_back(nn::LayerNorm(nn::LayerNormOptions({shape.back()}).eps(.1).elementwise_affine(below(2) == 0)));
      break;
    case 6: out->push_back(nn::GroupNorm(nn::GroupNormOptions(channels % 2 == 0 ? 2 : 1, channels).eps(.1))); break;
    case 7: pool(out, shape); break;
    case 8:
      if (rank > 2 && below(3) == 0) flatten(out, shape);
      else out->push_back(nn::Dropout(.5));
      break;
    case 9: out->push_back(nested(grow(shape, depth - 1))); break;
    case 10: {
      nn::Sequential body;
      for (std::int64_t k = below(4); k >= 0; --k) activation(body, shape);
      body->push_back(nn::Linear(shape.back(), shape.back()));
      out->push_back(residual(body));
      break;
    }
    default: {
      std::vector<std::int64_t> same = shape;
      nn::Sequential left = grow(shape, depth - 1), right;
      activation(right, same);
      if (shape.size() == same.size() && std::equal(shape.begin() + 2, shape.end(), same.begin() + 2)) {
        shape[1] += same[1];
        out->push_back(fork(left, right));
      } else {
        out->push_back(nested(left));
      }
    }
    }
    last_ = shape.back();
  }
  void activation(nn::Sequential& out, const std::vector<std::int64_t>& shape) {
    switch (below(10)) {
    case 0: out->push_back(nn::ReLU()); break;
    case 1: out->push_back(nn::GELU()); break;
    case 2: out->push_back(nn::Tanh()); break;
    case 3: out->push_back(nn::SiLU()); break;
    case 4: out->push_back(nn::LeakyReLU(nn::LeakyReLUOptions().negative_slope(.1))); break;
    case 5: out->push_back(nn::Softplus()); break;
    case 6: out->push_back(nn::Softmax(below(std::int64_t(shape.size()) - 1) + 1)); break;
    case 7: out->push_back(nn::ELU()); break;
    case 8: out->push_back(nn::PReLU(nn::PReLUOptions().num_parameters(shape[1]))); break;
    default: out->push_back(nn::Hardtanh()); break;
    }
  }
  template <class Holder, std::size_t D>
  void convolve(nn::Sequential& out, std::vector<std::int64_t>& shape) {
    const std::int64_t to = 2 * (1 + below(3)), kernel = 1 + below(3);
    nn::ConvOptions<D> options(shape[1], to, kernel);
    options.bias(below(3) != 0);
    if (below(2) == 0) {
      options.padding(torch::kSame);
    } else {
      for (std::size_t k = 2; k < shape.size(); ++k)
        if (shape[k] + 2 < kernel) return;
      const std::int64_t stride = 1 + below(2);
      options.padding(1).stride(stride);
      for (std::size_t k = 2; k < shape.size(); ++k) shape[k] = (shape[k] + 2 - kernel) / stride + 1;
    }
    shape[1] = to;
    out->push_back(Holder(options));
  }
  void pool(nn::Sequential& out, std::vector<std::int64_t>& shape) {
    for (std::size_t k = 2; k < shape.size(); ++k)
      if (shape[k] < 2) return;
    const bool ceil = below(2) == 0;
    if (shape.size() == 3) {
      if (below(2) == 0) out->push_back(nn::MaxPool1d(nn::MaxPool1dOptions(2).ceil_mode(ceil)));
      else out->push_back(nn::AvgPool1d(nn::AvgPool1dOptions(2).ceil_mode(ceil)));
    } else if (shape.size() == 4) {
      if (below(2) == 0) out->push_back(nn::MaxPool2d(nn::MaxPool2dOptions(2).ceil_mode(ceil)));
      else out->push_back(nn::AvgPool2d(nn::AvgPool2dOptions(2).ceil_mode(ceil)));
    } else {
      return;
    }
    for (std::size_t k = 2; k < shape.size(); ++k) shape[k] = (shape[k] + ceil) / 2;
  }
  void flatten(nn::Sequential& out, std::vector<std::int64_t>& shape) {
    out->push_back(nn::Flatten());
    shape = {shape[0], c10::multiply_integers(shape) / shape[0]};
  }

  std::mt19937_64 draw_;
  std::int64_t last_ = 0;

public:
  void begin(const std::vector<std::int64_t>& shape) { last_ = shape.back(); }
};
} // namespace

BOOST_AUTO_TEST_CASE(random_nestings) {
  const int count = std::stoi(argument("count", "10")), seed = std::stoi(argument("seed", "1"));
  for (int k = 0; k < count; ++k) {
    grower from{std::uint64_t(seed) * 1000 + std::uint64_t(k)};
    std::vector<std::int64_t> shape{2, 2 * (1 + from.below(3))};
    for (std::int64_t d = from.below(4); d > 0; --d) shape.push_back(3 + from.below(5));
    const std::vector<std::int64_t> given = shape;
    from.begin(shape);
    nn::Sequential net = from.grow(shape, 3);
    std::vector<std::int64_t> other = given;
    other[0] = 3;
    auto& module = filled(*net, k);
    const Tensor example = numbers(given, k);
    if (is_rounding_alone(net, example)) continue;
    round_trip("fuzz/" + std::to_string(seed) + "_" + std::to_string(k), module, example, {numbers(other, k + 1)},
               describe_nested, describe_residual, describe_fork);
  }
}

BOOST_AUTO_TEST_SUITE_END()
