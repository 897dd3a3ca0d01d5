// Learning rates as values: functions of the step that is applied next, counted from 1.
//
//   rate(step) -> double   the same on every rank that is given the same numbers; defined for every step,
//                          also behind the last one. Throws invalid_argument for numbers that cannot work.
//
//   trainer.optimizer().learning_rate = schedule(trainer.steps() - trainer.skipped() + 1);
//
// Steps are those that were applied: one for any number of micro-batches and ranks, none for a step that
// was skipped.
#pragma once

#include <tutti/core/error.hpp>

#include <concepts>
#include <cstdint>
#include <numbers>
#include <string>

#include <cmath>

namespace tutti {

template <class S>
concept learning_rate_schedule = std::copy_constructible<S> && requires(const S s, std::int64_t step) {
  { s(step) } -> std::same_as<double>;
};

namespace detail {

inline void require_schedule(bool holds, const char* what) {
  if (holds) return;
  throw error{{.code = error_code::invalid_argument, .call = "schedule", .detail = what}};
}
/// How far `step` is from `first` to `last`, from 0 to 1.
inline double progress_of(std::int64_t step, std::int64_t first, std::int64_t last) {
  if (step <= first) return 0;
  return step >= last ? 1 : double(step - first) / double(last - first);
}
/// The fraction of the rate in a warm-up: step k of n has k/n of it, and the first step behind it all.
inline double warm_up_factor(std::int64_t step, std::int64_t warm_up) {
  require_schedule(warm_up >= 0, "a warm-up has less than no steps - give 0 for none");
  return step >= warm_up ? 1 : double(step < 1 ? 1 : step) / double(warm_up);
}

/// A warm-up, and then what shape(done) says of the way from its last step, or the first of all, to the end.
template <class Schedule, class Shape>
double falling_rate(const Schedule& s, std::int64_t step, Shape&& shape) {
  require_schedule(s.steps >= 1, "a rate that falls over no steps - give the number of steps of the run");
  if (step < s.warm_up) return s.peak * warm_up_factor(step, s.warm_up);
  return shape(progress_of(step, s.warm_up < 1 ? 1 : s.warm_up, s.steps));
}

} // namespace detail

/// The same rate in every step, reached in `warm_up` equal steps.
struct constant_rate {
  double peak = 1e-3;
  std::int64_t warm_up = 0;

  double operator()(std::int64_t step) const { return peak * detail::warm_up_factor(step, warm_up); }
};

/// Half a cosine from `peak`, in the last step of the warm-up or the first of all, down to `floor` in step
/// `steps`, and `floor` from there on. Loshchilov, Hutter, "SGDR" (ICLR 2017), equation 5, one period.
struct cosine_rate {
  double peak = 1e-3;
  double floor = 0;
  std::int64_t steps = 1000;
  std::int64_t warm_up = 0;

  double operator()(std::int64_t step) const {
    return detail::falling_rate(*this, step, [&](double done) {
      return floor + (peak - floor) * (1 + std::cos(std::numbers::pi * done)) / 2;
    });
  }
};

/// A straight line from `peak` down to `floor`, otherwise like cosine_rate.
struct linear_rate {
  double peak = 1e-3;
  double floor = 0;
  std::int64_t steps = 1000;
  std::int64_t warm_up = 0;

  double operator()(std::int64_t step) const {
    return detail::falling_rate(*this, step, [&](double done) { return peak + (floor - peak) * done; });
  }
};

/// `peak` times `factor` once for every `every` steps that are behind: steps 1 to `every` have the peak.
struct step_rate {
  double peak = 1e-3;
  double factor = 0.1;
  std::int64_t every = 1000;
  std::int64_t warm_up = 0;

  double operator()(std::int64_t step) const {
    detail::require_schedule(every >= 1, "a rate that falls every 0 steps - give at least 1");
    const double falls = double((step < 1 ? 0 : step - 1) / every);
    return peak * detail::warm_up_factor(step, warm_up) * std::pow(factor, falls);
  }
};

} // namespace tutti
