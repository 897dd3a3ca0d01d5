// diloco: replicas train by themselves, and an outer optimizer follows the mean of what they have learnt.
#pragma once

#include <tutti/optimizers/sgd.hpp>
#include <tutti/sync/sync_policy.hpp>

namespace tutti {

/// Every rank makes `period` steps of the optimizer of bind (AdamW in the paper); then the mean of the
/// differences, agreed before minus trained, is the gradient of a step of `outer` from what was agreed
/// before, and all go on from there. The inner optimizer's state stays each rank's own, and is kept.
/// Douillard et al., "DiLoCo" (arXiv 2311.08105), algorithm 1.
/// Another outer optimizer is a policy of your own: these lines with another member.
/// Cost: one all_reduce of the parameters every `period` steps, nothing in between; a copy of the
/// parameters, and the state of `outer`.
struct diloco {
  using part = sync_part;
  static constexpr contributes contribution = contributes::difference;

  int period = 500;
  sgd outer = {.learning_rate = 0.7, .momentum = 0.9, .nesterov = true};
};

/// The same with the outer step at the owner of each key range: the outer state is 1/size of the above.
struct sharded_diloco {
  using part = sync_part;
  static constexpr contributes contribution = contributes::difference;
  static constexpr bool owners = true;

  int period = 500;
  sgd outer = {.learning_rate = 0.7, .momentum = 0.9, .nesterov = true};
};

/// The model in `fragments` pieces: every `period` steps the next piece in turn is on its way, while training goes
/// on; `delay` steps later the outer step of that piece is made, and of what a rank has learnt meanwhile the share `keep`
/// stays: p = agreed + keep (p - agreed). Each piece is agreed on every fragments * period steps, and the largest burst
/// of bytes is 1 / fragments of diloco's. Douillard et al., "Streaming DiLoCo" (arXiv 2501.18512), where alpha is
/// `keep`. With H steps between two agreements on a piece as in diloco, period = H / fragments.
/// Cost: one all_reduce of a piece every `period` steps, several in flight where delay exceeds period.
struct streaming_diloco {
  using part = sync_part;
  static constexpr contributes contribution = contributes::difference;

  int period = 25;
  int fragments = 4;
  int delay = 5;
  double keep = 0.5;
  sgd outer = {.learning_rate = 0.7, .momentum = 0.9, .nesterov = true};
};

} // namespace tutti
