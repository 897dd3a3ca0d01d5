// The accountant of privacy-loss distributions.
#pragma once

#include <tutti/federated/accountants/fourier.hpp>
#include <tutti/federated/accountants/release.hpp>

#include <algorithm>
#include <bit>
#include <cmath>
#include <complex>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <span>
#include <string>
#include <vector>

namespace tutti {
namespace detail {

/// Losses that are multiples of a step, and one of infinity.
struct loss_distribution {
  std::int64_t first = 0;    ///< multiple of the step of the first
  std::vector<double> mass;  ///< of first, first + 1, ...
  double of_infinity = 0;
};

/// Of a normal distribution, between two points.
inline double normal_between(double from, double to) {
  constexpr double root = .70710678118654752440;
  return from > 0 ? .5 * (std::erfc(from * root) - std::erfc(to * root))
                  : .5 * (std::erfc(-to * root) - std::erfc(-from * root));
}

/// The privacy loss ln r(x) of one noisy sum, r the ratio of the densities of (1 - q) N(0, z^2) + q N(1, z^2) and
/// N(0, z^2): it grows with x. Made at twelve deviations of noise; beyond is infinity.
class gaussian_losses {
public:
  explicit gaussian_losses(const noisy_release& one) : q_{one.rate}, z_{one.multiplier} {}

  double greatest() const { return loss_at(1 + reach * z_); }
  double least() const { return loss_at(-reach * z_); }
  double deviation() const { // of losses under the normal one, roughly: by steps of a quarter of the noise
    double sum = 0, squares = 0, all = 0;
    for (double x = -8; x <= 8; x += .25) {
      const double w = std::exp(-x * x / 2), l = loss_at(x * z_);
      sum += w * l, squares += w * l * l, all += w;
    }
    return std::sqrt((std::max)(0.0, squares / all - sum / all * (sum / all)));
  }

  /// With a client more (`added`), or less. What lies between two multiples of the step is given to these two so that
  /// both distributions keep their masses: that makes no divergence less, and no other way of rounding makes them
  /// grow less (Doroshenko, Ghazi, Kamath, Kumar, Manurangsi 2022, arXiv 2207.04380).
  loss_distribution on_grid(double step, bool added) const {
    const auto from = std::int64_t(std::floor(least() / step)), to = std::int64_t(std::ceil(greatest() / step));
    loss_distribution out;
    out.first = added ? -to : from;
    out.mass.assign(std::size_t(to - from) + 1, 0.0);
    const double slack = 1e-15 / -std::expm1(-step); // for what differences of masses are off by, to the wrong side
    double here = -std::numeric_limits<double>::infinity();
    for (std::int64_t k = from; k < to; ++k) {
      const double next = place_of(double(k + 1) * step);
      const double without = detail::normal_between(here / z_, next / z_);
      const double with = (1 - q_) * without + q_ * detail::normal_between((here - 1) / z_, (next - 1) / z_);
      here = next;
      const double p = added ? without : with, q = added ? with : without;
      const std::int64_t lower = added ? -(k + 1) : k; // losses are the other way round
      const double least = q > 0 ? (std::min)(std::exp(double(lower) * step) * q, p) : 0; // were all of it at `lower`
      const double up = (std::min)((p - least) / -std::expm1(-step) + slack, p);
      const auto at = std::size_t(lower - out.first);
      out.mass[at] += p - up;
      out.mass[at + 1] += up;
    }
    out.of_infinity = detail::normal_between((here - (added ? 0 : 1)) / z_, 2 * reach) + 1e-30;
    return out;
  }

private:
  static constexpr double reach = 12;
  double loss_at(double x) const {
    const double l = (2 * x - 1) / (2 * z_ * z_);
    return q_ == 1 ? l : l > 30 ? l + std::log(q_ + (1 - q_) * std::exp(-l)) : std::log1p(q_ * std::expm1(l));
  }
  /// Where the loss is that; minus infinity below the least.
  double place_of(double loss) const {
    const double most = loss > 30 ? std::log1p(-(1 - q_) * std::exp(-loss)) + loss - std::log(q_)
                                  : std::log1p(std::expm1(loss) / q_);
    return std::isnan(most) ? -std::numeric_limits<double>::infinity() : z_ * z_ * most + .5;
  }

  double q_, z_;
};

} // namespace detail

/// Adds up privacy losses: those of one release on a grid, rounded so that no divergence becomes less, and of all of
/// them by a Fourier transform, in both directions of what a neighbour is. Tighter than renyi_accountant, and never
/// less than what is true: what lies beyond the window of the transform, and what its rounding may come to - some 1e-10
/// of 2,000 releases - count as losses of infinity. A delta below that has an epsilon of infinity: use
/// renyi_accountant there. An epsilon takes a transform of up to 2^22 values, commonly of 2^15, a few milliseconds.
struct privacy_loss_accountant {
  int values_per_deviation = 16; ///< the grid's, of the losses of one release

  std::string wrong() const {
    return values_per_deviation >= 1 ? "" : "values_per_deviation of privacy_loss_accountant is less than 1";
  }
  /// Throws invalid_argument for numbers that cannot be.
  double epsilon(std::span<const noisy_release> all, double delta) const {
    if (std::string why = wrong(); !why.empty()) detail::refuse_accounting("privacy_loss_accountant", std::move(why));
    detail::require_accountable("privacy_loss_accountant", all, delta);
    std::vector<noisy_release> some;
    for (const noisy_release& one : all)
      if (one.times > 0 && one.rate > 0) some.push_back(one);
    if (some.empty()) return 0;
    return (std::max)(direction(some, delta, false), direction(some, delta, true));
  }

private:
  static constexpr std::size_t most_values = std::size_t{1} << 22;
  static constexpr double tail = 1e-15; ///< at most beyond either end of the window

