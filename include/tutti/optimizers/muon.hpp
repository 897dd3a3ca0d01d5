// muon: matrices move by what is orthonormal of their momentum, everything else by another optimizer.
//
// An optimizer of whole matrices has, beside what all have (optimizers/optimizer.hpp, for what is no matrix):
//
//   takes_matrices            true
//   gathers<T>(step)          of each element: (rounded, g, state) is what the step will be made of, in the place of
//                             the gradient; state is the first slot of the elementwise optimizer
//   orthonormalize(values, shape)   of all of them, in place; what takes the time, so it is done on one rank
//   applies<T>(step)          of each element: (rounded, p, o) moves the parameter by what came of it
#pragma once

#include <tutti/core/matrix_product.hpp>
#include <tutti/optimizers/adam.hpp>

#include <algorithm>
#include <cmath>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <utility>
#include <vector>

namespace tutti {

template <class O>
inline constexpr bool takes_matrices = requires { requires O::takes_matrices; };

namespace detail {

/// U S V^T becomes nearly U V^T: five steps bring singular values from .01 to 1 of the matrix's length to between .68 and
/// 1.13. A matrix without a length stays as it is, and one that is not finite is not made so.
/// Newton-Schulz with the quintic of K. Jordan et al., "Muon: an optimizer for hidden layers in neural networks" (2024);
/// Bernstein, Newhouse, "Old optimizer, new norm: an anthology" (arXiv 2409.20325), appendix A.
/// Cost: n^2 (2 m + n) multiplications and additions an iteration, n the lesser of rows and columns, m the greater.
template <std::floating_point T>
void newton_schulz(std::span<T> values, matrix_shape is, int iterations) {
  constexpr T a = T(3.4445), b = T(-4.7750), c = T(2.0315);
  const exact_mode held;
  const rounding rounded;
  double squares = 0;
  for (const T v : values) squares += rounded(double(v) * double(v));
  if (!(squares > 0)) return;
  const T length = T(std::sqrt(squares));
  for (T& v : values) v /= length;

  const bool turned = is.rows > is.columns;
  const matrix_shape wide = turned ? matrix_shape{is.columns, is.rows} : is;
  const std::size_t n = wide.rows, m = wide.columns;
  std::vector<T> x(values.begin(), values.end()), across(values.size()), square(n * n), powers(n * n), next(x.size());
  if (turned) detail::transpose(values.data(), is, x.data());
  for (int k = 0; k < iterations; ++k) {
    detail::transpose(x.data(), wide, across.data());
    detail::multiply(x.data(), across.data(), square.data(), n, m, n);         // A = X X^T
    detail::multiply(square.data(), square.data(), powers.data(), n, n, n);    // b A + c A^2
    for (std::size_t i = 0; i < powers.size(); ++i) powers[i] = rounded(b * square[i]) + rounded(c * powers[i]);
    detail::multiply(powers.data(), x.data(), next.data(), n, n, m);
    for (std::size_t i = 0; i < x.size(); ++i) x[i] = rounded(a * x[i]) + next[i];
  }
  turned ? detail::transpose(x.data(), wide, values.data()) : void(std::copy(x.begin(), x.end(), values.begin()));
}

template <class T>
struct gathered_momentum {
  T keep;
  bool looks_ahead;
  T operator()(const rounding& rounded, T g, T* state) const {
    state[0] = rounded(keep * state[0]) + g;
    return looks_ahead ? g + rounded(keep * state[0]) : state[0];
  }
};
template <class T>
struct shrunk_and_moved {
  T shrink, rate;
  void operator()(const rounding& rounded, T& p, T o) const { p = rounded(shrink * p) - rounded(rate * o); }
};

} // namespace detail

/// v = momentum v + g;  u = nesterov ? g + momentum v : v;  o = the orthonormal factor of u, times
/// sqrt(max(1, rows / columns));  p = (1 - learning_rate weight_decay) p - learning_rate o.
/// K. Jordan et al. (2024), as above. Of tensors with the role `matrix` (training/roles.hpp), whose dimensions but the
/// first are columns; all others are moved by `inner`, which has its own rate. Momentum is kept in inner's first slot.
/// Ranks that reduce gradients share the matrices out, so each is orthonormalised once a step.
template <class Inner = adamw>
struct muon {
  static_assert(Inner::slots.size() >= 1, "tutti::muon: inner keeps nothing, and the momentum of matrices is kept in its "
                                          "first slot - give tutti::adamw, or another with a slot");
  static constexpr bool takes_matrices = true;
  static constexpr auto slots = Inner::slots;

  double learning_rate = 0.02;
  double momentum = 0.95;
  bool nesterov = true;
  double weight_decay = 0;
  int iterations = 5;
  Inner inner = {};

  std::string wrong() const {
    std::string of_inner = detail::wrong_optimizer(inner);
    if (!of_inner.empty()) return of_inner;
    return detail::wrong_number{"muon"}
        .finite("learning_rate", learning_rate)
        .fraction("momentum", momentum)
        .finite("weight_decay", weight_decay)
        .positive("iterations", iterations)
        .text();
  }
  template <std::floating_point T>
  auto at(std::int64_t step) const {
    return inner.template at<T>(step);
  }
  template <std::floating_point T>
  auto gathers(std::int64_t /*step*/) const {
    return detail::gathered_momentum<T>{T(momentum), nesterov};
  }
  template <std::floating_point T>
  void orthonormalize(std::span<T> values, matrix_shape is) const {
    detail::newton_schulz(values, is, iterations);
    const T scale = T(std::sqrt((std::max)(1.0, double(is.rows) / double(is.columns))));
    for (T& v : values) v *= scale;
  }
  template <std::floating_point T>
  auto applies(std::int64_t /*step*/) const {
    return detail::shrunk_and_moved<T>{T(1 - learning_rate * weight_decay), T(learning_rate)};
  }
};

} // namespace tutti
