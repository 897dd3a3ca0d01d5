// The option bag: what may be said about one call or a whole strategy without changing its meaning.
#pragma once

#include <tutti/core/part.hpp>

#include <chrono>
#include <cstddef>
#include <cstdint>

namespace tutti {

/// Of a reduced gradient, a push to servers, the mean of a federated round. error: every rank throws
/// error_code::non_finite naming step, tensor and rank (or round and client). skip: no rank applies
/// this step. pass: the values are applied as they are.
enum class non_finite : std::uint8_t { error, skip, pass };

using clock = std::chrono::steady_clock;
using deadline = clock::time_point;

/// Given last, to a collective or to a strategy: `tutti::options{.timeout = 5min}`.
struct options {
  using part = options_part;

  /// The longest that any single call waits for its peers before it throws `error_code::timeout`.
  std::chrono::milliseconds timeout = std::chrono::minutes{5};

  /// What this rank's contribution counts for, for reducers that weigh (`weighted_mean`).
  double weight = 1.0;

  /// Gradients travel in buckets of about this many bytes, last tensors first, so that communication
  /// overlaps the backward pass. The same on all ranks.
  std::size_t bucket_bytes = std::size_t{4} << 20;

  /// What training does about a NaN or infinity. The same on all ranks.
  tutti::non_finite non_finite = tutti::non_finite::error;

  /// The time by which a call that begins now is to be over; never, from a century on: clocks end.
  deadline until() const {
    constexpr std::chrono::milliseconds a_century = std::chrono::hours{24 * 36525};
    return timeout < a_century ? clock::now() + timeout : (deadline::max)();
  }
};

} // namespace tutti
