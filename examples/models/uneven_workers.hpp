// Logistic regression in virtual time, by workers that do not compute equally fast: the loss over time of any sync
// policy. Bits are the same in every run.
#pragma once

#include "libsvm.hpp"
#include "logistic.hpp"

#include <tutti/communicators/simulated.hpp>
#include <tutti/tutti.hpp>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <numeric>
#include <span>
#include <string>
#include <vector>

namespace models {

struct uneven_workers {
  int workers = 4;
  /// For how many seconds a worker computes for its step of that number; both count from 0.
  std::function<double(int worker, int step)> takes = {};
  double until = 0;      ///< the loss at which they stop,
  double at_most = 1e9;  ///< or the time, in seconds
  double learning_rate = 0.05;
  int batch = 128;       ///< rows of a worker's step
  std::uint64_t seed = 1;
};

struct timed_loss {
  double seconds, loss;
};
struct loss_curve {
  /// Of all training rows, whenever a worker has made a step, as if training ended there: for what the servers then
  /// have, or for the mean of all replicas.
  std::vector<timed_loss> losses;
  std::vector<int> steps; ///< of each worker
  double seconds = 0;     ///< that all of it took
  std::uint64_t trace_hash = 0;

  /// When the loss was `bar` for the first time, between two of those that were seen; infinite when it never was.
  double seconds_to(double bar) const {
    for (std::size_t k = 0; k < losses.size(); ++k) {
      if (!(losses[k].loss <= bar)) continue;
      if (k == 0) return losses[k].seconds;
      const timed_loss &before = losses[k - 1], &now = losses[k];
      return now.seconds - (now.seconds - before.seconds) * (bar - now.loss) / (before.loss - now.loss);
    }
    return HUGE_VAL;
  }
};

template <class Policy> constexpr bool has_servers() {
  if constexpr (requires { Policy::carrier; })
    return Policy::carrier == tutti::carried_by::placement;
  else
    return false;
}

/// Workers of a policy with servers have one that does nothing else; without, each has a replica. Links are so fast
/// that computing alone takes time. A worker answers others eight times a step, as it does who computes by layers.
template <class Policy>
loss_curve loss_over_time(const sparse_rows& rows, const uneven_workers& how, const Policy& policy) {
  constexpr int servers = has_servers<Policy>() ? 1 : 0, layers = 8;
  const int ranks = how.workers + servers;
  loss_curve out;
  out.steps.resize(std::size_t(how.workers));
  std::vector<std::uint32_t> all(rows.size());
  std::iota(all.begin(), all.end(), 0u);
  logistic judge{rows.features};
  std::vector<std::span<const float>> replicas;
  bool there = false;

  const auto look = [&](std::span<const float> mine, double seconds) {
    std::vector<float> ended(mine.begin(), mine.end());
    if (servers == 0) {
      std::fill(ended.begin(), ended.end(), 0.f);
      for (const auto& r : replicas)
        for (std::size_t i = 0; i < r.size(); ++i) ended[i] += r[i] / float(replicas.size());
    }
    judge.load(ended);
    out.losses.push_back({seconds, double(judge.loss_and_gradients(rows, all))});
    there = there || out.losses.back().loss <= how.until || seconds >= how.at_most;
  };

  const tutti::simulated::machine machine{.between = {.latency = 1e-7, .bandwidth = 1e12}};
  const auto took = tutti::simulated::run(ranks, machine, [&](auto& world) {
    const auto now = [&] { return std::chrono::duration<double>(tutti::now_of(world).time_since_epoch()).count(); };
    logistic model{rows.features};
    model.initialise();
    const auto cut = [&](auto flat) {
      std::vector<tutti::tensor<typename decltype(flat)::element_type>> pieces;
      for (std::size_t k = 0; k < layers; ++k) {
        const auto begin = flat.size() * k / layers, end = flat.size() * (k + 1) / layers;
        pieces.push_back({"layer " + std::to_string(k), flat.subspan(begin, end - begin)});
      }
      return pieces;
    };
    const auto bind = [&](auto& strategy) {
      auto trainer = strategy.bind(cut(model.flat_parameters()), tutti::sgd{how.learning_rate});
      if (trainer.role() == tutti::role::server) trainer.serve();
      const int worker = world.rank() - servers;
      if (worker < 0) return trainer.finalize();
      replicas.push_back(model.flat_parameters());
      const auto first = rows.size() * std::size_t(worker) / std::size_t(how.workers);
      const auto last = rows.size() * std::size_t(worker + 1) / std::size_t(how.workers);
      std::vector<std::uint32_t> batch;
      int& step = out.steps[std::size_t(worker)];
      for (; !there; ++step) {
        draw_rows(first, last, how.batch, how.seed, std::uint64_t(step), std::uint64_t(worker), batch);
        model.loss_and_gradients(rows, batch);
        trainer.begin(cut(model.flat_gradients()));
        for (int k = layers - 1; k >= 0; --k) {
          world.compute(how.takes(worker, step) / layers);
          trainer.ready(std::size_t(k));
        }
        trainer.finish();
        if (!there && (out.losses.empty() || now() > out.losses.back().seconds + 1e-6))
          look(model.flat_parameters(), now());
      }
      trainer.join(); // others may be in the middle of a step
      trainer.finalize();
    };
    if constexpr (servers > 0) {
      tutti::strategy strategy{world, tutti::star{.servers = servers, .dedicated = true}, tutti::mean{}, policy};
      bind(strategy);
    } else {
      tutti::strategy strategy{world, policy};
      bind(strategy);
    }
  });
  out.seconds = took.seconds;
  out.trace_hash = took.trace_hash;
  return out;
}

} // namespace models
