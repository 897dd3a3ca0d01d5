// One rank of `step`: a training step of 8.5 million floats in 12 tensors, by a trainer and by hand.
// Prints "SIDE BYTES MICROSECONDS" lines. Gradients are at other addresses in every step, as an autograd's
// are, so that nobody may keep them in place.
#include <tutti/mpi/mpi.hpp>
#include <tutti/tutti.hpp>

#include <algorithm>
#include <array>
#include <chrono>
#include <cstddef>
#include <cstdio>
#include <string>
#include <vector>

namespace {

/// A small transformer's: a few tensors have nearly all of it.
constexpr std::array<std::size_t, 12> lengths{2359296, 2359296, 1769472, 589824, 589824, 393216,
                                              262144,  131072,  32768,   8192,   4096,   768};

struct model {
  std::vector<std::vector<float>> values, gradients[2];
  model() {
    for (const std::size_t n : lengths) {
      values.emplace_back(n, .5f);
      for (auto& g : gradients) g.emplace_back(n, .25f);
    }
  }
  std::vector<tutti::tensor<float>> tensors(std::vector<std::vector<float>>& of) {
    std::vector<tutti::tensor<float>> all;
    for (std::size_t k = 0; k < of.size(); ++k) all.push_back({"t" + std::to_string(k), of[k]});
    return all;
  }
};

std::size_t bytes() {
  std::size_t n = 0;
  for (const std::size_t length : lengths) n += length;
  return n * sizeof(float);
}

/// Microseconds of one step: the median of a few.
template <class Comm, class Step>
double time_of(Comm& world, Step&& step) {
  using clock = std::chrono::steady_clock;
  for (int k = 0; k < 3; ++k) step(k);
  std::vector<double> all;
  for (int k = 0; k < 15; ++k) {
    tutti::barrier(world);
    const auto begin = clock::now();
    step(k);
    all.push_back(std::chrono::duration<double, std::micro>(clock::now() - begin).count());
  }
  std::nth_element(all.begin(), all.begin() + 7, all.end());
  return all[7];
}

/// All gradients reduced one by one where they are, the last first, and then the update.
template <class Comm, class Optimizer>
double by_hand(Comm& world, const Optimizer& optimizer) {
  model m;
  std::vector<std::vector<float>> state;
  for (const std::size_t n : lengths)
    for (std::size_t k = 0; k < tutti::slots_of<Optimizer>; ++k) state.emplace_back(n);
  std::int64_t count = 0;
  return time_of(world, [&](int turn) {
    auto& gradients = m.gradients[turn % 2];
    for (std::size_t k = lengths.size(); k-- > 0;) tutti::all_reduce(world, gradients[k], tutti::mean{});
    ++count;
    for (std::size_t k = 0; k < lengths.size(); ++k) {
      tutti::optimizer_slots<float, tutti::slots_of<Optimizer>> slots;
      for (std::size_t s = 0; s < slots.size(); ++s) slots[s] = state[k * slots.size() + s];
      tutti::update<float>(optimizer, count, m.values[k], std::span<const float>{gradients[k]}, slots);
    }
  });
}

template <class Comm, class Optimizer, class... Parts>
double by_trainer(Comm& world, const Optimizer& optimizer, const tutti::training_options& how,
                  Parts... parts) {
  model m;
  tutti::strategy strategy{world, parts...};
  auto trainer = strategy.bind(m.tensors(m.values), optimizer, how);
  const std::array gradients{m.tensors(m.gradients[0]), m.tensors(m.gradients[1])};
  return time_of(world, [&](int turn) { trainer.step(gradients[std::size_t(turn % 2)]); });
}

template <class Comm, class Optimizer>
void compare(Comm& world, const std::string& name, const Optimizer& optimizer) {
  const auto say = [&](const std::string& side, double microseconds) {
    if (world.rank() == 0) std::printf("%s-%s %zu %.1f\n", name.c_str(), side.c_str(), bytes(), microseconds);
  };
  say("by_hand", by_hand(world, optimizer));
  say("trainer", by_trainer(world, optimizer, {}));
  say("clipped", by_trainer(world, optimizer, {.clip = 1}));
  say("sharded", by_trainer(world, optimizer, {}, tutti::sharded{}));
  tutti::counted counted{world};
  say("counted", by_trainer(counted, optimizer, {}));
  tutti::traced traced{world};
  say("traced", by_trainer(traced, optimizer, {}));
  tutti::checked checked{world};
  say("checked", by_trainer(checked, optimizer, {}));
  say("again", by_trainer(world, optimizer, {}));
}

} // namespace

int main(int argc, char** argv) {
  return tutti::mpi::run(argc, argv, [](auto& world) {
    compare(world, "sgd", tutti::sgd{.learning_rate = 1e-3, .momentum = .9});
    compare(world, "adamw", tutti::adamw{.learning_rate = 1e-3});
  });
}
