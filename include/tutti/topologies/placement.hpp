// Placements: which rank plays which role, and who owns which key range.
#pragma once

#include <tutti/core/part.hpp>

#include <concepts>

namespace tutti {

/// A topology that names servers. Servers are ranks 0 .. servers(size)-1; they also work unless
/// `dedicates()`. Server s owns the s-th of servers(size) equal key ranges.
template <class T>
concept placement_topology = detail::part_is<T, topology_part> && requires(const T t, int n) {
  { t.server_count(n) } -> std::same_as<int>;
  { t.dedicates() } -> std::same_as<bool>;
};

template <placement_topology T>
constexpr bool is_server(const T& topology, int rank, int size) {
  return rank < topology.server_count(size);
}

template <placement_topology T>
constexpr bool is_worker(const T& topology, int rank, int size) {
  return !topology.dedicates() || rank >= topology.server_count(size);
}

} // namespace tutti
