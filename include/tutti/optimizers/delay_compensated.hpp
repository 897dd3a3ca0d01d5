// delay_compensated: another optimizer, with gradients that are brought up to the parameters that they meet.
#pragma once

#include <tutti/optimizers/optimizer.hpp>

#include <concepts>
#include <cstdint>

namespace tutti {

namespace detail {

template <class T, class By>
struct compensated_moves {
  By by;
  T lambda;

  void operator()(const rounding& rounded, T& p, T g, T* state) const { by(rounded, p, g, state); }
  void operator()(const rounding& rounded, T& p, T g, T* state, T before) const {
    by(rounded, p, g + rounded(g * (lambda * g * (p - before))), state);
  }
};

} // namespace detail

/// g' = g + lambda g^2 (p - before) is given to `inner` in the place of g; `before` is the value of the parameter that
/// the gradient was taken at - of a push to servers, what that worker was answered. A first order of the gradient's
/// Taylor series, with the outer product's diagonal for the Hessian. Where a gradient meets the parameters that it was
/// taken at, on replicas and in steps that close for all workers at once, it is `inner`. Zheng et al., "Asynchronous
/// stochastic gradient descent with delay compensation" (ICML 2017, arXiv 1609.08326), equation 10; as there with
/// the reducer `sum`, under which a push counts whole.
/// Cost: on a server one more key range a worker; loading in mid-training gathers what workers have pulled.
template <class Inner>
struct delay_compensated {
  static constexpr auto slots = Inner::slots;

  Inner inner = {};
  double lambda = 0.04;

  std::string wrong() const {
    std::string of_inner = detail::wrong_optimizer(inner);
    return of_inner.empty() ? detail::wrong_number{"delay_compensated"}.not_negative("lambda", lambda).text() : of_inner;
  }
  template <std::floating_point T>
  auto at(std::int64_t step) const {
    const auto by = inner.template at<T>(step);
    return detail::compensated_moves<T, decltype(by)>{by, T(lambda)};
  }
};
template <class Inner>
delay_compensated(Inner, double) -> delay_compensated<Inner>;
template <class Inner>
delay_compensated(Inner) -> delay_compensated<Inner>;

} // namespace tutti
