// The topology of a call that names none: a fixed function of what all ranks know.
#pragma once

#include <tutti/topologies/binomial_tree.hpp>
#include <tutti/topologies/direct.hpp>
#include <tutti/topologies/halving_doubling.hpp>
#include <tutti/topologies/hierarchical.hpp>
#include <tutti/topologies/pipelined.hpp>
#include <tutti/topologies/recursive_doubling.hpp>
#include <tutti/topologies/star.hpp>

#include <bit>
#include <cstddef>
#include <span>

namespace tutti {

namespace detail {

/// Whether there are several nodes of equally many ranks, more than one each, in blocks or in turn, as
/// launchers place them. (Asked in every call; it allocates nothing, for that could fail on one rank.)
inline bool are_even_nodes(std::span<const int> node_of) {
  const auto size = int(node_of.size());
  int each = 0;
  for (const int node : node_of) each += node == 0;
  if (each < 2 || each == size || size % each != 0) return false;
  bool blocks = true, in_turn = true;
  for (int r = 0; r < size; ++r) {
    blocks = blocks && node_of[std::size_t(r)] == r / each;
    in_turn = in_turn && node_of[std::size_t(r)] == r % (size / each);
  }
  return blocks || in_turn;
}

} // namespace detail

/// Chooses by (collective, ranks, nodes, bytes), and by whether every contribution must meet in one
/// place:
///   broadcast            binomial_tree
///   reduce               star up to 8 ranks and when contributions must meet, otherwise binomial_tree
///   all_reduce           on several nodes of equally many ranks, more than one each, from 1 KiB for each
///                        rank on, and where contributions need not meet: hierarchical, in segments
///                        (segments_for). On several nodes, up to 4 KiB, recursive_doubling where the ranks
///                        are a power of two, so that it takes fewest rounds: two on each of two nodes
///                        at 1 Gbit/s take 35 us for 64 bytes, and 84 on direct
///   all others           direct up to 8 ranks, and when contributions must meet or the codec is lossy;
///                        otherwise recursive_doubling for all_reduce up to 4 KiB, and
///                        halving_doubling
struct default_topology {
  using part = topology_part;
  static constexpr bool chooses = true;

  static constexpr int most_direct_ranks = 8;
  static constexpr std::size_t most_doubling_bytes = 4096;
  static constexpr std::size_t least_hierarchical_bytes = 1024; ///< for each rank

  /// Calls use(topology) with the one that it stands for.
  template <collective What, bool MustMeet, class Comm, class Use>
  decltype(auto) choose(const Comm& comm, std::size_t bytes, Use&& use) const {
    const bool few = comm.size() <= most_direct_ranks;
    if constexpr (What == collective::broadcast) {
      return use(binomial_tree{});
    } else if constexpr (What == collective::reduce) {
      if (MustMeet || few) return use(star{});
      if constexpr (!MustMeet) return use(binomial_tree{});
    } else {
      bool far = false; // the ranks are on several nodes
      if constexpr (What == collective::all_reduce && !MustMeet &&
                    requires { std::span<const int>{comm.nodes()}; }) {
        if (bytes >= least_hierarchical_bytes * std::size_t(comm.size()) &&
            detail::are_even_nodes(comm.nodes()))
          return use(pipelined{hierarchical<>{}, segments_for(bytes, comm.size())});
        for (const int node : std::span<const int>{comm.nodes()}) far = far || node != 0;
      }
      if constexpr (What == collective::all_reduce && !MustMeet)
        if (((far && std::has_single_bit(unsigned(comm.size()))) || !few) &&
            bytes <= most_doubling_bytes)
          return use(recursive_doubling{});
      if (MustMeet || few) return use(direct{});
      if constexpr (!MustMeet) return use(halving_doubling{});
    }
  }
};

namespace detail {

/// Whether a part stands for one topology or another, as a call needs it: default_topology, priced.
template <class T>
inline constexpr bool chooses = false;
template <class T>
  requires requires { T::chooses; }
inline constexpr bool chooses<T> = T::chooses;

/// Calls use(topology) with the topology itself, or with the one that is chosen for it.
template <collective What, bool MustMeet, class Topology, class Comm, class Use>
decltype(auto) with_topology(const Topology& topology, const Comm& comm, std::size_t bytes,
                             Use&& use) {
  if constexpr (chooses<Topology>)
    return topology.template choose<What, MustMeet>(comm, bytes, use);
  else
    return use(topology);
}

} // namespace detail
} // namespace tutti
