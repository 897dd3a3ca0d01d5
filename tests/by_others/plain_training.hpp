// Training as a few plain loops over the replicas of all ranks, in double, and random runs to compare with it.
#pragma once

#include <tutti/core/random.hpp>
#include <tutti/sync/sync_policy.hpp>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <functional>
#include <map>
#include <vector>

namespace plain {

using values = std::vector<std::vector<double>>; // by tensor

/// SGD in PyTorch's form, or AdamW.
struct rule {
  bool adam = false;
  double rate = 0.1, momentum = 0;
  bool nesterov = false;
  double decay = 0;

  void move(std::int64_t step, double& p, double g, double& m, double& v) const {
    if (adam) {
      m = 0.9 * m + 0.1 * g;
      v = 0.999 * v + 0.001 * g * g;
      const double first = m / (1 - std::pow(0.9, double(step))), second = v / (1 - std::pow(0.999, double(step)));
      p = p * (1 - rate * decay) - rate * first / (std::sqrt(second) + 1e-8);
    } else {
      g += decay * p;
      m = momentum * m + g;
      p -= rate * (nesterov ? g + momentum * m : m);
    }
  }
};

/// A run that is drawn: who gives which gradients, of which weights, and what else happens.
struct plan {
  std::uint64_t seed = 1;
  int ranks = 2, steps = 12;
  std::vector<std::size_t> sizes{3, 5, 2};
  bool weighted = false; // else a mean: every micro-batch, or every replica that has trained, counts alike
  bool absent = true, micro_batches = true;
  rule inner{};
  tutti::contributes contribution = tutti::contributes::gradient;
  std::function<int(std::int64_t)> period = [](std::int64_t) { return 1; };
  int fragments = 1, delay = 0;
  double keep = 0;
  bool has_outer = false;
  rule outer{};
  double clip = 0;
  bool by_world = false;
  std::vector<double> rate_of{}, decay_of{}; // factors by tensor
  std::vector<int> frozen_until{};           // by tensor: the step after which it is trained
  std::vector<int> last{};                   // by rank: its last step before it joins
  std::vector<int> finalized{}, resumed{}; // behind which steps
  std::vector<int> failed{};               // before which steps one is tried that cannot be
  bool skips = false;                      // what cannot be is left out, and the loss is scaled
  std::function<double(std::int64_t)> rate{};        // of a step

  double draw(int kind, std::uint32_t a, std::uint32_t b, std::uint32_t c, std::uint32_t d) const {
    const auto block = tutti::philox({a, b, c, d}, {std::uint32_t(seed), std::uint32_t(kind)});
    return double(block[0]) / 4294967296.0;
  }
  bool gives(int rank, int step) const { return last.empty() || step <= last[std::size_t(rank)]; }
  int micros(int rank, int step) const {
    return micro_batches ? 1 + int(3 * draw(1, std::uint32_t(rank), std::uint32_t(step), 0, 0)) : 1;
  }
  double weight(int rank, int step, int micro) const {
    return weighted ? 0.25 * (1 + int(9 * draw(2, std::uint32_t(rank), std::uint32_t(step), std::uint32_t(micro), 0)))
                    : 1;
  }
  bool present(int rank, int step, int micro, std::size_t t) const {
    return !absent ||
           draw(3, std::uint32_t(rank), std::uint32_t(step), std::uint32_t(micro), std::uint32_t(t)) > 0.4;
  }
  double gradient(int rank, int step, int micro, std::size_t t, std::size_t i, double x) const {
    return 2 * draw(4, std::uint32_t(rank), std::uint32_t(step), std::uint32_t(micro), std::uint32_t(t * 1000 + i)) -
           1 + 0.25 * x;
  }
  double start(std::size_t t, std::size_t i) const { return 2 * draw(5, std::uint32_t(t), std::uint32_t(i), 0, 0) - 1; }
  bool frozen(std::size_t t, int step) const { return !frozen_until.empty() && step <= frozen_until[t]; }
  static bool among(const std::vector<int>& steps, int step) { return std::ranges::count(steps, step) > 0; }
};

/// What a step gives on one rank, or on all.
struct contribution {
  values sum;
  std::vector<bool> has;
  double weight = 0;
};

/// All replicas, and what they should be after each step.
class replicas {
public:
  explicit replicas(const plan& how) : how_{how}, ranks_(std::size_t(how.ranks)) {
    const values zero = shaped(0);
    agreed_ = shaped(0);
    for (std::size_t t = 0; t < agreed_.size(); ++t)
      for (std::size_t i = 0; i < agreed_[t].size(); ++i) agreed_[t][i] = how.start(t, i);
    outer_m_ = outer_v_ = zero;
    for (auto& r : ranks_) r = {agreed_, zero, zero, std::vector<std::int64_t>(zero.size()), {}};
    for (auto& r : ranks_) r.since.assign(std::size_t(how.fragments), 0);
    outer_steps_.assign(zero.size(), 0);
  }

