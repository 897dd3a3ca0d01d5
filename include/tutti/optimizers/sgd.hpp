// sgd: stochastic gradient descent, with momentum in the classical or Nesterov's form.
#pragma once

#include <tutti/optimizers/optimizer.hpp>

namespace tutti {

namespace detail {

/// The numbers of a step. No lambda, as CUDA kernels take none.
template <class T>
struct sgd_moves {
  T rate, keep, decay;
  bool looks_ahead;

  TUTTI_HD void operator()(const rounding& rounded, T& p, T g, T* state) const {
    const T slope = g + rounded(decay * p);
    const T v = rounded(keep * state[0]) + slope;
    state[0] = v;
    p -= rounded(rate * (looks_ahead ? slope + rounded(keep * v) : v));
  }
};

} // namespace detail

/// g' = g + weight_decay p;  v = momentum v + g' (v = g' in the first step);
/// p -= learning_rate (nesterov ? g' + momentum v : v).
/// Sutskever, Martens, Dahl, Hinton, "On the importance of initialization and momentum" (ICML 2013), in
/// the form that PyTorch uses, where the learning rate multiplies the velocity when it is applied.
struct sgd {
  static constexpr tutti::execution runs = tutti::execution::both;
  static constexpr std::array<std::string_view, 1> slots{"momentum_buffer"};

  double learning_rate = 0.1;
  double momentum = 0;
  bool nesterov = false;
  double weight_decay = 0;

  std::string wrong() const {
    return detail::wrong_number{"sgd"}
        .finite("learning_rate", learning_rate)
        .finite("momentum", momentum)
        .finite("weight_decay", weight_decay)
        .text();
  }
  template <std::floating_point T>
  auto at(std::int64_t /*step*/) const {
    return detail::sgd_moves<T>{T(learning_rate), T(momentum), T(weight_decay), nesterov};
  }
};

} // namespace tutti
