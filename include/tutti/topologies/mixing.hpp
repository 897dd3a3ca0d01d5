// Mixings: whose parameters are averaged with whose, and with what weights (gossip).
#pragma once

#include <tutti/core/part.hpp>

#include <concepts>
#include <cstdint>

namespace tutti {

/// One term of a rank's next value.
struct neighbour {
  int rank;
  double weight;
};

/// A topology for gossip: emit(neighbour) for every rank whose value enters rank's value in a round,
/// itself included. The weights of a round form a doubly stochastic matrix.
template <class T>
concept mixing_topology =
    detail::part_is<T, topology_part> &&
    requires(const T t, std::int64_t round, int n, void (*emit)(neighbour)) {
      t.mix(round, n, n, emit);
    };

} // namespace tutti