  const values& of(int rank) const { return ranks_[std::size_t(rank)].x; }
  double norm(int rank) const { return ranks_[std::size_t(rank)].norm; }

  void step(int s) {
    if (how_.rate) how_.inner.rate = how_.rate(s);
    std::vector<contribution> all;
    for (int r = 0; r < how_.ranks; ++r) all.push_back(given(r, s));
    if (how_.contribution == tutti::contributes::gradient) {
      const contribution mean = averaged(all);
      for (auto& r : ranks_) descend(r, mean, s);
      return;
    }
    for (std::size_t r = 0; r < all.size(); ++r) {
      if (all[r].weight == 0) continue;
      for (double& w : ranks_[r].since) w += all[r].weight;
      for (auto& tensor : all[r].sum)
        for (double& g : tensor) g /= all[r].weight;
      descend(ranks_[r], all[r], s);
    }
    pass(s);
  }

  /// A step that was left out everywhere: replicas that train apart cannot know that, so periods go on.
  void skip(int s) {
    if (how_.contribution != tutti::contributes::gradient) pass(s);
  }

  /// Everything in flight is applied, and what is left is agreed on.
  void finalize(int s) {
    if (how_.contribution == tutti::contributes::gradient) return;
    settle(s, true);
    for (int k = 0; k < how_.fragments; ++k) {
      const bool trained = std::ranges::any_of(ranks_, [&](const auto& r) { return r.since[std::size_t(k)] > 0; });
      if (trained) offer(k), settle(s, true);
    }
    for (auto& r : ranks_) r.x = agreed_;
    since_ = 0;
  }

private:
  struct replica {
    values x, m, v;
    std::vector<std::int64_t> steps;
    std::vector<double> since; // by fragment: the weight of what was learnt
    double norm = 0;
  };

