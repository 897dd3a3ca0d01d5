// sgd: stochastic gradient descent, with momentum in the classical or Nesterov's form.
#pragma once

#include <tutti/core/rounded.hpp>
#include <tutti/optimizers/optimizer.hpp>

namespace tutti {

/// g' = g + weight_decay p;  v = momentum v + g' (v = g' in the first step);
/// p -= learning_rate (nesterov ? g' + momentum v : v).
/// Sutskever, Martens, Dahl, Hinton, "On the importance of initialization and momentum" (ICML 2013), in
/// the form that PyTorch uses, where the learning rate multiplies the velocity when it is applied.
struct sgd {
  static constexpr std::size_t slots = 1;

  double learning_rate = 0.1;
  double momentum = 0;
  bool nesterov = false;
  double weight_decay = 0;

  template <std::floating_point T>
  void update(std::int64_t /*step*/, std::span<T> parameters, std::span<const T> gradients,
              optimizer_slots<T, 1> state) const {
    const rounding rounded;
    const T rate = T(learning_rate), keep = T(momentum), decay = T(weight_decay);
    T* const __restrict velocity = state[0].data();
    for (std::size_t i = 0; i < parameters.size(); ++i) {
      const T g = gradients[i] + rounded(decay * parameters[i]);
      const T v = rounded(keep * velocity[i]) + g;
      velocity[i] = v;
      parameters[i] -= rounded(rate * (nesterov ? g + rounded(keep * v) : v));
    }
  }
};

} // namespace tutti
