// The option bag: what may be said about one call or a whole strategy without changing its meaning.
#pragma once

#include <tutti/core/part.hpp>

#include <chrono>

namespace tutti {

using clock = std::chrono::steady_clock;
using deadline = clock::time_point;

/// Given last, to a collective or to a strategy: `tutti::options{.timeout = 5min}`. What is said about
/// training is in training/options.hpp.
struct options {
  using part = options_part;

  /// The longest that any single call waits for its peers before it throws `error_code::timeout`.
  std::chrono::milliseconds timeout = std::chrono::minutes{5};

  /// What this rank's contribution counts for, for reducers that weigh (`weighted_mean`).
  double weight = 1.0;

  /// The time by which a call that begins at `now` is to be over; never, from a century on: clocks end.
  deadline until(deadline now) const {
    constexpr std::chrono::milliseconds a_century = std::chrono::hours{24 * 36525};
    return timeout < a_century ? now + timeout : (deadline::max)();
  }
};

} // namespace tutti
