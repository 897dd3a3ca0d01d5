// synchronous and sharded: all ranks agree on one gradient in every step.
#pragma once

#include <tutti/sync/sync_policy.hpp>

namespace tutti {

/// Data parallelism: after every step the gradients of all ranks are reduced, and every replica applies
/// the same update. Parameters stay bitwise equal on all ranks.
struct synchronous {
  using part = sync_part;
};

/// The same with the optimizer at the owner of the key range: gradients are reduce-scattered, each rank
/// updates its shard, parameters are all-gathered. Optimizer state is 1/size of that of `synchronous`.
/// Rajbhandari et al., "ZeRO" (SC 2020), stage 1.
struct sharded {
  using part = sync_part;
  static constexpr bool owners = true;
};

} // namespace tutti
