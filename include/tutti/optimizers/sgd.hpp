// sgd: stochastic gradient descent, with momentum in the classical or Nesterov's form.
#pragma once

#include <tutti/optimizers/optimizer.hpp>

namespace tutti {

/// g' = g + weight_decay p;  v = momentum v + g' (v = g' in the first step);
/// p -= learning_rate (nesterov ? g' + momentum v : v).
/// Sutskever, Martens, Dahl, Hinton, "On the importance of initialization and momentum" (ICML 2013), in
/// the form that PyTorch uses, where the learning rate multiplies the velocity when it is applied.
struct sgd {
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
    return [rate = T(learning_rate), keep = T(momentum), decay = T(weight_decay),
            looks_ahead = nesterov](const rounding& rounded, T& p, T g, T* state) {
      const T slope = g + rounded(decay * p);
      const T v = rounded(keep * state[0]) + slope;
      state[0] = v;
      p -= rounded(rate * (looks_ahead ? slope + rounded(keep * v) : v));
    };
  }
};

} // namespace tutti
