// adam and adamw: steps scaled by running moments of the gradient.
#pragma once

#include <tutti/optimizers/optimizer.hpp>

#include <cmath>

namespace tutti {

namespace detail {

/// m = b1 m + (1 - b1) g;  v = b2 v + (1 - b2) g^2;
/// p -= rate m / (1 - b1^t) / (sqrt(v / (1 - b2^t)) + epsilon).
/// With -fno-math-errno the loop is vectorised, square root and all, with the same bits.
template <class T>
class adam_moves {
public:
  template <class Adam>
  adam_moves(const Adam& o, std::int64_t step, double coupled_decay, double decoupled_decay)
      : rate_{T(o.learning_rate / (1 - std::pow(o.beta1, double(step))))},
        unbias_{T(1 / std::sqrt(1 - std::pow(o.beta2, double(step))))}, b1_{T(o.beta1)},
        b2_{T(o.beta2)}, c1_{T(1 - o.beta1)}, c2_{T(1 - o.beta2)}, tiny_{T(o.epsilon)},
        decay_{T(coupled_decay)}, shrink_{T(1 - rounding{}(o.learning_rate * decoupled_decay))} {}

  TUTTI_HD void operator()(const rounding& rounded, T& p, T gradient, T* state) const {
    const T g = gradient + rounded(decay_ * p);
    state[0] = rounded(b1_ * state[0]) + rounded(c1_ * g);
    state[1] = rounded(b2_ * state[1]) + rounded(c2_ * (g * g));
    const T root = rounded(std::sqrt(state[1]) * unbias_);
    p = rounded(shrink_ * p) - rounded(rate_ * (state[0] / (root + tiny_)));
  }

private:
  T rate_, unbias_, b1_, b2_, c1_, c2_, tiny_, decay_, shrink_;
};

template <class Adam>
std::string wrong_adam(const char* name, const Adam& o) {
  return wrong_number{name}
      .finite("learning_rate", o.learning_rate)
      .fraction("beta1", o.beta1)
      .fraction("beta2", o.beta2)
      .not_negative("epsilon", o.epsilon)
      .finite("weight_decay", o.weight_decay)
      .text();
}

/// m and v, by the names that other libraries' checkpoints have for them.
inline constexpr std::array<std::string_view, 2> moments{"exp_avg", "exp_avg_sq"};

} // namespace detail

/// Kingma, Ba, "Adam" (ICLR 2015), algorithm 1. `weight_decay` adds to the gradient (L2).
struct adam {
  static constexpr tutti::execution runs = tutti::execution::both;
  static constexpr auto slots = detail::moments;

  double learning_rate = 1e-3;
  double beta1 = 0.9;
  double beta2 = 0.999;
  double epsilon = 1e-8;
  double weight_decay = 0;

  std::string wrong() const { return detail::wrong_adam("adam", *this); }
  template <std::floating_point T>
  auto at(std::int64_t step) const {
    return detail::adam_moves<T>{*this, step, weight_decay, 0};
  }
};

/// Loshchilov, Hutter, "Decoupled weight decay regularization" (ICLR 2019), algorithm 2: parameters
/// shrink by learning_rate * weight_decay in each step, apart from the gradient.
struct adamw {
  static constexpr tutti::execution runs = tutti::execution::both;
  static constexpr auto slots = detail::moments;

  double learning_rate = 1e-3;
  double beta1 = 0.9;
  double beta2 = 0.999;
  double epsilon = 1e-8;
  double weight_decay = 0.01;

  std::string wrong() const { return detail::wrong_adam("adamw", *this); }
  template <std::floating_point T>
  auto at(std::int64_t step) const {
    return detail::adam_moves<T>{*this, step, 0, weight_decay};
  }
};

} // namespace tutti
