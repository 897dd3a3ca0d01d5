// Fifty steps on two ranks, which end where one process does, and where ddp.py ends with PyTorch's
// DistributedDataParallel:
//   test_torch --run_test=torch_ddp -- [--write FOLDER]   also writes what ddp.py begins with and is compared with
#include "torch/modules.hpp"
#include "training/arguments.hpp"

#include <tutti/optimizers/adam.hpp>

#include <cstdio>
#include <fstream>

BOOST_AUTO_TEST_SUITE(torch_ddp)

namespace {

using namespace torch_model;

constexpr int steps = 50;
constexpr tutti::sgd gently{.learning_rate = .05, .momentum = .9};
constexpr tutti::adam adaptive{.learning_rate = .01};

struct outcome {
  Tensor weights;
  std::vector<double> losses; ///< of this rank's half, before each step
};

template <class Net, class Optimizer>
std::vector<outcome> trained(int ranks, const Optimizer& optimizer) {
  return on(ranks, [&](auto& world) {
    const std::int64_t rank = world.rank(), each = 8 / ranks;
    Net net;
    fill(net, 0);
    tutti::strategy strategy{world};
    tutti::torch::data_parallel ddp{net, strategy, optimizer, {.bucket_bytes = 200}};
    outcome out;
    for (int step = 0; step < steps; ++step) {
      const Tensor loss = net.loss(step, each * rank, each * (rank + 1), int(rank));
      out.losses.push_back(loss.template item<double>());
      ddp.step(loss);
    }
    out.weights = flat(net);
    return out;
  });
}

/// Lines of a name and numbers: what each tensor begins as, and what both ranks come to.
template <class Net>
void write(const std::string& path, const std::vector<outcome>& sgd, const std::vector<outcome>& adam) {
  std::ofstream file{path};
  const auto line = [&](const std::string& name, const Tensor& values) {
    file << name;
    const Tensor all = values.detach().to(at::kDouble).reshape(-1).contiguous();
    for (std::int64_t k = 0; k < all.numel(); ++k) {
      char text[32];
      std::snprintf(text, sizeof text, " %.17g", all.data_ptr<double>()[k]);
      file << text;
    }
    file << '\n';
  };
  Net net;
  fill(net, 0);
  for (const auto& p : net.named_parameters()) line("initial." + p.key(), p.value());
  line("sgd", sgd[0].weights);
  for (std::size_t r = 0; r < adam.size(); ++r) line("losses." + std::to_string(r), at::tensor(adam[r].losses, at::kDouble));
  BOOST_REQUIRE_MESSAGE(file.flush(), "cannot write " << path);
}

template <class Net>
void compare(const std::string& name) {
  const auto one = trained<Net>(1, gently), two = trained<Net>(2, gently);
  BOOST_CHECK_MESSAGE(distance(two[0].weights, one[0].weights) < 1e-5,
                      name << ": " << distance(two[0].weights, one[0].weights));
  if (const std::string folder = argument("--write"); !folder.empty())
    write<Net>(folder + "/" + name + ".txt", two, trained<Net>(2, adaptive));
}

} // namespace

BOOST_AUTO_TEST_CASE(convolutions) { compare<convolutional>("convolutional"); }
BOOST_AUTO_TEST_CASE(tied_weights) { compare<transformer>("transformer"); }
BOOST_AUTO_TEST_CASE(an_unused_branch) { compare<branching>("branching"); }

BOOST_AUTO_TEST_SUITE_END()
