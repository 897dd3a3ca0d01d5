// A small transformer of LibTorch learns to write, one byte after the other, on many ranks, threads of this process:
// Shakespeare below TUTTI_DATA, or what this repository says of itself. Its matrices are moved by muon, all else by AdamW.
// test: --steps 12 --ranks 2 --batch 4 --width 32 --layers 1 --at-most 5.0
// test: --steps 2 --batch 2 --width 16 --layers 2 --context 8 --onnx transformer.onnx
// refuses: --ranks 0 => --ranks 0: give 1 to
// refuses: --width 30 => --width 30: give a multiple of the 4 heads
// refuses: --resume => --resume: give --checkpoints, the folder to go on from
// refuses: --resume --checkpoints /no/such/folder => --resume: there is no checkpoint in /no/such/folder
#include "models/data_file.hpp"
#include "models/text.hpp"
#include "support/launch.hpp"
#include "support/progress.hpp"

#include <CLI/CLI.hpp>
#include <tutti/adapters/torch.hpp>
#include <tutti/adapters/torch_onnx.hpp>
#include <tutti/tutti.hpp>

#include <torch/nn/functional.h>
#include <torch/nn/modules.h>
#include <torch/utils.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <functional>

namespace {

constexpr std::int64_t bytes = 256, heads = 4;

struct block : torch::nn::Module {
  torch::nn::LayerNorm before{nullptr}, after{nullptr};
  torch::nn::MultiheadAttention attention{nullptr};
  torch::nn::Linear up{nullptr}, down{nullptr};
  explicit block(std::int64_t width) {
    before = register_module("before", torch::nn::LayerNorm(torch::nn::LayerNormOptions({width})));
    attention = register_module("attention", torch::nn::MultiheadAttention(width, heads));
    after = register_module("after", torch::nn::LayerNorm(torch::nn::LayerNormOptions({width})));
    up = register_module("up", torch::nn::Linear(width, 4 * width));
    down = register_module("down", torch::nn::Linear(4 * width, width));
  }
  /// x is places by batch by width.
  at::Tensor forward(at::Tensor x, const at::Tensor& future) {
    const at::Tensor n = before(x);
    x = x + std::get<0>(attention(n, n, n, at::Tensor{}, false, future));
    return x + down(at::gelu(up(after(x))));
  }
};

struct transformer : torch::nn::Module {
  torch::nn::Embedding embedding{nullptr}, place_embedding{nullptr};
  torch::nn::LayerNorm last{nullptr};
  std::vector<std::shared_ptr<block>> blocks;
  transformer(std::int64_t context, std::int64_t width, int layers) {
    embedding = register_module("embedding", torch::nn::Embedding(bytes, width));
    place_embedding = register_module("place_embedding", torch::nn::Embedding(context, width));
    for (torch::nn::Embedding& e : {std::ref(embedding), std::ref(place_embedding)})
      torch::nn::init::normal_(e->weight, 0, .02);
    for (int k = 0; k < layers; ++k)
      blocks.push_back(register_module("block" + std::to_string(k), std::make_shared<block>(width)));
    last = register_module("last", torch::nn::LayerNorm(torch::nn::LayerNormOptions({width})));
  }
  /// Rows of places into rows of places by bytes: scores of the one behind each. The head is the embedding.
  at::Tensor forward(const at::Tensor& text) {
    const std::int64_t n = text.size(1);
    const at::Tensor future = at::full({n, n}, -INFINITY).triu(1); // added to what attention weighs
    at::Tensor x = (embedding(text) + place_embedding->weight.slice(0, 0, n)).transpose(0, 1);
    for (const auto& b : blocks) x = b->forward(x, future);
    return at::linear(last(x).transpose(0, 1), embedding->weight);
  }
  /// Nats per byte of rows of context + 1 bytes, each from those before it.
  at::Tensor loss(const at::Tensor& rows) {
    return torch::nn::functional::cross_entropy(forward(rows.slice(1, 0, rows.size(1) - 1)).reshape({-1, bytes}),
                                                rows.slice(1, 1).reshape(-1));
  }
};

// What forward() computes, for ONNX.
const auto block_in_onnx = [](tutti::torch::onnx_graph& graph, block& net, tutti::torch::onnx_value x,
                              const tutti::torch::onnx_value& future) {
  const auto n = graph(net.before, x);
  x = x + std::get<0>(graph(net.attention, n, n, n, tutti::torch::onnx_value{}, false, future));
  return x + graph(net.down, gelu(graph(net.up, graph(net.after, x))));
};
const auto in_onnx = [](tutti::torch::onnx_graph& graph, transformer& net, const tutti::torch::onnx_value& text) {
  const auto places = slice(graph.constant(net.place_embedding->weight), 0, 0, sizes(text, 1, 2));
  auto x = transpose(graph(net.embedding, text) + places, 0, 1);
  const auto future = causal_mask(x);
  for (const auto& b : net.blocks) x = graph(*b, x, future);
  return linear(transpose(graph(net.last, x), 0, 1), graph.constant(net.embedding->weight));
};

at::Tensor rows_of(const std::vector<std::uint8_t>& values, std::int64_t rows) {
  at::Tensor out = at::empty({std::int64_t(values.size())}, at::kLong);
  std::copy(values.begin(), values.end(), out.data_ptr<std::int64_t>());
  return out.reshape({rows, -1});
}
/// Of what was held out, a few rows spread over it.
double held_out(transformer& net, const models::text_data& text, std::size_t context) {
  const torch::NoGradGuard unrecorded;
  const auto rest = text.held_out();
  const std::size_t rows = std::min<std::size_t>(64, rest.size() / (context + 1));
  std::vector<std::uint8_t> all;
  for (std::size_t k = 0; k < rows; ++k) {
    const auto row = rest.subspan(k * (rest.size() - context - 1) / rows, context + 1);
    all.insert(all.end(), row.begin(), row.end());
  }
  return net.loss(rows_of(all, std::int64_t(rows))).item<double>();
}

} // namespace

