// What an attacker learns of one client from rounds that were let out: a lower bound of epsilon.
#pragma once

#include "privacy/runs.hpp"

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <vector>

namespace trial {

/// Of the probability of something that came `times` of `tries`, wrong once in `once` cases: from the binomial
/// distribution, by Clopper and Pearson.
inline double least_probability(int times, int tries, double wrong) {
  if (times == 0) return 0;
  const auto at_least = [&](double p) { // as many or more
    double sum = 0;
    for (int k = times; k <= tries; ++k) {
      const double term = std::exp(std::lgamma(tries + 1.0) - std::lgamma(k + 1.0) - std::lgamma(tries - k + 1.0) +
                                   k * std::log(p) + (tries - k) * std::log1p(-p));
      sum += term;
      if (k > tries * p && term < 1e-18) break;
    }
    return sum;
  };
  double low = 0, high = 1;
  for (int k = 0; k < 60; ++k) {
    const double middle = (low + high) / 2;
    (at_least(middle) <= wrong ? low : high) = middle;
  }
  return low;
}

/// So many canaries: one client whose difference is as long as the clip, in a round of its own, with it and without.
/// Whoever guesses "it was there" where the value has come further than a bound is right, or wrong, so often that
/// epsilon is no less than what is returned - but for one case in a thousand, if the bound is chosen beforehand.
template <class Plan>
double audited_epsilon(const Plan& plan, int canaries, double bound) {
  const auto found = [&](double move) {
    int times = 0;
    tutti::threads::run(1, [&](auto& world) {
      movers canary{1, {move}};
      std::vector<double> x(1);
      double before = 0;
      tutti::strategy strategy{world, tutti::federated{}, plan};
      auto rounds = strategy.rounds(x, tutti::sgd{}, canary);
      for (int k = 0; k < canaries; ++k, before = x[0]) (void)rounds.next(), times += x[0] - before > bound;
    });
    return times;
  };
  const double there = least_probability(found(1), canaries, 5e-4);
  const double elsewhere = 1 - least_probability(canaries - found(0), canaries, 5e-4);
  return there > plan.delta() ? std::max(0.0, std::log((there - plan.delta()) / elsewhere)) : 0;
}

} // namespace trial
