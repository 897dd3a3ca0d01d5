// What docs/libtorch.md shows, and that both programs end with the same weights; the sampler.
#include "torch/modules.hpp"

#include "training/scratch.hpp"

#include <tutti/adapters/torch_sampler.hpp>

#include <torch/data/dataloader.h>
#include <torch/data/datasets/base.h>
#include <torch/data/datasets/map.h>
#include <torch/data/transforms/stack.h>

#include <set>

BOOST_AUTO_TEST_SUITE(torch_guide)

namespace {

using torch_model::flat;
using torch_model::numbers;
using torch_model::text_of;

constexpr int steps = 5;

struct network : torch::nn::Module {
  torch::nn::Linear hidden{nullptr}, last{nullptr};
  network() {
    hidden = register_module("hidden", torch::nn::Linear(4, 8));
    last = register_module("last", torch::nn::Linear(8, 3));
    torch_model::fill(*this, 0);
  }
  at::Tensor forward(const at::Tensor& x) { return last(torch::tanh(hidden(x))); }
};
/// A rank's part of a batch of eight.
std::pair<at::Tensor, at::Tensor> batch(int step, int rank = 0, int ranks = 1) {
  const auto part = [&](const at::Tensor& all) { return all.slice(0, 8 * rank / ranks, 8 * (rank + 1) / ranks); };
  return {part(numbers({8, 4}, step)), part(at::arange(8).remainder(3))};
}
at::Tensor cross_entropy(const at::Tensor& scores, const at::Tensor& wanted) {
  return torch::nn::functional::cross_entropy(scores, wanted);
}

at::Tensor one_process() {
  // example-begin one-process
  auto net = std::make_shared<network>();
  torch::optim::SGD optimizer{net->parameters(), torch::optim::SGDOptions(0.1).momentum(0.9)};
  for (int step = 0; step < steps; ++step) {
    auto [x, y] = batch(step);
    optimizer.zero_grad();
    auto loss = cross_entropy(net->forward(x), y);
    loss.backward();
    optimizer.step();
  }
  // example-end one-process
  return flat(*net);
}
at::Tensor two_ranks() {
  at::Tensor weights;
  // example-begin two-ranks
  tutti::threads::run(2, [&](auto& world) { // 1
    auto net = std::make_shared<network>();
    tutti::strategy strategy{world};                                                                 // 2
    tutti::torch::data_parallel ddp{*net, strategy, tutti::sgd{.learning_rate = .1, .momentum = .9}}; // 3
    for (int step = 0; step < steps; ++step) {
      auto [x, y] = batch(step, world.rank(), world.size()); // 4
      auto loss = cross_entropy(net->forward(x), y);
      ddp.step(loss); // 5
    }
    if (world.rank() == 0) weights = flat(*net);
  });
  // example-end two-ranks
  return weights;
}
at::Tensor beside_an_optimizer() {
  return torch_model::on(2, [](auto& world) {
    auto net = std::make_shared<network>();
    tutti::strategy strategy{world};
    // example-begin torch-optim
    tutti::torch::data_parallel ddp{*net, strategy};
    torch::optim::SGD optimizer{net->parameters(), torch::optim::SGDOptions(0.1).momentum(0.9)};
    for (int step = 0; step < steps; ++step) {
      auto [x, y] = batch(step, world.rank(), world.size());
      optimizer.zero_grad();
      auto loss = cross_entropy(net->forward(x), y);
      ddp.backward(loss); // in place of loss.backward()
      optimizer.step();
    }
    // example-end torch-optim
    return flat(*net);
  })[0];
}

/// Rows of four numbers, and in which of them the greatest of the first three stands.
struct rows : torch::data::datasets::Dataset<rows> {
  torch::data::Example<> get(std::size_t k) override {
    const at::Tensor x = numbers({4}, int(k));
    return {x, x.slice(0, 0, 3).argmax()};
  }
  at::optional<std::size_t> size() const override { return 50; }
};
/// What stands beside the well-known script.
void as_in_python(const std::string& path) {
  constexpr std::size_t epochs = 10;
  // example-begin script
  auto dataset = rows{}.map(torch::data::transforms::Stack<>());
  const auto program = [&](auto& world) {
    auto net = std::make_shared<network>();
    tutti::strategy strategy{world};
    tutti::torch::data_parallel ddp{*net, strategy, tutti::sgd{.learning_rate = .1, .momentum = .9}};
    tutti::torch::epoch_sampler sampler{*dataset.size(), world, 1};
    auto loader = torch::data::make_data_loader(dataset, sampler, 8);
    for (std::size_t epoch = 0; epoch < epochs; ++epoch) {
      sampler.set_epoch(epoch);
      for (auto& [x, y] : *loader) {
        auto loss = cross_entropy(net->forward(x), y);
        ddp.step(loss);
      }
    }
    ddp.join();
    ddp.save(path);
  };
  tutti::threads::run(2, program);
  // example-end script
}
double loss_on(const std::string& saved) {
  return torch_model::on(2, [&](auto& world) {
    network net;
    tutti::strategy strategy{world};
    tutti::torch::data_parallel ddp{net, strategy, tutti::sgd{.learning_rate = .1, .momentum = .9}};
    if (!saved.empty()) torch_model::must(ddp.load(saved).empty(), "load() says that something differs");
    double sum = 0;
    for (std::size_t k = 0; k < *rows{}.size(); ++k) {
      const auto one = rows{}.get(k);
      sum += cross_entropy(net.forward(one.data.unsqueeze(0)), one.target.unsqueeze(0)).template item<double>();
    }
    return sum / double(*rows{}.size());
  })[0];
}

/// Its items are their numbers.
struct counting : torch::data::datasets::Dataset<counting, std::size_t> {
  std::size_t items;
  explicit counting(std::size_t n) : items{n} {}
  std::size_t get(std::size_t k) override { return k; }
  at::optional<std::size_t> size() const override { return items; }
};

/// What each rank reads in these epochs, one behind the other.
std::vector<std::vector<std::size_t>> read(int ranks, std::size_t items, std::vector<std::size_t> epochs) {
  return torch_model::on(ranks, [&](auto& world) {
    tutti::torch::epoch_sampler sampler{items, world, 7};
    auto loader = torch::data::make_data_loader(counting{items}, sampler, 3);
    std::vector<std::size_t> out;
    for (const std::size_t epoch : epochs) {
      sampler.set_epoch(epoch);
      for (const auto& some : *loader) out.insert(out.end(), some.begin(), some.end());
    }
    return out;
  });
}

} // namespace

