// A convolutional network of LibTorch on many ranks, threads of this process: MNIST below TUTTI_DATA, or generated
// digits.
// test: --steps 60 --ranks 2 --at-least 0.9
// test: --steps 2 --batch 8 --onnx mnist.onnx
// refuses: --ranks 0 => --ranks 0: give 1 to
// refuses: --resume => --resume: give --checkpoints, the folder to go on from
// refuses: --resume --checkpoints /no/such/folder => --resume: there is no checkpoint in /no/such/folder
#include "models/mnist.hpp"
#include "support/launch.hpp"
#include "support/progress.hpp"

#include <CLI/CLI.hpp>
#include <tutti/adapters/torch.hpp>
#include <tutti/adapters/torch_onnx.hpp>
#include <tutti/adapters/torch_sampler.hpp>
#include <tutti/tutti.hpp>

#include <torch/nn/functional.h>
#include <torch/nn/modules.h>
#include <torch/utils.h>

#include <cmath>
#include <cstdint>
#include <numeric>

namespace {

struct network : torch::nn::Module {
  torch::nn::Conv2d first{nullptr}, second{nullptr};
  torch::nn::Linear last{nullptr};
  network() {
    first = register_module("first", torch::nn::Conv2d(torch::nn::Conv2dOptions(1, 8, 5)));
    second = register_module("second", torch::nn::Conv2d(torch::nn::Conv2dOptions(8, 16, 5)));
    last = register_module("last", torch::nn::Linear(16 * 4 * 4, models::digit_classes));
  }
  at::Tensor forward(at::Tensor x) {
    x = at::max_pool2d(at::relu(first(x)), 2);
    x = at::max_pool2d(at::relu(second(x)), 2);
    return last(x.flatten(1));
  }
};
/// What forward() computes, for ONNX.
const auto in_onnx = [](tutti::torch::onnx_graph& graph, network& net, tutti::torch::onnx_value x) {
  x = graph(torch::nn::MaxPool2d(2), relu(graph(net.first, x)));
  x = graph(torch::nn::MaxPool2d(2), relu(graph(net.second, x)));
  return graph(net.last, flatten(x, 1));
};

/// Images and labels of these numbers.
std::pair<at::Tensor, at::Tensor> batch(const models::image_set& images, const std::vector<std::size_t>& which) {
  const auto n = std::int64_t(which.size());
  at::Tensor x = at::empty({n, 1, models::image_side, models::image_side}), y = at::empty({n}, at::kLong);
  for (std::size_t k = 0; k < which.size(); ++k) {
    images.copy_input(which[k], x.data_ptr<float>() + std::int64_t(k) * models::image_pixels);
    y.data_ptr<std::int64_t>()[k] = images.label(which[k]);
  }
  return {x, y};
}
double accuracy(network& net, const models::image_set& images) {
  const torch::NoGradGuard unrecorded;
  std::int64_t right = 0;
  for (std::size_t from = 0; from < images.size(); from += 500) {
    std::vector<std::size_t> which(std::min<std::size_t>(500, images.size() - from));
    std::iota(which.begin(), which.end(), from);
    const auto [x, y] = batch(images, which);
    right += (net.forward(x).argmax(1) == y).sum().item<std::int64_t>();
  }
  return double(right) / double(images.size());
}

} // namespace

int main(int argc, char** argv) try {
  int ranks = 2, steps = 200;
  std::size_t each = 32;
  std::string checkpoints, onnx;
  bool resume = false;
  double at_least = 0;
  CLI::App app{"A convolutional network of LibTorch on many ranks (MNIST below TUTTI_DATA, or generated digits)"};
  app.option_defaults()->always_capture_default();
  app.add_option("--ranks", ranks, "threads");
  app.add_option("--steps", steps, "steps, those before --resume among them");
  app.add_option("--batch", each, "images of each rank and step");
  app.add_option("--checkpoints", checkpoints, "folder that a checkpoint is written into at the end");
  app.add_flag("--resume", resume, "go on from the last one");
  app.add_option("--onnx", onnx, "file that the trained network is written into, for ONNX Runtime or TensorRT");
  app.add_option("--at-least", at_least, "fail when the test accuracy is less");
  CLI11_PARSE(app, argc, argv);
  support::check_ranks(ranks);
  if (resume && checkpoints.empty()) throw std::runtime_error("--resume: give --checkpoints, the folder to go on from");
  const std::string last = resume ? tutti::latest_checkpoint(checkpoints) : "";
  if (resume && last.empty())
    throw std::runtime_error("--resume: there is no checkpoint in " + checkpoints + " - leave --resume out");
  const auto data = models::find_digits();
  std::printf("%s: %zu images, %d ranks\n", data.source.c_str(), data.training.size(), ranks);

  torch::manual_seed(1); // the generator is one for all threads: what is drawn here is drawn in this order
  const auto first = std::make_shared<network>();
  double reached = 0, length = 0;
  tutti::threads::run(ranks, [&](auto& world) {
    torch::set_num_threads(1);
    auto net = world.rank() == 0 ? first : std::make_shared<network>(); // rank 0's weights become those of all
    tutti::strategy strategy{world};
    tutti::torch::data_parallel ddp{*net, strategy, tutti::adamw{.learning_rate = 2e-3f}};
    if (resume) ddp.load(last);

    tutti::torch::epoch_sampler sampler{data.training.size(), world, 1};
    const auto steps_of_epoch = std::int64_t(data.training.size() / std::size_t(world.size()) / each);
    support::progress bar{world.rank() == 0, steps};
    while (ddp.steps() < steps) {
      const std::int64_t epoch = ddp.steps() / steps_of_epoch, done = ddp.steps() % steps_of_epoch;
      sampler.set_epoch(std::size_t(epoch));
      sampler.reset();
      for (std::int64_t step = 0; step < steps_of_epoch && ddp.steps() < steps; ++step) {
        const auto which = *sampler.next(each);
        if (step < done) continue; // before it was resumed
        const auto [x, y] = batch(data.training, which);
        const at::Tensor loss = torch::nn::functional::cross_entropy(net->forward(x), y);
        ddp.step(loss);
        bar.update(long(ddp.steps()), "loss " + std::to_string(loss.template item<float>()));
      }
    }
    if (!checkpoints.empty()) ddp.save(checkpoints + "/step-" + std::to_string(ddp.steps()), {.keep = 2});
    if (world.rank() != 0) return;
    reached = accuracy(*net, data.test);
    if (!onnx.empty()) tutti::torch::to_onnx(*net, batch(data.test, {0}).first, onnx, in_onnx);
    for (const auto& p : net->parameters()) length += p.detach().to(at::kDouble).pow(2).sum().template item<double>();
  });
  std::printf("test accuracy %.4f, weights of length %.17g\n", reached, std::sqrt(length));
  return reached >= at_least ? 0 : 1;
} catch (const std::exception& e) {
  std::fprintf(stderr, "torch_mnist: %s\n", e.what());
  return 1;
}
