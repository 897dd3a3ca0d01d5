// What cannot be exported is an error that names it, and no file; and a module is left as it was found.
#include "models.hpp"
#include "round_trip.hpp"

#include <filesystem>

BOOST_AUTO_TEST_SUITE(onnx_refusals)

namespace {
using namespace onnx_test;

/// The error, which comes without a file, and without leaving one.
template <class Module, class Example, class... More>
void refused(Module& module, const Example& example, const std::string& text, const More&... more) {
  const folder here;
  const std::string said = text_of([&] { tutti::torch::to_onnx(module, example, here / "x.onnx", more...); });
  BOOST_CHECK_MESSAGE(said.find(text) != std::string::npos, said << "\n  is not\n" << text);
  BOOST_CHECK(std::filesystem::is_empty(here.path()));
}

/// Derived from what is known, and other: its forward() is its author's.
struct doubled_impl : nn::LinearImpl {
  using nn::LinearImpl::LinearImpl;
  Tensor forward(const Tensor& x) { return nn::LinearImpl::forward(x) * 2; }
};
struct random_module : nn::Module {
  Tensor forward(const Tensor& x, const Tensor& = {}) { return x + at::rand_like(x); }
};
/// Takes no input but those of five places.
struct positions : nn::Module {
  Tensor table = register_parameter("table", numbers({5, 3}, 1));
  Tensor forward(const Tensor& x) { return x + table; }
};
struct written : nn::Module {
  Tensor forward(const Tensor& x) { return x.reshape({x.size(0) * 2, -1}); }
};
} // namespace

BOOST_AUTO_TEST_CASE(modules_that_are_not_known) {
  const Tensor x = numbers({2, 6}, 1);

  nn::Sequential net(nn::Linear(6, 4), nested(nn::Sequential(nn::ReLU(), nn::Unflatten(nn::UnflattenOptions(1, std::vector<std::int64_t>{2, 2})))));
  refused(
      *net, x,
      "tutti: to_onnx: unsupported: \"1.body.1\" (torch::nn::UnflattenImpl): what forward() computes is not known - "
      "give to_onnx a visitor, [](tutti::torch::onnx_graph& graph, torch::nn::UnflattenImpl& module, "
      "tutti::torch::onnx_value x) { ... }",
      describe_nested);
  convolutional user;
  refused(user, numbers({1, 1, 28, 28}, 1),
          "the module (onnx_test::convolutional): what forward() computes is not known");
  nn::Sequential other(nn::Linear(6, 4), std::make_shared<doubled_impl>(4, 2));
  refused(*other, x, "\"1\" (");
  refused(*other, x, "doubled_impl): what forward() computes is not known");
  const auto twice = [](onnx_graph& graph, doubled_impl& m, onnx_value v) {
    return linear(v, graph.constant(m.weight), graph.constant(m.bias)) * 2;
  };
  round_trip("derived", *other, x, {}, twice);
  transformer text;
  refused(text, words({2, 5}, 1, 11), "\"first\" (onnx_test::block): what forward() computes is not known",
          describe_transformer);
}

BOOST_AUTO_TEST_CASE(options_that_onnx_has_not) {
  const Tensor line = numbers({2, 3, 7}, 1);

  nn::Sequential pools(nn::AdaptiveAvgPool1d(3));
  refused(*pools, line, "\"0\" (torch::nn::AdaptiveAvgPool1dImpl): from 7 to 3, and windows of one size");
  refused(*nn::LSTM(nn::LSTMOptions(7, 4).proj_size(2)), line, "the module (torch::nn::LSTMImpl): proj_size");
  refused(*nn::Embedding(nn::EmbeddingOptions(9, 2).max_norm(1)), words({2, 3}, 1, 9), "max_norm");
  refused(*nn::Conv1d(3, 2, 2), line[0], "an input with 2 dimensions - with a batch there are 3");
  refused(*nn::MultiheadAttention(nn::MultiheadAttentionOptions(8, 2).add_zero_attn(true)),
          std::tuple{numbers({3, 2, 8}, 1), numbers({3, 2, 8}, 1), numbers({3, 2, 8}, 1)}, "add_zero_attn");
  nn::TransformerEncoderLayer layer(
      nn::TransformerEncoderLayerOptions(8, 2).activation([](const Tensor& x) { return x.abs(); }));
  refused(*layer, numbers({3, 2, 8}, 1), "its activation is a function");
}

