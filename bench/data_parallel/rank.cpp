// One of two ranks of `data_parallel`: steps of a module of LibTorch with 8.5 million parameters, by sides that differ
// in who makes gradients those of all. Prints "SIDE BYTES MICROSECONDS" lines.
//
//   rank                 in one node, a batch of 32 a rank
//     none                 nobody: each rank trains alone
//     per_tensor           MPI_Allreduce for each tensor behind the backward pass
//     tutti, tutti_optim   tutti::torch::data_parallel, by tutti's optimizer and beside one of torch::optim
//     one, many            its exchange and update of 25 MiB that are there, in one tensor and in 400
//   rank sizes           over a cable: batch, for which backward takes a fifth longer than the communication
//   rank cable BATCH     over a cable: none, per_tensor and tutti, and
//     tutti_thread         where a thread moves the data
//     backward, exchange   the backward pass alone, and the all_reduce of as many bytes alone
#include <tutti/adapters/torch.hpp>
#include <tutti/mpi/mpi.hpp>
#include <tutti/tutti.hpp>

#include <torch/nn/functional.h>
#include <torch/nn/modules.h>
#include <torch/optim/sgd.h>
#include <torch/utils.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <functional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace {

using world_type = tutti::mpi::communicator;

constexpr std::int64_t inputs = 128, width = 1024, layers = 8, classes = 1000;
constexpr tutti::sgd descent{.learning_rate = 1e-3f, .momentum = .9f};

/// A step is made of it; the batch stays the same.
struct training {
  torch::nn::Sequential net;
  at::Tensor x, y;
  torch::optim::SGD optimizer;

  explicit training(std::int64_t batch)
      : net{made()}, x{at::randn({batch, inputs})}, y{at::arange(batch).remainder(classes)},
        optimizer{net->parameters(), torch::optim::SGDOptions(1e-3).momentum(.9)} {}
  static torch::nn::Sequential made() {
    torch::manual_seed(1);
    torch::nn::Sequential net;
    for (std::int64_t k = 0; k < layers; ++k) {
      net->push_back(torch::nn::Linear(k == 0 ? inputs : width, width));
      net->push_back(torch::nn::ReLU());
    }
    net->push_back(torch::nn::Linear(width, classes));
    return net;
  }
  at::Tensor loss() { return torch::nn::functional::cross_entropy(net->forward(x), y); }
  std::size_t bytes() const {
    std::size_t n = 0;
    for (const at::Tensor& p : net->parameters()) n += p.nbytes();
    return n;
  }
};

/// Tensors that are trained by gradients somebody has made, two sets in turn; a loss leads to one more only.
struct ready_gradients : torch::nn::Module {
  std::vector<at::Tensor> values, sets[2];
  at::Tensor beside;
  bool turn = false;
  ready_gradients(std::int64_t tensors, std::int64_t each) {
    for (std::int64_t k = 0; k < tensors; ++k) {
      values.push_back(register_parameter("t" + std::to_string(k), at::zeros({each})));
      for (auto& set : sets) set.push_back(at::full({each}, .25));
    }
    beside = register_parameter("beside", at::zeros({1}));
  }
  void give() {
    turn = !turn;
    for (std::size_t k = 0; k < values.size(); ++k) values[k].mutable_grad() = sets[turn][k];
  }
};

/// What is measured beside each other: a turn is one step of each, so that whatever else the machine does meets all.
class sides {
public:
  explicit sides(world_type& world) : world_{world} {}

  /// Microseconds of step(), behind before().
  void add(const char* name, std::size_t bytes, std::function<void()> step, std::function<void()> before = [] {}) {
    all_.push_back({name, bytes, std::move(before), std::move(step), {}});
  }
  /// As long as the slower rank's, the median of so many turns.
  void measure(int turns) {
    for (int k = -3; k < turns; ++k)
      for (side& one : all_) {
        one.before();
        tutti::barrier(world_);
        const auto begin = std::chrono::steady_clock::now();
        one.step();
        const std::chrono::duration<double, std::micro> took = std::chrono::steady_clock::now() - begin;
        if (k >= 0) one.times.push_back(took.count());
      }
    for (side& one : all_) {
      tutti::all_reduce(world_, one.times, tutti::max{});
      std::nth_element(one.times.begin(), one.times.begin() + turns / 2, one.times.end());
    }
  }
  double median(std::size_t k) const { return all_[k].times[all_[k].times.size() / 2]; }
  void print() const {
    for (std::size_t k = 0; k < all_.size() && world_.rank() == 0; ++k)
      std::printf("%s %zu %.1f\n", all_[k].name, all_[k].bytes, median(k));
  }

private:
  struct side {
    const char* name;
    std::size_t bytes;
    std::function<void()> before, step;
    std::vector<double> times;
  };
  world_type& world_;
  std::vector<side> all_;
};

