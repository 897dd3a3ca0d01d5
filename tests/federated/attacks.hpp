// What clients send who do not mean well: attacks that rules are tried against.
#pragma once

#include <tutti/core/random.hpp>

#include <cmath>
#include <cstddef>
#include <vector>

namespace attacks {

using update = std::vector<double>; ///< trained minus received

/// The opposite of what it has learnt, `times` as much.
inline update sign_flip(update own, double times) {
  for (double& x : own) x *= -times;
  return own;
}

/// Labels count from 0: the last for the first. Who trains on these does not know better.
constexpr int label_flip(int label, int labels) { return labels - 1 - label; }

/// Normally distributed numbers (Box and Muller).
inline update gaussian(std::size_t n, double deviation, tutti::random_stream& draw) {
  update out(n);
  for (double& x : out) {
    const double radius = std::sqrt(-2 * std::log(1 - double(draw.uniform())));
    x = deviation * radius * std::cos(6.283185307179586 * double(draw.uniform()));
  }
  return out;
}

inline update mean_of(const std::vector<update>& all) {
  update mean(all.at(0).size());
  for (const update& one : all)
    for (std::size_t i = 0; i < mean.size(); ++i) mean[i] += one[i] / double(all.size());
  return mean;
}

/// The mean of the honest, `deviations` standard deviations off in each coordinate, where it is not seen among them:
/// Baruch, Baruch, Goldberg, "A little is enough" (NeurIPS 2019). Those who attack know what the honest send.
inline update a_little_is_enough(const std::vector<update>& honest, double deviations) {
  update out = mean_of(honest);
  for (std::size_t i = 0; i < out.size(); ++i) {
    double variance = 0;
    for (const update& one : honest) variance += (one[i] - out[i]) * (one[i] - out[i]) / double(honest.size());
    out[i] -= deviations * std::sqrt(variance);
  }
  return out;
}

/// The opposite of what the honest send in the mean: Xie, Koyejo, Gupta, "Fall of empires" (UAI 2019).
inline update inner_product_manipulation(const std::vector<update>& honest, double epsilon) {
  return sign_flip(mean_of(honest), epsilon);
}

} // namespace attacks
