// Topologies made of topologies that do not fit.
#include <tutti/topologies/binomial_tree.hpp>
#include <tutti/topologies/bruck.hpp>
#include <tutti/topologies/halving_doubling.hpp>
#include <tutti/topologies/hierarchical.hpp>
#include <tutti/topologies/pipelined.hpp>
#include <tutti/topologies/star.hpp>

// REJECT tree_within_nodes: tutti::hierarchical: within a node .* use tutti::direct, tutti::ring
// REJECT handing_back: tutti::hierarchical: the inner topology hands results round .* use tutti::direct
// REJECT no_all_reduce_between: tutti::hierarchical: between nodes an all_reduce is needed
// REJECT pipelined_star: tutti::pipelined: a star has one round each way, .* pipeline tutti::ring
namespace {

/// Gives one collective only.
struct scattering : tutti::bruck {
  static constexpr bool gives(tutti::collective what) noexcept {
    return what == tutti::collective::reduce_scatter;
  }
};

} // namespace

#if defined REJECT_tree_within_nodes
constexpr auto rejected = tutti::hierarchical{tutti::binomial_tree{}, tutti::ring{}};
#elif defined REJECT_handing_back
constexpr auto rejected = tutti::hierarchical{tutti::halving_doubling{}, tutti::ring{}};
#elif defined REJECT_no_all_reduce_between
constexpr auto rejected = tutti::hierarchical{tutti::direct{}, scattering{}};
#elif defined REJECT_pipelined_star
constexpr auto rejected = tutti::pipelined{tutti::star{}};
#else
constexpr auto nested = tutti::hierarchical{tutti::bruck{}, tutti::halving_doubling{}};
constexpr auto in_turn = tutti::pipelined{tutti::hierarchical{tutti::direct{}, tutti::binomial_tree{}}};
#endif