  double direction(const std::vector<noisy_release>& some, double delta, bool added) const {
    double step = .005;
    for (const noisy_release& one : some) {
      const detail::gaussian_losses losses{one};
      if (!is_finite(losses.greatest())) return std::numeric_limits<double>::infinity();
      step = (std::min)(step, losses.deviation() / values_per_deviation);
      step = (std::max)(step, (losses.greatest() - losses.least()) / double(most_values / 64));
    }
    for (;; step *= 2) {
      std::vector<detail::loss_distribution> each;
      for (const noisy_release& one : some) each.push_back(detail::gaussian_losses{one}.on_grid(step, added));
      const auto from = std::int64_t(std::floor(end_of_sum(some, each, step, -1) / step));
      const auto to = std::int64_t(std::ceil(end_of_sum(some, each, step, 1) / step));
      if (double(to) - double(from) < double(most_values)) return composed(some, each, step, from, to, delta);
    }
  }
  /// Beyond which, upwards or downwards, the sum of all losses is at most with the probability `tail`: Chernoff's.
  static double end_of_sum(const std::vector<noisy_release>& some, const std::vector<detail::loss_distribution>& each,
                           double step, int way) {
    const auto utmost = [&](std::size_t k) {
      const double last = double(each[k].first) + double(each[k].mass.size()) - 1;
      return step * (way > 0 ? last : -double(each[k].first));
    };
    double best = 0;
    for (std::size_t k = 0; k < each.size(); ++k) best += double(some[k].times) * utmost(k);
    for (double by = 1.0 / 1024; by <= 4096; by *= 2) {
      double sum = 0; // ln of the mean of e^(by loss)
      for (std::size_t k = 0; k < each.size(); ++k) {
        double mean = 0, at = double(each[k].first);
        for (const double m : each[k].mass) mean += m * std::exp(by * (way * step * at++ - utmost(k)));
        sum += double(some[k].times) * (by * utmost(k) + std::log(mean));
      }
      const double end = (sum - std::log(tail)) / by;
      if (is_finite(end)) best = (std::min)(best, end); // of what vanishes nothing is told
    }
    return way * best;
  }
  static double composed(const std::vector<noisy_release>& some, const std::vector<detail::loss_distribution>& each,
                         double step, std::int64_t from, std::int64_t to, double delta) {
    std::size_t n = std::bit_ceil(std::size_t(to - from) + 1);
    for (const auto& one : each) n = (std::max)(n, std::bit_ceil(one.mass.size()));
    constexpr double ulp = 0x1p-53, least = 1e-14;
    const double off = 4 * (std::log2(double(n)) + 1) * ulp; // of each value that a transform of masses gives
    std::vector<std::complex<double>> product(n, 1.0), x;
    std::vector<double> size(n, 1.0), relative(n); // of the products, and how many times `off` they may be off
    double lost = 2 * tail;
    for (std::size_t k = 0; k < each.size(); ++k) {
      const auto times = double(some[k].times);
      x.assign(n, 0.0);
      for (std::size_t i = 0; i < each[k].mass.size(); ++i)
        x[wrapped(each[k].first + std::int64_t(i), n)] += each[k].mass[i];
      detail::fourier(x, false);
      for (std::size_t i = 0; i < n; ++i) {
        const double here = (std::max)(std::abs(x[i]), least);
        product[i] *= power(x[i], some[k].times);
        size[i] *= std::pow(here, times);
        relative[i] += times / here;
      }
      lost += times * each[k].of_infinity;
    }
    detail::fourier(product, true);
    double squares = 0;
    for (std::size_t i = 0; i < n; ++i) squares += size[i] * relative[i] * size[i] * relative[i];
    lost += off * (std::sqrt(squares) + std::sqrt(double(n))); // the absolute values of what masses may be off by
    for (std::size_t i = 0; i < n; ++i)
      size[i] = (std::max)(0.0, product[wrapped(from + std::int64_t(i), n)].real() / double(n));
    return least_epsilon(size, from, step, lost, delta);
  }
  static std::size_t wrapped(std::int64_t k, std::size_t n) { return std::size_t(k) & (n - 1); }
  static std::complex<double> power(std::complex<double> x, std::int64_t times) {
    std::complex<double> out = 1;
    for (; times > 0; times /= 2, x *= x)
      if (times % 2 == 1) out *= x;
    return out;
  }
  /// The least from 0 on for which delta is enough: the mean of 1 - e^(epsilon - loss) over what is above it.
  static double least_epsilon(const std::vector<double>& mass, std::int64_t from, double step, double lost,
                              double delta) {
    if (!(lost <= delta)) return std::numeric_limits<double>::infinity();
    double above = lost, shrunk = 0; // sum of m, and of m e^(here - loss)
    for (std::size_t i = mass.size(); i-- > 0 && from + std::int64_t(i) > 0;) {
      above += mass[i];
      shrunk = shrunk * std::exp(-step) + mass[i];
      if (above - shrunk * std::exp(-step) > delta)
        return (std::max)(0.0, double(from + std::int64_t(i)) * step + std::log((above - delta) / shrunk));
    }
    return 0;
  }
};

} // namespace tutti
