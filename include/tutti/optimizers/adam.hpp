// adam and adamw: steps scaled by running moments of the gradient.
#pragma once

#include <tutti/core/rounded.hpp>
#include <tutti/optimizers/optimizer.hpp>

#include <cmath>

namespace tutti {

namespace detail {

/// m = b1 m + (1 - b1) g;  v = b2 v + (1 - b2) g^2;
/// p -= rate m / (1 - b1^t) / (sqrt(v / (1 - b2^t)) + epsilon).
/// With -fno-math-errno the loop is vectorised, square root and all, with the same bits.
template <class T>
void adam_step(std::int64_t step, double learning_rate, double beta1, double beta2, double epsilon,
               double coupled_decay, double decoupled_decay, std::span<T> parameters,
               std::span<const T> gradients, T* __restrict m, T* __restrict v) {
  const rounding rounded;
  const double t = double(step);
  const T rate = T(learning_rate / (1 - std::pow(beta1, t)));
  const T unbias = T(1 / std::sqrt(1 - std::pow(beta2, t)));
  const T b1 = T(beta1), b2 = T(beta2), c1 = T(1 - beta1), c2 = T(1 - beta2);
  const T tiny = T(epsilon), decay = T(coupled_decay);
  const T shrink = T(1 - rounded(learning_rate * decoupled_decay));
  for (std::size_t i = 0; i < parameters.size(); ++i) {
    const T g = gradients[i] + rounded(decay * parameters[i]);
    m[i] = rounded(b1 * m[i]) + rounded(c1 * g);
    v[i] = rounded(b2 * v[i]) + rounded(c2 * (g * g));
    const T root = rounded(std::sqrt(v[i]) * unbias);
    parameters[i] = rounded(shrink * parameters[i]) - rounded(rate * (m[i] / (root + tiny)));
  }
}

} // namespace detail

/// Kingma, Ba, "Adam" (ICLR 2015), algorithm 1. `weight_decay` adds to the gradient (L2).
struct adam {
  static constexpr std::size_t slots = 2;

  double learning_rate = 1e-3;
  double beta1 = 0.9;
  double beta2 = 0.999;
  double epsilon = 1e-8;
  double weight_decay = 0;

  template <std::floating_point T>
  void update(std::int64_t step, std::span<T> parameters, std::span<const T> gradients,
              optimizer_slots<T, 2> state) const {
    detail::adam_step<T>(step, learning_rate, beta1, beta2, epsilon, weight_decay, 0, parameters,
                         gradients, state[0].data(), state[1].data());
  }
};

/// Loshchilov, Hutter, "Decoupled weight decay regularization" (ICLR 2019), algorithm 2: parameters
/// shrink by learning_rate * weight_decay in each step, apart from the gradient.
struct adamw {
  static constexpr std::size_t slots = 2;

  double learning_rate = 1e-3;
  double beta1 = 0.9;
  double beta2 = 0.999;
  double epsilon = 1e-8;
  double weight_decay = 0.01;

  template <std::floating_point T>
  void update(std::int64_t step, std::span<T> parameters, std::span<const T> gradients,
              optimizer_slots<T, 2> state) const {
    detail::adam_step<T>(step, learning_rate, beta1, beta2, epsilon, 0, weight_decay, parameters,
                         gradients, state[0].data(), state[1].data());
  }
};

} // namespace tutti