template <class Exchange>
void by_torch(sides& all, const char* name, training& t, Exchange&& exchange) {
  all.add(name, t.bytes(), [&t, exchange] {
    t.optimizer.zero_grad();
    t.loss().backward();
    exchange();
    t.optimizer.step();
  });
}
void all_reduce_each(const training& t, int ranks) {
  for (const at::Tensor& p : t.net->parameters()) {
    at::Tensor g = p.grad();
    MPI_Allreduce(MPI_IN_PLACE, g.data_ptr<float>(), int(g.numel()), MPI_FLOAT, MPI_SUM, MPI_COMM_WORLD);
    g.div_(ranks);
  }
}

void in_one_node(world_type& world) {
  training alone{32}, each{32}, own{32}, beside{32};
  tutti::strategy strategy{world};
  tutti::torch::data_parallel descends{*own.net, strategy, descent};
  tutti::torch::data_parallel hands_back{*beside.net, strategy};
  sides all{world};
  by_torch(all, "none", alone, [] {});
  by_torch(all, "per_tensor", each, [&] { all_reduce_each(each, world.size()); });
  all.add("tutti", own.bytes(), [&] { descends.step(own.loss()); });
  all.add("tutti_optim", beside.bytes(), [&] {
    beside.optimizer.zero_grad();
    hands_back.backward(beside.loss());
    beside.optimizer.step();
  });
  all.measure(15);
  all.print();
}
void in_tensors(world_type& world) {
  constexpr std::int64_t floats = (std::int64_t{25} << 20) / 4;
  ready_gradients whole{1, floats}, parts{400, floats / 400};
  tutti::strategy strategy{world};
  tutti::torch::data_parallel one{whole, strategy, descent}, many{parts, strategy, descent};
  sides all{world};
  all.add("one", floats * 4, [&] { one.step(whole.beside.sum()); }, [&] { whole.give(); });
  all.add("many", floats * 4, [&] { many.step(parts.beside.sum()); }, [&] { parts.give(); });
  all.measure(31);
  all.print();
}

/// What is to be hidden, and behind what.
struct apart {
  training t;
  at::Tensor loss;
  std::vector<float> data;
  apart(sides& all, world_type& world, std::int64_t batch) : t{batch}, data(t.bytes() / sizeof(float), 1.f) {
    const auto forward = [this] {
      t.optimizer.zero_grad();
      loss = t.loss();
    };
    all.add("backward", t.bytes(), [this] { loss.backward(); }, forward);
    all.add("exchange", t.bytes(), [this, &world] { tutti::all_reduce(world, data, tutti::mean{}); });
  }
};
void find_batch(world_type& world) {
  constexpr int batch = 256;
  sides all{world};
  const apart both{all, world, batch};
  all.measure(5);
  if (world.rank() == 0)
    std::printf("batch %zu %.0f\n", both.t.bytes(), std::ceil(1.2 * batch * all.median(1) / all.median(0)));
}
void over_cable(world_type& world, std::int64_t batch) {
  world_type driven{MPI_COMM_WORLD, {.progress_thread = true}};
  training alone{batch}, each{batch}, own{batch}, threaded{batch};
  const tutti::pipelined segments{tutti::halving_doubling{}, 32}; // of 128 KiB, in buckets of 4 MiB
  tutti::strategy strategy{world, segments}, by_thread{driven, segments};
  tutti::torch::data_parallel descends{*own.net, strategy, descent}, driven_by_thread{*threaded.net, by_thread, descent};
  sides all{world};
  const apart both{all, world, batch};
  by_torch(all, "none", alone, [] {});
  by_torch(all, "per_tensor", each, [&] { all_reduce_each(each, world.size()); });
  all.add("tutti", own.bytes(), [&] { descends.step(own.loss()); });
  all.add("tutti_thread", threaded.bytes(), [&] { driven_by_thread.step(threaded.loss()); });
  all.measure(5);
  all.print();
}

} // namespace

int main(int argc, char** argv) {
  torch::set_num_threads(1);
  const std::string_view what = argc > 1 ? argv[1] : "";
  using tutti::mpi::threading;
  tutti::mpi::environment env{argc, argv, what.empty() ? threading::in_turn : threading::at_once};
  world_type world = tutti::mpi::world();
  if (what.empty()) {
    in_one_node(world);
    in_tensors(world);
  } else if (what == "sizes") {
    find_batch(world);
  } else {
    over_cable(world, argc > 2 ? std::atoll(argv[2]) : 0);
  }
}
