// pairwise_averaging: replicas that average in pairs, and wait for nobody.
#pragma once

#include <tutti/sync/sync_policy.hpp>
#include <tutti/topologies/graphs.hpp>

#include <cstdint>

namespace tutti {

/// After each of its own steps a rank averages its replica with one neighbour's, drawn anew, while it computes its next
/// gradient; the neighbour goes on with its own steps meanwhile. So a slow rank is averaged with seldom, and holds
/// up nobody but for the time of a message. (Lian, Zhang, Zhang, Liu, "Asynchronous decentralized parallel SGD", ICML
/// 2018, algorithm 1; a meeting moves each side by half of the difference of what both had, so that gradients that
/// are applied meanwhile stay whole.) finalize() ends with the mean of all replicas.
/// A rank answers while it is in a call on the communicator: call ready() between layers, or let a progress thread run.
/// With on_loss::go_on training goes on without a rank that is lost: nobody asks it any more, and who has no other
/// neighbour goes on alone. finalize() ends with the mean of the replicas that are left, taken by the lowest rank of
/// them; if that one is lost meanwhile, it throws `peer_lost`, and each keeps its own. There nobody is waited for longer
/// than options::timeout without a word, so let that be more than ranks are apart at the end.
/// Determinism: none; results depend on the order of arrival.
struct pairwise_averaging {
  using part = sync_part;
  using default_topology = complete_graph;
  static constexpr carried_by carrier = carried_by::pairs;
  static constexpr determinism repeats = determinism::none;

  std::uint64_t seed = 0; ///< of whom a rank asks
  tutti::on_loss on_loss = tutti::on_loss::error;
};

} // namespace tutti