BOOST_AUTO_TEST_CASE(visitors_that_are_wrong) {
  const Tensor picture = numbers({2, 1, 28, 28}, 1);
  convolutional net;

  refused(net, picture,
          "the module (onnx_test::convolutional): forward() computes other values than are described, off by ",
          [](onnx_graph& graph, convolutional& n, onnx_value x) { // without a ReLU
            x = graph(nn::MaxPool2d(2), relu(graph(n.first, x)));
            x = graph(nn::MaxPool2d(2), graph(n.second, x));
            return graph(n.last, flatten(x, 1));
          });
  refused(net, picture, "\"shape\" depends on the size of the input", // a batch of two is written down
          [](onnx_graph& graph, convolutional& n, onnx_value x) {
            x = graph(nn::MaxPool2d(2), relu(graph(n.first, x)));
            x = graph(nn::MaxPool2d(2), relu(graph(n.second, x)));
            return graph(n.last, reshape(x, {x.example().size(0), 256}));
          });
  random_module any;
  refused(any, picture, "forward() computes other values than are described, off by ",
          [](onnx_graph&, random_module&, onnx_value x) { return x + .5; });
  refused(any, picture, "its visitor takes 2 values and is given 1",
          [](onnx_graph&, random_module&, const onnx_value& x, const onnx_value&) { return x; });
  refused(any, picture, "forward() computes 1 tensors, and 2 are described",
          [](onnx_graph&, random_module&, const onnx_value& x) {
            return std::tuple{x, x};
          });
  refused(any, picture, "forward() computes Float [2, 1, 28, 28] where Float [2, 784] is described",
          [](onnx_graph&, random_module&, const onnx_value& x) { return flatten(x, 1); });
}

BOOST_AUTO_TEST_CASE(sizes_that_vary) {
  positions net;
  const auto visitor = [](onnx_graph& graph, positions& m, onnx_value x) { return x + graph.constant(m.table); };
  const Tensor x = numbers({2, 5, 3}, 1);

  round_trip("positions", net, x, {numbers({4, 5, 3}, 2)}, visitor);
  refused(net, x, "an input of twice the size is refused: ", onnx_options{.varying = {{0, 1}}}, visitor);
  refused(net, x, "name in onnx_options::varying only dimensions that may have any size",
          onnx_options{.varying = {{0, 1}}}, visitor);
  refused(net, x, "onnx_options::varying has dimension 3 of an input with 3", onnx_options{.varying = {{3}}}, visitor);
  // Fixed in all sizes, whatever is written into it.
  written fixed;
  round_trip("written", fixed, numbers({2, 6}, 1), {}, onnx_options{.varying = {}},
             [](onnx_graph&, written&, const onnx_value& v) {
               return reshape(v, {4, -1});
             });
}

BOOST_AUTO_TEST_CASE(files) {
  nn::Linear net(6, 4);
  const Tensor x = numbers({2, 6}, 1);
  const folder here;
  const std::string file = here / "net.onnx";

  refused(*net, x, "the file would have 112 bytes, and may have 100", onnx_options{.most_bytes = 100});
  refused(*net, x, "and may have 150 - export parts of the module", onnx_options{.most_bytes = 150});
  refused(*net, x, "there are 1 inputs and 2 names for them", onnx_options{.inputs = {"a", "b"}});
  refused(*net, x, "there are 1 outputs and 2 names for them", onnx_options{.outputs = {"a", "b"}});
  BOOST_CHECK_NE(text_of([&] { tutti::torch::to_onnx(net, x, here / "no/such/folder"); }).find("cannot be opened"),
                 std::string::npos);

  // An earlier file stays when the next fails, and goes when it succeeds.
  tutti::torch::to_onnx(net, x, file);
  const std::string before = bytes_of(file);
  text_of([&] { tutti::torch::to_onnx(net, x, file, onnx_options{.most_bytes = 100}); });
  BOOST_CHECK(bytes_of(file) == before);
  tutti::torch::to_onnx(net, x, file, onnx_options{.inputs = {"x"}, .outputs = {"y"}});
  BOOST_CHECK_EQUAL(model_of(file).graph().input(0).name(), "x");
  BOOST_CHECK_EQUAL(model_of(file).graph().output(0).name(), "y");
  std::size_t count = 0;
  for ([[maybe_unused]] const auto& each : std::filesystem::directory_iterator{here.path()}) ++count;
  BOOST_CHECK_EQUAL(count, 1U);
}

BOOST_AUTO_TEST_CASE(left_as_found) {
  nn::Sequential net(nn::Linear(6, 4), nn::BatchNorm1d(4), nn::Dropout(.5), nested(nn::Sequential(nn::Linear(4, 2))));
  net->train();
  net[1]->eval(); // modes of their own
  for (const auto& p : net->parameters()) p.mutable_grad() = at::ones_like(p);
  std::vector<Tensor> before;
  for (const auto& t : net->parameters()) before.push_back(t.detach().clone());
  for (const auto& t : net->buffers()) before.push_back(t.detach().clone());
  at::manual_seed(3);
  const Tensor drawn = at::rand({4});
  at::manual_seed(3);

  round_trip("in_training", *net, numbers({4, 6}, 1), {}, describe_nested);
  net->train();
  net[1]->eval();
  const folder here;
  at::manual_seed(3);
  tutti::torch::to_onnx(net, numbers({4, 6}, 1), here / "net.onnx", describe_nested);

  BOOST_CHECK(at::equal(at::rand({4}), drawn));
  BOOST_CHECK(net->is_training() && !net[1]->is_training() && net[2]->is_training() && net[3]->is_training());
  std::size_t k = 0;
  for (const auto& t : net->parameters())
    BOOST_CHECK(at::equal(t, before[k++]) && t.grad().defined() && t.requires_grad());
  for (const auto& t : net->buffers()) BOOST_CHECK(at::equal(t, before[k++]));
}

BOOST_AUTO_TEST_SUITE_END()
