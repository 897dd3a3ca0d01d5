// gossip, push_sum and gradient_tracking: every rank has a replica of its own, and averages it with its neighbours'.
//
// Which neighbours, and by how much, is the graph's business (topologies/graphs.hpp): 
//
//   tutti::strategy{world, tutti::ring_graph{}, tutti::gossip{}}
//
// and one_peer_exponential where none is given. Nobody waits for all ranks' data, only for neighbours'; a few words
// of all ranks go beside it in every step, by which a rank that has no more batches, or a NaN, is known to all.
// finalize() ends with the mean of all replicas on every rank. Optimizer state stays each rank's own.
#pragma once

#include <tutti/sync/sync_policy.hpp>
#include <tutti/topologies/graphs.hpp>

namespace tutti {

/// After each step - or every `period` steps - a rank's parameters become the graph's weighted mean of its own and
/// its neighbours'. Lian et al., "Can decentralized algorithms outperform centralized algorithms?" (NeurIPS 2017), in the
/// order adapt, then combine (Sayed 2014). On complete_graph it is averaging of parameters.
/// Cost: a message of the parameters to each neighbour in the graph, and one from it, in every period.
struct gossip {
  using part = sync_part;
  using default_topology = one_peer_exponential;
  static constexpr contributes contribution = contributes::parameters;
  static constexpr carried_by carrier = carried_by::mixing;
  static constexpr determinism repeats = determinism::run_to_run;

  int period = 1;
};

/// The order of the paper's algorithm 1, D-PSGD: parameters are mixed while the gradient at them is computed, so that
/// messages cost no time where computing takes longer; then x = sum of w_ij x_j, less the rate times the gradient.
struct overlapped_gossip {
  using part = sync_part;
  using default_topology = one_peer_exponential;
  static constexpr contributes contribution = contributes::parameters;
  static constexpr carried_by carrier = carried_by::mixing;
  static constexpr determinism repeats = determinism::run_to_run;
  static constexpr bool offers_first = true;
};

/// On directed graphs whose columns alone add up to one: numerators are mixed, and a weight beside them, and a gradient
/// is taken at the ratio. Plain gossip there ends at a mean that is biased towards those who are heard more.
/// Assran, Loizou, Ballas, Rabbat, "Stochastic gradient push for distributed deep learning" (ICML 2019), algorithm 1.
/// Cost: that of gossip, and one value more a message; two copies of the parameters.
struct push_sum {
  using part = sync_part;
  using default_topology = one_peer_exponential;
  static constexpr contributes contribution = contributes::parameters;
  static constexpr carried_by carrier = carried_by::mixing;
  static constexpr determinism repeats = determinism::run_to_run;
  static constexpr bool ratios = true;
};

/// A rank descends by an estimate of all ranks' mean gradient, which is mixed as the parameters are and moves by
/// what each rank's own gradient has changed: with a constant rate all ranks come to the optimum of the whole, however
/// unlike their data is, where gossip stays a distance away from it. x = W (x - rate y), y = W y + g(x) - g(last x):
/// Nedic, Olshevsky, Shi, "Achieving geometric convergence for distributed optimization over time-varying graphs"
/// (SIAM J. Optim. 2017), with the step before the mixing (Xu et al. 2015).
/// Cost: twice the messages of gossip; two copies of the parameters. Clipping is of the own gradient.
struct gradient_tracking {
  using part = sync_part;
  using default_topology = one_peer_exponential;
  static constexpr contributes contribution = contributes::parameters;
  static constexpr carried_by carrier = carried_by::mixing;
  static constexpr determinism repeats = determinism::run_to_run;
  static constexpr bool tracks = true;
};

} // namespace tutti
