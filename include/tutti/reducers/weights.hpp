// What contributions count for, brought to a scale on which no arithmetic loses them.
#pragma once

#include <tutti/reducers/binned.hpp>

#include <cmath>
#include <span>

namespace tutti::detail {

/// For weights of which only the ratios matter: multiplies all of them by the power of two that
/// brings the greatest above 1/2 and to at most 1. Then no product with a weight overflows, none
/// vanishes because all weights are small, and results have the bits that the weights as they were
/// give, where those neither overflow nor underflow. Each was 2 to the returned power times what it
/// is now.
inline int scale_weights(std::span<double> weights) noexcept {
  double greatest = 0;
  for (const double w : weights) greatest = w > greatest ? w : greatest;
  int exponent = 0;
  if (std::frexp(greatest, &exponent) == 0.5) --exponent; // 1 stays 1
  for (double& w : weights) w = std::ldexp(w, -exponent);
  return exponent;
}

/// Rounded once, whatever the order.
inline double total_weight(std::span<const double> weights) noexcept {
  binned<double> total;
  for (const double w : weights) total.add(w);
  return total.value();
}

} // namespace tutti::detail
