// The accountant of Rényi differential privacy.
#pragma once

#include <tutti/federated/accountants/release.hpp>

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <limits>
#include <span>
#include <string>
#include <utility>
#include <vector>

namespace tutti {

/// 1.1, 1.2, ..., 10.9, and all whole numbers from 2 to 256.
inline std::vector<double> usual_orders() {
  std::vector<double> all;
  for (int tenths = 11; tenths < 110; ++tenths)
    if (tenths % 10 != 0) all.push_back(tenths / 10.0);
  for (int a = 2; a <= 256; ++a) all.push_back(a);
  return all;
}

namespace detail {

/// log of a sum of numbers that are given by their logarithms.
inline double log_of_sum(std::span<const double> logs) {
  double greatest = -std::numeric_limits<double>::infinity(), sum = 0;
  for (const double l : logs) greatest = (std::max)(greatest, l);
  if (!is_finite(greatest)) return greatest;
  for (const double l : logs)
    if (l > greatest - 40) sum += std::exp(l - greatest);
  return greatest + std::log(sum);
}
/// log(e^x - 1) of x > 0.
inline double log_expm1(double x) { return x > 40 ? x : std::log(std::expm1(x)); }
/// log(1 + e^x).
inline double log_1p_exp(double x) { return x > 40 ? x : std::log1p(std::exp(x)); }

/// Of one noisy sum and several orders. With r(x) the ratio of the densities of (1 - q) N(0, z^2) + q N(1, z^2) and
/// N(0, z^2), and A the mean of r^a over the latter, the divergence of order a is ln A / (a - 1). What is added up is
/// A - 1, of parts that are all positive, so that small divergences have all their digits.
class sampled_gaussian {
public:
  sampled_gaussian(double rate, double multiplier) : q_{rate}, z_{multiplier} {}

  /// For each order, more than 1. The other direction's is never more (Mironov, Talwar, Zhang 2019, arXiv 1908.10530,
  /// theorem 5).
  std::vector<double> divergences(std::span<const double> orders) {
    std::vector<double> all;
    for (const double a : orders)
      if (a != std::floor(a)) most_ = (std::max)(most_, a);
    for (const double a : orders) all.push_back(divergence(a));
    return all;
  }

private:
  double divergence(double a) {
    if (q_ == 0) return 0;
    if (q_ == 1) return a / (2 * z_ * z_);
    if (a == std::floor(a)) return log_mean(int(a)) / (a - 1);
    if (z_ >= .1) return detail::log_1p_exp(fractional(a)) / (a - 1);
    const double below = std::floor(a), part = a - below; // ln A is convex in a, and 0 at 1
    return ((1 - part) * log_mean(int(below)) + part * log_mean(int(below) + 1)) / (a - 1);
  }
  /// ln A.
  double log_mean(int a) { return a == 1 ? 0 : detail::log_1p_exp(whole(a)); }

  /// Equation 6 there: sum over i of binomial(a, i) q^i (1 - q)^(a - i) exp((i^2 - i) / (2 z^2)), of which the
  /// binomials alone add up to 1.
  double whole(int a) {
    const double in = std::log(q_), out = std::log1p(-q_), scale = 1 / (2 * z_ * z_);
    for (int i = int(factorials_.size()); i <= a; ++i) {
      factorials_.push_back(i == 0 ? 0 : factorials_.back() + std::log(i));
      const double grown = i < 2 ? 0 : detail::log_expm1(double(i) * (i - 1) * scale);
      parts_.push_back(i * (in - out) + grown - factorials_.back());
    }
    logs_.clear();
    for (int i = 2; i <= a; ++i) logs_.push_back(parts_[std::size_t(i)] - factorials_[std::size_t(a - i)]);
    return factorials_[std::size_t(a)] + a * out + detail::log_of_sum(logs_);
  }

