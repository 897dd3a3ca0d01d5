// Placements: which rank plays which role, and who owns which key range.
#pragma once

#include <tutti/core/part.hpp>

#include <concepts>
#include <cstdint>
#include <string_view>

namespace tutti {

/// What a rank does in a run.
enum class role : std::uint8_t { worker, server, both };

constexpr std::string_view name(role r) noexcept {
  return r == role::worker ? "worker" : r == role::server ? "server" : "both";
}

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
