// no_loco: diloco without an all_reduce; replicas meet in pairs.
#pragma once

#include <tutti/optimizers/sgd.hpp>
#include <tutti/sync/sync_policy.hpp>
#include <tutti/topologies/graphs.hpp>

namespace tutti {

/// Every `period` steps a rank meets another, drawn anew each time. The mean of both differences, agreed before minus
/// trained, and `pull` times the distance of its own agreed parameters from the mean of both, are the gradient of a step of `outer`
/// from its own agreed parameters; it goes on from there. (Kolehmainen et al., "NoLoCo", arXiv 2506.10911, the modified
/// Nesterov step: alpha is `outer.momentum`, beta its learning rate, and gamma the learning rate times `pull`.)
/// Cost: two messages of the parameters to one rank every `period` steps; two copies of the parameters and the
/// state of `outer`. Works on other graphs as well.
struct no_loco {
  using part = sync_part;
  using default_topology = random_pairs;
  static constexpr contributes contribution = contributes::difference;
  static constexpr carried_by carrier = carried_by::mixing;
  static constexpr determinism repeats = determinism::run_to_run;

  int period = 50;
  sgd outer = {.learning_rate = 0.7, .momentum = 0.5};
  double pull = 1;
};

} // namespace tutti
