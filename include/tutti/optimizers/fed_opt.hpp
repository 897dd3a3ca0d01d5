// fed_adagrad, fed_adam and fed_yogi: what a server makes of the mean of its clients.
//
// Reddi et al., "Adaptive federated optimization" (ICLR 2021, arXiv 2003.00295), algorithm 2. The gradient is what was
// sent out minus the mean of what was trained: -D of the paper, and p moves by learning_rate m / (sqrt(v) + tau). There
// is no bias correction, and v begins as 0 and not, as in the paper, as at least tau^2. They are optimizers like all
// others; with another use they are adaptive steps whose epsilon is tau.
#pragma once

#include <tutti/optimizers/adam.hpp>
#include <tutti/optimizers/optimizer.hpp>

#include <cmath>
#include <cstdint>

namespace tutti {

namespace detail {

/// m = b1 m + (1 - b1) g, v = next(v, g^2), p -= rate m / (sqrt(v) + tau).
template <class T, class Next>
struct adaptive_moves {
  T rate, b1, c1, tau;
  Next next;

  void operator()(const rounding& rounded, T& p, T g, T* state) const {
    state[0] = rounded(b1 * state[0]) + rounded(c1 * g);
    state[1] = next(rounded, state[1], rounded(g * g));
    p -= rounded(rate * (state[0] / (std::sqrt(state[1]) + tau)));
  }
};
template <class Rule>
std::string wrong_adaptive(const char* name, const Rule& o) {
  wrong_number found{name};
  found.finite("learning_rate", o.learning_rate).fraction("beta1", o.beta1);
  if constexpr (requires { o.beta2; }) found.fraction("beta2", o.beta2);
  return found.positive("tau", o.tau).text();
}
template <class T, class Rule, class Next>
adaptive_moves<T, Next> adaptive(const Rule& rule, Next next) {
  return {T(rule.learning_rate), T(rule.beta1), T(1 - rule.beta1), T(rule.tau), next};
}

} // namespace detail

/// v += D^2.
struct fed_adagrad {
  static constexpr auto slots = detail::moments;

  double learning_rate = 0.1;
  double beta1 = 0;
  double tau = 1e-3;

  std::string wrong() const { return detail::wrong_adaptive("fed_adagrad", *this); }
  template <std::floating_point T>
  auto at(std::int64_t /*step*/) const {
    return detail::adaptive<T>(*this, [](const rounding&, T v, T square) { return v + square; });
  }
};

/// v = beta2 v + (1 - beta2) D^2.
struct fed_adam {
  static constexpr auto slots = detail::moments;

  double learning_rate = 0.1;
  double beta1 = 0.9;
  double beta2 = 0.99;
  double tau = 1e-3;

  std::string wrong() const { return detail::wrong_adaptive("fed_adam", *this); }
  template <std::floating_point T>
  auto at(std::int64_t /*step*/) const {
    return detail::adaptive<T>(*this, [b = T(beta2), c = T(1 - beta2)](const rounding& rounded, T v, T square) {
      return rounded(b * v) + rounded(c * square);
    });
  }
};

/// v -= (1 - beta2) D^2 sign(v - D^2): towards D^2 by a share of it, however far v is from it.
struct fed_yogi {
  static constexpr auto slots = detail::moments;

  double learning_rate = 0.1;
  double beta1 = 0.9;
  double beta2 = 0.99;
  double tau = 1e-3;

  std::string wrong() const { return detail::wrong_adaptive("fed_yogi", *this); }
  template <std::floating_point T>
  auto at(std::int64_t /*step*/) const {
    return detail::adaptive<T>(*this, [c = T(1 - beta2)](const rounding& rounded, T v, T square) {
      const T by = rounded(c * square);
      return v > square ? v - by : v < square ? v + by : v;
    });
  }
};

} // namespace tutti
