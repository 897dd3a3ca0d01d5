// What policies that let replicas train apart are to come to: plain loops over all ranks' values,
// without tutti. The gradient of rank r pulls value i towards i + r.
#pragma once

#include <algorithm>
#include <cstddef>
#include <deque>
#include <vector>

namespace trial {

struct plain_policy {
  bool difference = true; ///< or parameters are averaged
  int period = 1, fragments = 1, delay = 0;
  double keep = 0;
  double rate = 0.7, momentum = 0.9; ///< of the outer step, Nesterov's
};

class plain_local {
public:
  plain_local(plain_policy policy, int ranks, std::size_t n)
      : policy_{policy}, x_(std::size_t(ranks), std::vector<double>(n)), inner_{x_}, agreed_(n),
        outer_(n), brings_(std::size_t(policy.fragments), std::vector<bool>(std::size_t(ranks))) {}

  /// Rank r makes the step where trains[r]; the others wait for those who do.
  void step(const std::vector<bool>& trains) {
    for (std::size_t r = 0; r < x_.size(); ++r) {
      if (!trains[r]) continue;
      for (auto& fragment : brings_) fragment[r] = true;
      for (std::size_t i = 0; i < agreed_.size(); ++i) {
        inner_[r][i] = 0.5 * inner_[r][i] + (x_[r][i] - double(i) - double(r));
        x_[r][i] -= 0.1 * inner_[r][i];
      }
    }
    ++step_;
    settle([&](const sent& s) { return s.due <= step_; });
    if (step_ % policy_.period == 0) offer(exchanges_++ % policy_.fragments);
    settle([&](const sent& s) { return s.due <= step_; });
  }
  /// Nobody makes any more: where the next agreement would be due, what is left is agreed on, and
  /// nobody keeps any of their own.
  void end() {
    const double keep = policy_.keep;
    settle([](const sent&) { return true; });
    policy_.keep = 0;
    for (int k = 0; k < policy_.fragments; ++k) {
      const int fragment = (exchanges_ + k) % policy_.fragments;
      auto& who = brings_[std::size_t(fragment)];
      const bool anybody = std::count(who.begin(), who.end(), true) > 0;
      if (!anybody && !policy_.difference && keep > 0) who.assign(who.size(), true);
      offer(fragment);
      settle([](const sent&) { return true; });
    }
    for (auto& x : x_)
      if (policy_.difference) x = agreed_;
    policy_.keep = keep;
  }
  const std::vector<double>& of(std::size_t rank) const { return x_[rank]; }

private:
  struct sent {
    int due;
    std::size_t begin;
    std::vector<double> mean;
  };
  static std::size_t cut(std::size_t n, int pieces, int k) { // the first n % pieces are one longer
    const std::size_t short_one = n / std::size_t(pieces), longer = n % std::size_t(pieces);
    return std::size_t(k) * short_one + (std::size_t(k) < longer ? std::size_t(k) : longer);
  }
  void offer(int fragment) {
    const std::size_t n = agreed_.size(), begin = cut(n, policy_.fragments, fragment);
    sent s{step_ + policy_.delay, begin,
           std::vector<double>(cut(n, policy_.fragments, fragment + 1) - begin)};
    auto& who = brings_[std::size_t(fragment)];
    const double count = double(std::count(who.begin(), who.end(), true));
    if (count == 0) return;
    for (std::size_t r = 0; r < x_.size(); ++r)
      for (std::size_t k = 0; who[r] && k < s.mean.size(); ++k)
        s.mean[k] +=
            (policy_.difference ? agreed_[begin + k] - x_[r][begin + k] : x_[r][begin + k]) / count;
    under_way_.push_back(s);
    who.assign(who.size(), false);
  }
  template <class Ends> void settle(Ends ends) {
    for (; !under_way_.empty() && ends(under_way_.front()); under_way_.pop_front()) {
      const sent& s = under_way_.front();
      for (std::size_t k = 0; k < s.mean.size(); ++k) {
        const std::size_t i = s.begin + k;
        outer_[i] = policy_.momentum * outer_[i] + s.mean[k];
        if (policy_.difference)
          agreed_[i] -= policy_.rate * (s.mean[k] + policy_.momentum * outer_[i]);
        else agreed_[i] = s.mean[k];
        for (auto& x : x_) x[i] = agreed_[i] + policy_.keep * (x[i] - agreed_[i]);
      }
    }
  }

  plain_policy policy_;
  int step_ = 0, exchanges_ = 0;
  std::vector<std::vector<double>> x_, inner_; ///< of each rank
  std::vector<double> agreed_, outer_;
  std::vector<std::vector<bool>> brings_; ///< of each fragment and rank, since it was agreed on
  std::deque<sent> under_way_;
};

} // namespace trial
