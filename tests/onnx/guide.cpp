// What docs/libtorch.md shows of ONNX.
#include "round_trip.hpp"

#include <filesystem>
#include <memory>

BOOST_AUTO_TEST_SUITE(onnx_guide)

namespace {

// example-begin visitor
struct gated : torch::nn::Module {
  torch::nn::Linear value{nullptr}, gate{nullptr};
  gated() {
    value = register_module("value", torch::nn::Linear(4, 3));
    gate = register_module("gate", torch::nn::Linear(4, 3));
  }
  torch::Tensor forward(const torch::Tensor& x) { return value(x) * torch::sigmoid(gate(x)); }
};
const auto in_onnx = [](tutti::torch::onnx_graph& graph, gated& net, const tutti::torch::onnx_value& x) {
  return graph(net.value, x) * sigmoid(graph(net.gate, x));
};
// example-end visitor

} // namespace

BOOST_AUTO_TEST_CASE(shown) {
  const onnx_test::folder folder;

  // example-begin sequential
  torch::nn::Sequential net(torch::nn::Linear(4, 16), torch::nn::GELU(), torch::nn::Linear(16, 3));
  tutti::torch::to_onnx(net, torch::rand({2, 4}), folder / "net.onnx");
  // example-end sequential

  // example-begin nested
  torch::nn::Sequential both(std::make_shared<gated>(), torch::nn::Linear(3, 2));
  tutti::torch::to_onnx(both, torch::rand({2, 4}), folder / "both.onnx", in_onnx);
  // example-end nested

  const torch::Tensor x = torch::rand({5, 4});
  const at::NoGradGuard unrecorded;
  BOOST_CHECK_LE(
      onnx_test::distance(onnx_test::evaluate(onnx_test::model_of(folder / "net.onnx"), {x}), {net->forward(x)}), 1e-5);
  BOOST_CHECK_LE(
      onnx_test::distance(onnx_test::evaluate(onnx_test::model_of(folder / "both.onnx"), {x}), {both->forward(x)}),
      1e-5);
}

BOOST_AUTO_TEST_SUITE_END()
