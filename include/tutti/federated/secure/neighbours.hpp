// Which clients share masks and secrets with which: as many neighbours each, on a graph that is drawn.
#pragma once

#include <tutti/core/random.hpp>
#include <tutti/sync/sampling.hpp>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

namespace tutti::secure {

/// SecAgg+ (Bell et al. 2020, CCS, algorithm 1): clients stand in a circle in an order drawn by (seed, round), each
/// beside degree/2 on either side; with degree 0, or as many as there are others, all are neighbours (Bonawitz 2017).
/// The same for whoever draws it. O(clients x degree) memory.
class neighbour_graph {
public:
  /// `degree` is even, or there are no more than degree + 1 clients.
  neighbour_graph(int clients, int degree, std::uint64_t seed, std::uint32_t round)
      : clients_{clients}, degree_{degree == 0 || degree >= clients ? (std::max)(clients - 1, 0) : degree} {
    const std::vector<int> circle = tutti::draw_cohort(clients, clients, seed ^ own_draws, round);
    std::vector<std::vector<int>> of(static_cast<std::size_t>(clients));
    for (int place = 0; place < clients; ++place)
      for (int k = 1; k <= degree_; ++k) { // all others, or half of them before and half behind
        const int ahead = degree_ == clients_ - 1 || k <= degree_ / 2 ? k : clients_ - (k - degree_ / 2);
        of[std::size_t(circle[std::size_t(place)])].push_back(circle[std::size_t((place + ahead) % clients)]);
      }
    for (std::vector<int>& one : of) {
      std::sort(one.begin(), one.end());
      neighbours_.insert(neighbours_.end(), one.begin(), one.end());
    }
  }

  int clients() const noexcept { return clients_; }
  /// Neighbours of each.
  int degree() const noexcept { return degree_; }
  /// Ascending, and mutual.
  std::span<const int> of(int client) const {
    return std::span{neighbours_}.subspan(std::size_t(client) * std::size_t(degree_), std::size_t(degree_));
  }
  bool neighbours(int a, int b) const {
    const std::span<const int> all = of(a);
    return std::binary_search(all.begin(), all.end(), b);
  }

private:
  static constexpr std::uint64_t own_draws = 0x6e65696768626f72; // a cohort is drawn by the same seed and round

  int clients_;
  int degree_;
  std::vector<int> neighbours_; ///< of client 0, of client 1, ...
};

} // namespace tutti::secure