  values shaped(double x) const {
    values all;
    for (const std::size_t n : how_.sizes) all.emplace_back(n, x);
    return all;
  }
  contribution given(int r, int s) const {
    contribution c{shaped(0), std::vector<bool>(how_.sizes.size()), 0};
    if (!how_.gives(r, s)) return c;
    for (int micro = 0; micro < how_.micros(r, s); ++micro) {
      const double w = how_.weight(r, s, micro);
      c.weight += w;
      for (std::size_t t = 0; t < how_.sizes.size(); ++t) {
        if (!how_.present(r, s, micro, t)) continue;
        c.has[t] = true;
        for (std::size_t i = 0; i < how_.sizes[t]; ++i)
          c.sum[t][i] += w * how_.gradient(r, s, micro, t, i, of(r)[t][i]);
      }
    }
    return c;
  }
  contribution averaged(const std::vector<contribution>& all) const {
    contribution mean{shaped(0), std::vector<bool>(how_.sizes.size()), 0};
    double total = 0;
    for (const auto& c : all) total += c.weight;
    for (const auto& c : all)
      for (std::size_t t = 0; t < c.sum.size(); ++t) {
        mean.has[t] = mean.has[t] || c.has[t];
        for (std::size_t i = 0; i < c.sum[t].size() && c.weight > 0; ++i)
          mean.sum[t][i] += c.sum[t][i] / (how_.by_world ? c.weight * how_.ranks : total);
      }
    return mean;
  }
  void descend(replica& r, const contribution& g, int s) {
    double squares = 0;
    for (std::size_t t = 0; t < g.sum.size(); ++t)
      for (const double x : g.sum[t]) squares += g.has[t] && !how_.frozen(t, s) ? x * x : 0;
    r.norm = std::sqrt(squares);
    const double shrink = how_.clip > 0 && r.norm > how_.clip ? how_.clip / r.norm : 1;
    for (std::size_t t = 0; t < g.sum.size(); ++t) {
      if (!g.has[t] || how_.frozen(t, s)) continue;
      rule o = how_.inner;
      if (!how_.rate_of.empty()) o.rate *= how_.rate_of[t], o.decay *= how_.decay_of[t];
      ++r.steps[t];
      for (std::size_t i = 0; i < g.sum[t].size(); ++i)
        o.move(r.steps[t], r.x[t][i], shrink * g.sum[t][i], r.m[t][i], r.v[t][i]);
    }
  }

  struct offered {
    int fragment, due;
    values mean; // of what is contributed
  };
  /// Another step is over: is it time to agree?
  void pass(int s) {
    if (++since_ >= how_.period(++passed_)) {
      since_ = 0;
      offer(next_);
      next_ = (next_ + 1) % how_.fragments;
    }
    settle(s, false);
  }
  /// Equal tensors, last first, one after the other in as many fragments.
  bool in(int fragment, std::size_t t) const {
    const std::size_t place = how_.sizes.size() - 1 - t, each = how_.sizes.size() / std::size_t(how_.fragments);
    return how_.fragments == 1 || place / each == std::size_t(fragment);
  }
  void offer(int fragment) {
    double total = 0; // a mean counts every rank that has trained alike
    for (auto& r : ranks_) {
      double& weight = r.since[std::size_t(fragment)];
      if (!how_.weighted) weight = weight > 0;
      total += weight;
    }
    if (total == 0) return;
    values mean = shaped(0); // of differences, agreed before minus trained
    for (auto& r : ranks_) {
      double& weight = r.since[std::size_t(fragment)];
      const double share = how_.by_world ? 1.0 / how_.ranks : weight / total;
      for (std::size_t t = 0; t < mean.size(); ++t)
        for (std::size_t i = 0; i < mean[t].size(); ++i) mean[t][i] += share * (agreed_[t][i] - r.x[t][i]);
      weight = 0;
    }
    flying_.push_back({fragment, passed_ + how_.delay, mean});
  }
  void settle(int s, bool all) {
    while (!flying_.empty() && (all || flying_.front().due <= passed_)) {
      const offered f = flying_.front();
      flying_.erase(flying_.begin());
      for (std::size_t t = 0; t < f.mean.size(); ++t) {
        if (!in(f.fragment, t) || how_.frozen(t, s)) continue;
        ++outer_steps_[t];
        for (std::size_t i = 0; i < f.mean[t].size(); ++i) {
          double& x = agreed_[t][i];
          if (how_.has_outer) how_.outer.move(outer_steps_[t], x, f.mean[t][i], outer_m_[t][i], outer_v_[t][i]);
          else x -= f.mean[t][i];
          for (auto& r : ranks_) r.x[t][i] = x + how_.keep * (r.x[t][i] - x);
        }
      }
    }
  }

  plan how_;
  std::vector<replica> ranks_;
  values agreed_, outer_m_, outer_v_;
  std::vector<std::int64_t> outer_steps_;
  std::vector<offered> flying_;
  int passed_ = 0, since_ = 0, next_ = 0;
};

} // namespace plain
