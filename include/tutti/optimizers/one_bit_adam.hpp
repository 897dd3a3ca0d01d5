// one_bit_adam: Adam whose variance is frozen after a while, so that what travels is its momentum, through a codec.
#pragma once

#include <tutti/optimizers/adam.hpp>
#include <tutti/optimizers/optimizer.hpp>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <string>

namespace tutti {

namespace detail {

/// b1 m + (1 - b1) g of this rank's gradient, once the variance is frozen.
template <class T>
struct one_bit_adam_offers {
  T b1, c1;
  bool is_frozen;

  T operator()(const rounding& rounded, T g, const T* state) const {
    return is_frozen ? rounded(b1 * state[0]) + rounded(c1 * g) : g;
  }
};

template <class T>
class one_bit_adam_moves {
public:
  template <class Adam>
  one_bit_adam_moves(const Adam& o, std::int64_t step)
      : warming_{o, step, 0, o.weight_decay}, is_frozen_{step > o.warm_up},
        rate_{T(o.learning_rate / (1 - std::pow(o.beta1, double(step))))},
        unbias_{T(1 / std::sqrt(1 - std::pow(o.beta2, double((std::min)(step, o.warm_up)))))}, tiny_{T(o.epsilon)},
        shrink_{T(1 - rounding{}(o.learning_rate * o.weight_decay))} {}

  void operator()(const rounding& rounded, T& p, T g, T* state) const {
    if (!is_frozen_) return warming_(rounded, p, g, state);
    const T root = rounded(std::sqrt(state[1]) * unbias_);
    state[0] = state[1] == 0 ? T{} : g;
    p = rounded(shrink_ * p) - rounded(rate_ * (state[1] == 0 ? T{} : g / (root + tiny_)));
  }

private:
  adam_moves<T> warming_;
  bool is_frozen_;
  T rate_, unbias_, tiny_, shrink_;
};

} // namespace detail

/// 1-bit Adam (Tang et al., ICML 2021, arXiv 2102.02888, algorithm 1): `warm_up` steps of Adam whose gradients travel as
/// they are; then its variance v is frozen, each rank offers b1 m + (1 - b1) g of its own gradient g in place of that,
/// and this goes through the strategy's codec, in the paper error_feedback{sign_block{}}. What is agreed on is m from then
/// on, and p -= rate m / (sqrt(v) + epsilon). Both moments keep the correction of their bias that adam gives them, v that
/// of step `warm_up`, so nothing jumps where v is frozen. Parameters shrink by learning_rate * weight_decay as those of
/// adamw.
///
/// A value that had no gradient before v was frozen has v = 0 and no scale by which it could be moved: it stays, whatever
/// a codec makes of its neighbours. A codec that gives unlike values one size, as signs do, moves those with a small v
/// far. Steps are those of each tensor: a bucket goes through the codec when all of its tensors that have a gradient are
/// past `warm_up`. Every rank has m whole, and reducers are means: tutti::synchronous over a schedule, in the host's
/// memory. Gradients are not clipped, as what arrives are none.
struct one_bit_adam {
  static constexpr auto slots = detail::moments;

  double learning_rate = 1e-3;
  double beta1 = 0.9;
  double beta2 = 0.999;
  double epsilon = 1e-8;
  double weight_decay = 0;
  std::int64_t warm_up = 1000; ///< steps; the paper has 15 to 20 percent of all

  std::string wrong() const {
    if (warm_up < 1)
      return "warm_up of tutti::one_bit_adam cannot be - give at least 1 step, in which the variance is found";
    return detail::wrong_adam("one_bit_adam", *this);
  }
  template <std::floating_point T>
  auto at(std::int64_t step) const {
    return detail::one_bit_adam_moves<T>{*this, step};
  }
  template <std::floating_point T>
  auto offers(std::int64_t step) const {
    return detail::one_bit_adam_offers<T>{T(beta1), T(1 - beta1), step > warm_up};
  }
  bool coded(std::int64_t step) const noexcept { return step > warm_up; }
};

} // namespace tutti
