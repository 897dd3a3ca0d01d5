// The models of the examples that are written without LibTorch, as files of ONNX: these compute what the models do.
#include "models/onnx.hpp"
#include "models/random.hpp"
#include "round_trip.hpp"

BOOST_AUTO_TEST_SUITE(onnx_examples)

namespace {

using namespace onnx_test;

/// No parameter is 0.
template <class Model>
void fill(Model& model) {
  std::uint64_t k = 0;
  for (auto& t : model.parameters())
    for (float& v : t.values) v = float(.4 * models::unit_interval(models::draw(7, k++)) - .2);
}
Tensor tensor_of(std::span<const float> values, at::IntArrayRef shape) {
  return at::tensor(at::ArrayRef<float>{values.data(), values.size()}).reshape(shape);
}
void agrees(const std::string& name, models::onnx_file file, const Tensor& input, const Tensor& wanted) {
  const folder here;
  file.write(here / "model.onnx");
  onnx::ModelProto model = model_of(here / "model.onnx");
  onnx::shape_inference::InferShapes(model, onnx::OpSchemaRegistry::Instance(), {true, 1, false});
  const double off = distance(evaluate(model, {input}), {wanted});
  BOOST_CHECK_MESSAGE(off <= 1e-5, name << " is off by " << off);
  keep_case(name, here / "model.onnx", {{{input}, {wanted}}});
}

/// Examples that are numbers.
struct made_up {
  int inputs() const { return 6; }
  int label(std::size_t) const { return 0; }
  void copy_input(std::size_t i, float* to) const {
    for (int k = 0; k < 6; ++k) to[k] = float(i) - float(k) / 2;
  }
};

} // namespace

BOOST_AUTO_TEST_CASE(the_transformer_of_train_text) {
  models::transformer model{{.context = 6, .width = 8, .heads = 2, .layers = 2}};
  fill(model);
  const std::string text = "tutti!?tutti?!and so"; // rows of context and one more
  const std::vector<std::uint8_t> rows(text.begin(), text.begin() + 14);
  const Tensor scores = tensor_of(model.scores(rows, 2), {2, 6, models::symbols}).clone();
  const Tensor all = at::tensor(at::ArrayRef<std::uint8_t>{rows.data(), rows.size()}).to(at::kLong).reshape({2, 7});

  agrees("train_text", models::onnx_of(model), all.slice(1, 0, 6).contiguous(), scores);
  // Fewer rows, and fewer places, which do not see what comes behind them.
  agrees("train_text_short", models::onnx_of(model), all.slice(0, 1).slice(1, 0, 3).contiguous(),
         scores.slice(0, 1).slice(1, 0, 3).contiguous());
}
BOOST_AUTO_TEST_CASE(the_perceptrons_of_federated_mnist) {
  for (const auto& [name, widths] : {std::pair{"mlp", std::vector{6, 5, 1, 3}}, {"softmax_regression", {6, 3}}}) {
    models::mlp model{widths};
    fill(model);
    const made_up set;
    Tensor x = at::empty({4, 6});
    for (std::size_t i = 0; i < 4; ++i) set.copy_input(i, x.data_ptr<float>() + 6 * i);
    const std::vector<std::uint32_t> all{0, 1, 2, 3};
    agrees(name, models::onnx_of(model), x, tensor_of(model.scores(set, all), {4, 3}));
  }
}
BOOST_AUTO_TEST_CASE(a_file_appears_whole_or_not_at_all) {
  models::mlp model{{6, 3}};
  const folder here;
  BOOST_CHECK_EQUAL(text_of([&] { models::onnx_of(model).write(here / "no/such/x.onnx"); }),
                    "--onnx: cannot write " + here / "no/such/x.onnx.new");
  BOOST_CHECK(std::filesystem::is_empty(here.path()));
}

BOOST_AUTO_TEST_SUITE_END()
