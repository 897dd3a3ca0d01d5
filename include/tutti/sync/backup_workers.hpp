// backup_workers: a parameter server that waits for all workers but the slowest few.
#pragma once

#include <tutti/sync/step_quorum.hpp>
#include <tutti/sync/sync_policy.hpp>

#include <algorithm>
#include <cstdint>
#include <span>
#include <string>

namespace tutti {

/// Of n workers the n - spare fastest make a step; it closes when their gradients are there, and is reduced in rank
/// order. The others' are dropped when they come, counted by trainer::dropped(), and answered at once with the newest
/// parameters: all go on from the same ones, and no step is made from old ones. Pan, Chen, Monga, Bengio, Jozefowicz,
/// "Revisiting distributed synchronous SGD" (arXiv 1702.05800). With several servers each closes its key range by
/// itself. spare = 0 has the bits of `synchronous` over a star.
/// Cost: of a worker's step that of `asynchronous`; a server holds a key range a worker.
/// Determinism: none; who is fastest depends on the order of arrival.
struct backup_workers {
  using part = sync_part;
  static constexpr bool owners = true;
  static constexpr carried_by carrier = carried_by::placement;
  static constexpr determinism repeats = determinism::none;
  static constexpr bool together = true;

  int spare = 1;
  tutti::on_loss on_loss = tutti::on_loss::error;

  auto closing(std::span<const std::int64_t> clocks) const {
    const auto idle = int(std::count(clocks.begin(), clocks.end(), no_worker));
    return detail::step_quorum{clocks, int(clocks.size()) - idle - spare, {}};
  }
  std::string wrong(int workers) const {
    if (spare >= 0 && spare < workers) return {};
    return "the sync policy has " + std::to_string(spare) + " spare workers of " + std::to_string(workers) +
           " - give at least 0, and fewer than there are";
  }
};

} // namespace tutti
