// A policy of a user's own, for tests: streaming DiLoCo, with numbers as they are wanted.
#pragma once

#include <tutti/optimizers/sgd.hpp>
#include <tutti/sync/sync_policy.hpp>

namespace trial {

/// Replicas train alone; every few steps one fragment of the parameters, in turn, is agreed on, and the agreement
/// is applied a few steps later, while training went on (Douillard et al., arXiv 2501.18512).
struct streaming {
  using part = tutti::sync_part;
  static constexpr tutti::contributes contribution = tutti::contributes::difference;

  int period = 2; ///< a fragment each; all of it in `fragments` times as many steps
  int fragments = 3;
  int delay = 1;     ///< how many steps the communication may take
  double keep = 0.5; ///< alpha of the paper
  tutti::sgd outer = {.learning_rate = 0.7, .momentum = 0.9, .nesterov = true};
};
/// Its outer optimizer's state is at owners.
struct streaming_at_owners : streaming {
  static constexpr bool owners = true;
};

} // namespace trial