  /// The mean of r^a - 1 - a (r - 1), by the trapezoidal rule: the integrand is analytic up to i pi z^2 off the axis
  /// and falls as a normal density, so the rule is exact but for less than 1e-14 of it. Of noise below .1, where it
  /// would take many nodes, there is an upper bound instead.
  double fractional(double a) {
    if (nodes_.empty()) place_nodes();
    if (a * nodes_.back().log_ratio < 600) {
      double sum = 0;
      for (const node& at : nodes_) sum += at.weight * excess(a, at);
      return std::log(sum);
    }
    logs_.clear();
    for (const node& at : nodes_) logs_.push_back(at.log_weight + log_excess(a, at));
    return detail::log_of_sum(logs_);
  }
  struct node {
    double log_weight, weight, log_ratio, ratio_less_1;
  };
  void place_nodes() {
    const double step = z_ * (std::min)(.5, .5 * z_), norm = std::log(step / (z_ * std::sqrt(2 * pi)));
    const double end = (most_ + 10 * z_ + 1) / step; // where r is e^(a x / z^2), the integrand is highest at x = a
    for (double k = -std::ceil((10 * z_ + 1) / step); k <= end; ++k) {
      const double x = k * step, l = (2 * x - 1) / (2 * z_ * z_), log_weight = norm - x * x / (2 * z_ * z_);
      const double u = l > 30 ? l + std::log(q_ + (1 - q_) * std::exp(-l)) : std::log1p(q_ * std::expm1(l));
      nodes_.push_back({log_weight, std::exp(log_weight), u, std::expm1(u)});
    }
  }
  /// r^a - 1 - a (r - 1).
  static double excess(double a, const node& at) {
    const double u = at.log_ratio;
    if (std::abs(a * u) < 1e-5) return a * (a - 1) / 2 * u * u * (1 + (a + 1) * u / 3);
    return std::expm1(a * u) - a * at.ratio_less_1;
  }
  static double log_excess(double a, const node& at) {
    const double u = at.log_ratio;
    return a * u > 40 ? a * u + std::log1p(-a * std::exp(u - a * u)) : std::log(excess(a, at));
  }

  static constexpr double pi = 3.14159265358979323846;
  double q_, z_;
  double most_ = 1; ///< of the orders that are no whole numbers
  std::vector<double> factorials_; ///< their logarithms
  std::vector<double> parts_;      ///< of the i-th term, what is the same for all orders
  std::vector<double> logs_;
  std::vector<node> nodes_;
};

} // namespace detail

/// What a bound by Rényi divergences comes to.
struct renyi_bound {
  double epsilon = 0;
  double order = 0; ///< that gives it
  bool at_the_end = false; ///< that order is the least or the greatest there is: others might give less
};

/// Adds up Rényi divergences (Mironov 2017, arXiv 1702.07476) of every order, and converts once: epsilon is the least
/// over orders a of the sum + ln(1 - 1/a) - (ln delta + ln a) / (a - 1) (Canonne, Kamath, Steinke 2020,
/// arXiv 2004.00010, proposition 12). Releases may differ from each other. Never less than what is true. An epsilon of
/// the usual 345 orders takes less than a millisecond a kind of release.
struct renyi_accountant {
  std::vector<double> orders = usual_orders();

  std::string wrong() const {
    if (orders.empty()) return "a renyi_accountant has no orders - leave them out for the usual ones";
    for (const double a : orders)
      if (!(a > 1 && a <= 4096)) return "an order of renyi_accountant is not more than 1 and at most 4096";
    return {};
  }
  /// Of one release, for each order.
  std::vector<double> divergences(double rate, double multiplier) const {
    require("renyi_accountant::divergences", {}, .5);
    const noisy_release one{rate, multiplier, 1};
    detail::require_accountable("renyi_accountant::divergences", {&one, 1}, .5);
    return detail::sampled_gaussian{rate, multiplier}.divergences(orders);
  }
  double epsilon(std::span<const noisy_release> all, double delta) const { return bound(all, delta).epsilon; }
  /// The same, and by which order. Throws invalid_argument for numbers that cannot be.
  renyi_bound bound(std::span<const noisy_release> all, double delta) const {
    require("renyi_accountant", all, delta);
    std::vector<double> sum(orders.size());
    bool any = false;
    for (const noisy_release& one : all) {
      if (one.times == 0 || one.rate == 0) continue;
      any = true;
      const std::vector<double> each = detail::sampled_gaussian{one.rate, one.multiplier}.divergences(orders);
      for (std::size_t k = 0; k < sum.size(); ++k) sum[k] += double(one.times) * each[k];
    }
    return any ? converted(sum, delta) : renyi_bound{};
  }

private:
  void require(const char* call, std::span<const noisy_release> all, double delta) const {
    if (std::string why = wrong(); !why.empty()) detail::refuse_accounting(call, std::move(why));
    detail::require_accountable(call, all, delta);
  }
  renyi_bound converted(const std::vector<double>& sum, double delta) const {
    renyi_bound best{std::numeric_limits<double>::infinity()};
    for (std::size_t k = 0; k < sum.size(); ++k) {
      const double a = orders[k];
      const double e = sum[k] + std::log1p(-1 / a) - (std::log(delta) + std::log(a)) / (a - 1);
      if (e < best.epsilon) best = {(std::max)(e, 0.0), a, false};
    }
    const auto [least, most] = std::minmax_element(orders.begin(), orders.end());
    best.at_the_end = best.order == *least || best.order == *most;
    return best;
  }
};

} // namespace tutti
