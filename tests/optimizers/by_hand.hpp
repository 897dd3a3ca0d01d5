// The optimizers written down again, one value at a time, every operation rounded to T by force.
#pragma once

#include <cmath>
#include <cstdint>
#include <vector>

namespace optimizers {

/// A number that leaves the registers after every operation: nothing can be fused or reassociated.
template <class T>
class stored {
public:
  stored(T x) : value_{x} {}
  stored(const stored& x) : value_{x.value_} {}
  stored& operator=(const stored& x) {
    value_ = x.value_;
    return *this;
  }
  operator T() const { return value_; }

  friend stored operator+(const stored& a, const stored& b) { return T(a) + T(b); }
  friend stored operator-(const stored& a, const stored& b) { return T(a) - T(b); }
  friend stored operator*(const stored& a, const stored& b) { return T(a) * T(b); }
  friend stored operator/(const stored& a, const stored& b) { return T(a) / T(b); }
  friend stored root(const stored& a) { return std::sqrt(T(a)); }

private:
  volatile T value_;
};

/// One value under sgd or adam, as their papers have it.
template <class T>
struct by_hand {
  stored<T> parameter, first = T(0), second = T(0);

  template <class Sgd>
  void sgd(const Sgd& o, stored<T> gradient) {
    const stored<T> rate = T(o.learning_rate), keep = T(o.momentum), decay = T(o.weight_decay);
    gradient = gradient + decay * parameter;
    first = keep * first + gradient;
    parameter = parameter - rate * (o.nesterov ? gradient + keep * first : first);
  }

  template <class Adam>
  void adam(const Adam& o, std::int64_t step, stored<T> gradient, bool decoupled) {
    const stored<double> one = 1, beta1 = o.beta1, beta2 = o.beta2, rate = o.learning_rate;
    const auto power = [&](double base) { return stored<double>(std::pow(base, double(step))); };
    const stored<T> b1 = T(beta1), b2 = T(beta2), c1 = T(one - beta1), c2 = T(one - beta2);
    const stored<T> scale = T(rate / (one - power(beta1)));
    const stored<T> unbias = T(one / root(one - power(beta2)));
    const stored<T> shrink = T(one - rate * stored<double>(decoupled ? o.weight_decay : 0));
    gradient = gradient + stored<T>(T(decoupled ? 0 : o.weight_decay)) * parameter;
    first = b1 * first + c1 * gradient;
    second = b2 * second + c2 * (gradient * gradient);
    const stored<T> step_size = first / (root(second) * unbias + stored<T>(T(o.epsilon)));
    parameter = shrink * parameter - scale * step_size;
  }
};

} // namespace optimizers