int main(int argc, char** argv) try {
  int ranks = 2, steps = 300, batch = 16, context = 64, width = 64, layers = 2;
  std::string checkpoints, onnx;
  bool resume = false;
  double at_most = 100;
  CLI::App app{"A transformer of LibTorch on many ranks (Shakespeare below TUTTI_DATA, or this repository's text)"};
  app.option_defaults()->always_capture_default();
  app.add_option("--ranks", ranks, "threads");
  app.add_option("--steps", steps, "steps, those before --resume among them");
  app.add_option("--batch", batch, "rows of each rank and step")->check(CLI::PositiveNumber);
  app.add_option("--context", context, "bytes that the next one is written from")->check(CLI::PositiveNumber);
  app.add_option("--width", width, "of the transformer")->check(CLI::PositiveNumber);
  app.add_option("--layers", layers, "of it")->check(CLI::PositiveNumber);
  app.add_option("--checkpoints", checkpoints, "folder that a checkpoint is written into at the end");
  app.add_flag("--resume", resume, "go on from the last one");
  app.add_option("--onnx", onnx, "file that the trained transformer is written into, for ONNX Runtime or TensorRT");
  app.add_option("--at-most", at_most, "fail when the held-out loss is more");
  CLI11_PARSE(app, argc, argv);
  support::check_ranks(ranks);
  if (width % heads != 0)
    throw std::runtime_error("--width " + std::to_string(width) + ": give a multiple of the 4 heads");
  if (resume && checkpoints.empty()) throw std::runtime_error("--resume: give --checkpoints, the folder to go on from");
  const std::string last = resume ? tutti::latest_checkpoint(checkpoints) : "";
  if (resume && last.empty())
    throw std::runtime_error("--resume: there is no checkpoint in " + checkpoints + " - leave --resume out");
  const auto folder = models::data_folder();
  const auto text = models::text_data::read(folder ? *folder / "text" / "tiny_shakespeare.txt"
                                                   : std::filesystem::path{TUTTI_SOURCE_DIR "/docs"});
  text.require(context);

  torch::manual_seed(1); // the generator is one for all threads: what is drawn here is drawn in this order
  const auto first = std::make_shared<transformer>(context, width, layers);
  double reached = 0, length = 0;
  tutti::threads::run(ranks, [&](auto& world) {
    torch::set_num_threads(1);
    auto net = world.rank() == 0 ? first : std::make_shared<transformer>(context, width, layers);
    tutti::strategy strategy{world};
    tutti::torch::data_parallel ddp{*net, strategy, tutti::muon<>{.inner = {.learning_rate = 3e-3}}};
    if (resume) ddp.load(last);

    support::progress bar{world.rank() == 0, steps};
    std::vector<std::uint8_t> rows;
    while (ddp.steps() < steps) {
      models::sample_rows(text.training(), context, batch, 1, std::uint64_t(ddp.steps()), std::uint64_t(world.rank()), rows);
      const at::Tensor loss = net->loss(rows_of(rows, batch));
      ddp.step(loss);
      bar.update(long(ddp.steps()), "loss " + std::to_string(loss.template item<float>()));
    }
    if (!checkpoints.empty()) ddp.save(checkpoints + "/step-" + std::to_string(ddp.steps()), {.keep = 2});
    if (world.rank() != 0) return;
    reached = held_out(*net, text, std::size_t(context));
    if (!onnx.empty()) // of any number of rows, as long as the context or shorter
      tutti::torch::to_onnx(*net, at::zeros({2, context}, at::kLong), onnx,
                            tutti::torch::onnx_options{.varying = {{0, 1}}}, in_onnx, block_in_onnx);
    for (const auto& p : net->parameters()) length += p.detach().to(at::kDouble).pow(2).sum().template item<double>();
  });
  std::printf("held-out loss %.4f nats per byte, weights of length %.17g\n", reached, std::sqrt(length));
  return reached <= at_most ? 0 : 1;
} catch (const std::exception& e) {
  std::fprintf(stderr, "torch_transformer: %s\n", e.what());
  return 1;
}
