// The topology of a call that names none: a fixed function of what all ranks know.
#pragma once

#include <tutti/topologies/binomial_tree.hpp>
#include <tutti/topologies/direct.hpp>
#include <tutti/topologies/halving_doubling.hpp>
#include <tutti/topologies/recursive_doubling.hpp>
#include <tutti/topologies/star.hpp>

#include <cstddef>

namespace tutti {

/// Chooses by (collective, ranks, bytes), and by whether every contribution must meet in one place:
///   broadcast, reduce    binomial_tree; star when contributions must meet
///   all others           direct up to 8 ranks, and when contributions must meet or the codec is lossy;
///                        otherwise recursive_doubling for all_reduce up to 4 KiB, and
///                        halving_doubling
struct default_topology {
  using part = topology_part;
};

namespace detail {

inline constexpr int most_direct_ranks = 8;
inline constexpr std::size_t most_doubling_bytes = 4096;

/// Calls use(topology) with the topology itself, or with the one that the default stands for.
template <class Topology, class Use>
decltype(auto) with_topology(const Topology& topology, collective /*what*/, bool /*must_meet*/,
                             int /*size*/, std::size_t /*bytes*/, Use&& use) {
  return use(topology);
}
template <class Use>
decltype(auto) with_topology(const default_topology&, collective what, bool must_meet, int size,
                             std::size_t bytes, Use&& use) {
  if (what == collective::broadcast) return use(binomial_tree{});
  if (what == collective::reduce) return must_meet ? use(star{}) : use(binomial_tree{});
  if (must_meet || size <= most_direct_ranks) return use(direct{});
  if (what == collective::all_reduce && bytes <= most_doubling_bytes)
    return use(recursive_doubling{});
  return use(halving_doubling{});
}

} // namespace detail
} // namespace tutti
