// quorum: a parameter server that waits for so many workers, and a little longer.
#pragma once

#include <tutti/sync/step_quorum.hpp>
#include <tutti/sync/sync_policy.hpp>

#include <chrono>
#include <cstdint>
#include <span>
#include <string>

namespace tutti {

/// A step closes when every worker's gradient is there, or at least `min` of them and `grace` has passed since the
/// first; it is their mean, weighted by what step(gradients, weight) says (the number of examples), in rank order. The
/// others' are dropped when they come, counted by trainer::dropped(), and answered at once with the newest parameters.
/// So rounds of federated learning close (Bonawitz et al., "Towards federated learning at scale", MLSys 2019). With
/// several servers each closes its key range by itself; a checkpoint knows of a worker that it was late, not where, so
/// after a load it is late at all of them. Weights of one step are within 2^60 of each other.
/// Cost: of a worker's step that of `asynchronous`; a server holds a key range a worker.
/// Determinism: none; who is in time depends on the order of arrival.
struct quorum {
  using part = sync_part;
  static constexpr bool owners = true;
  static constexpr carried_by carrier = carried_by::placement;
  static constexpr determinism repeats = determinism::none;
  static constexpr bool together = true;
  static constexpr bool weighs = true;

  int min = 1;
  std::chrono::milliseconds grace{0};
  tutti::on_loss on_loss = tutti::on_loss::error;

  auto closing(std::span<const std::int64_t> clocks) const { return detail::step_quorum{clocks, min, grace}; }
  std::string wrong(int workers) const {
    if (min < 1 || min > workers)
      return "the quorum of the sync policy is " + std::to_string(min) + " of " + std::to_string(workers) +
             " workers - give at least 1, and no more than there are";
    if (grace.count() < 0)
      return "the grace of the sync policy is " + std::to_string(grace.count()) + " ms - give at least 0";
    return {};
  }
};

} // namespace tutti
