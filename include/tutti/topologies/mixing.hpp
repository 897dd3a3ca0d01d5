// Mixings: whose values are averaged with whose, and by how much (gossip).
//
// A mixing is a schedule of one round with weights. In round t rank i's next value is the sum of w_ij x_j over
// the ranks that it hears of, itself among them; one definition for all graphs, so that rows and columns
// cannot be confused: share{from j, to i, w_ij}. It is visited for one rank,
//
//   mix(round, rank, size, emit)   emit(share) for every share that touches the rank: what it hears, what
//                                  others hear of it, and what it keeps of its own, share{rank, rank, w}
//   cycle(size)                    optional: after how many rounds it begins again; 0 for never. What says nothing
//                                  is the same in every round
//
// and both ranks of a share see the same weight. Law: weights are positive, and those of what a rank hears
// add up to one (the rows), or those of what is heard of it do (the columns). gossip needs both, push_sum
// the columns. Over a cycle every rank hears of every other, directly or through others.
// topologies/mixing_proof.hpp checks all that; bind does, before anything is trained.
//
// topologies/graphs.hpp has those of the field.
#pragma once

#include <tutti/core/part.hpp>

#include <concepts>
#include <cstdint>

namespace tutti {

/// How much of `from`'s value goes into `to`'s next one.
struct share {
  int from, to;
  double weight;
};

template <class T>
concept mixing_topology =
    detail::part_is<T, topology_part> &&
    requires(const T t, std::int64_t round, int n, void (*emit)(share)) {
      t.mix(round, n, n, emit);
    };

/// After how many rounds a mixing of `size` ranks begins again; 0 for never.
template <mixing_topology T>
constexpr std::int64_t cycle_of(const T& graph, int size) {
  if constexpr (requires { { graph.cycle(size) } -> std::convertible_to<std::int64_t>; })
    return graph.cycle(size);
  else
    return 1;
}

} // namespace tutti