BOOST_AUTO_TEST_CASE(two_ranks_end_where_one_process_does) {
  torch::set_num_threads(1);
  const at::Tensor wanted = one_process();
  BOOST_CHECK_LT(torch_model::distance(two_ranks(), wanted), 1e-5);
  BOOST_CHECK_LT(torch_model::distance(beside_an_optimizer(), wanted), 1e-5);
}

BOOST_AUTO_TEST_CASE(the_well_known_script_learns_and_saves) {
  torch::set_num_threads(1);
  const scratch folder;
  as_in_python(folder / "saved");
  const double before = loss_on(""), after = loss_on(folder / "saved");
  BOOST_CHECK_MESSAGE(after < before / 2, "a loss of " << before << " has become " << after);
}

// pytorch/pytorch#73141: in every epoch the same order.
BOOST_AUTO_TEST_CASE(an_epoch_has_an_order_of_its_own_that_ranks_share_out) {
  const auto all = read(2, 8, {0, 1, 2, 1});
  std::set<std::vector<std::size_t>> orders;
  for (std::size_t epoch = 0; epoch < 4; ++epoch) {
    std::vector<std::size_t> order;
    for (const auto& mine : all)
      for (std::size_t k = 0; k < 4; ++k) order.push_back(mine.at(4 * epoch + k));
    orders.insert(order);
    BOOST_CHECK_EQUAL(std::set<std::size_t>(order.begin(), order.end()).size(), 8);
  }
  BOOST_CHECK_EQUAL(orders.size(), 3); // epoch 1 twice
}
// pytorch/pytorch#25162: items that are counted twice.
BOOST_AUTO_TEST_CASE(no_item_is_read_twice) {
  using lengths_of = std::pair<int, std::vector<std::size_t>>;
  for (const auto& [items, lengths] : {lengths_of{5, {2, 2, 1}}, {2, {1, 1, 0}}, {0, {0, 0, 0}}}) {
    const auto all = read(3, std::size_t(items), {0});
    std::set<std::size_t> seen;
    for (std::size_t r = 0; r < 3; ++r) {
      BOOST_CHECK_EQUAL(all[r].size(), lengths[r]);
      seen.insert(all[r].begin(), all[r].end());
    }
    BOOST_CHECK_EQUAL(seen.size(), items);
  }
}
BOOST_AUTO_TEST_CASE(a_sampler_that_is_loaded_goes_on_from_where_it_was) {
  const tutti::self alone;
  tutti::torch::epoch_sampler sampler{8, alone, 7}, other{8, alone, 7};
  sampler.set_epoch(3);
  sampler.reset();
  sampler.next(5);
  torch::serialize::OutputArchive out;
  sampler.save(out);
  std::stringstream file;
  out.save_to(file);
  torch::serialize::InputArchive in;
  in.load_from(file);
  other.load(in);
  BOOST_CHECK(*sampler.next(5) == *other.next(5));
  BOOST_CHECK(!other.next(1));
  other.reset(3);
  BOOST_CHECK_EQUAL(other.size(), 3);
  const auto text = text_of([&] { tutti::torch::epoch_sampler{std::size_t{1} << 32, alone}; });
  BOOST_CHECK_MESSAGE(text.find("there are 4294967296 items - give fewer than 2^32") != std::string::npos, text);
}

BOOST_AUTO_TEST_SUITE_END()
