// asynchronous: workers push gradients to servers and go on; a parameter server.
#pragma once

#include <tutti/sync/sync_policy.hpp>
#include <tutti/sync/worker_clocks.hpp>

#include <cstdint>
#include <span>

namespace tutti {

/// Every push is applied by the owner of its key range as it arrives; the answer is the range as it then
/// stands. A worker may be at most `staleness` steps ahead of the slowest one: its answer waits until
/// that holds ("stale synchronous parallel", Ho et al., NIPS 2013). 0 keeps workers in step;
/// `unbounded` never waits (Hogwild-style, Recht et al. 2011).
/// The reducer says what a push is worth: with `sum` all of it, with `mean` its n-th part for n workers,
/// so that n pushes weigh as much as one synchronous step.
/// Determinism: none, whatever the bound; results depend on the order of arrival.
struct asynchronous {
  using part = sync_part;
  static constexpr bool owners = true;
  static constexpr carried_by carrier = carried_by::placement;
  static constexpr determinism repeats = determinism::none;

  int staleness = unbounded;
  tutti::on_loss on_loss = tutti::on_loss::error;

  auto closing(std::span<const std::int64_t> clocks) const { return detail::worker_clocks{clocks, staleness}; }
};

} // namespace tutti
