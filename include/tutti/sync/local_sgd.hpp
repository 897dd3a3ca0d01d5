// local_sgd: replicas train by themselves, and average their parameters from time to time.
#pragma once

#include <tutti/sync/sync_policy.hpp>

namespace tutti {

/// Every rank makes `period` steps with its own gradients; then all take the mean of their parameters.
/// Optimizer state stays each rank's own. Between two agreements replicas differ.
/// Stich, "Local SGD converges fast and communicates little" (ICLR 2019), algorithm 1.
/// Cost: one all_reduce of the parameters every `period` steps, nothing in between.
struct local_sgd {
  using part = sync_part;
  static constexpr contributes contribution = contributes::parameters;

  int period = 16;
};

} // namespace tutti
