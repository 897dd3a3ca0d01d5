// The discrete Fourier transform, of lengths that are powers of two.
#pragma once

#include <cmath>
#include <complex>
#include <cstddef>
#include <utility>
#include <vector>

namespace tutti::detail {

/// In place, in O(n log n); `inverse` leaves the result n times too large. Every value is off by at most about
/// 5 log2(n) 2^-53 of the root of the sum of squares.
inline void fourier(std::vector<std::complex<double>>& x, bool inverse) {
  const std::size_t n = x.size();
  for (std::size_t i = 1, j = 0; i < n; ++i) { // bits in the other order
    std::size_t bit = n >> 1;
    for (; j & bit; bit >>= 1) j ^= bit;
    j ^= bit;
    if (i < j) std::swap(x[i], x[j]);
  }
  std::vector<std::complex<double>> roots(n / 2);
  const double turn = (inverse ? 2 : -2) * 3.14159265358979323846 / double(n);
  for (std::size_t k = 0; k < n / 2; ++k) roots[k] = {std::cos(turn * double(k)), std::sin(turn * double(k))};
  for (std::size_t half = 1; half < n; half *= 2)
    for (std::size_t from = 0; from < n; from += 2 * half)
      for (std::size_t k = 0; k < half; ++k) {
        const std::complex<double> w = roots[k * (n / (2 * half))], a = x[from + k], b = x[from + half + k];
        const std::complex<double> t{b.real() * w.real() - b.imag() * w.imag(),
                                     b.real() * w.imag() + b.imag() * w.real()};
        x[from + k] = a + t;
        x[from + half + k] = a - t;
      }
}

} // namespace tutti::detail
