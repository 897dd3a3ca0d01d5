// Proven by the compiler: every topology, every collective, every root, sizes 1 to 8.
#include "every_topology.hpp"

#include <tutti/topologies/proof.hpp>

namespace {

using tutti::collective;

template <class T>
constexpr bool proven(const T& topology, int size) {
  for (const auto what : tutti::all_collectives) {
    if (!tutti::carries<T>(what)) continue;
    const bool has_root = what == collective::broadcast || what == collective::reduce;
    for (int root = 0; root < (has_root ? size : 1); ++root)
      if (!tutti::prove(topology, what, root, size).holds()) return false;
  }
  return true;
}

// One assertion per size: the compilers limit the steps of each evaluation.
#define TUTTI_TEST_PROVE(...)                                                                      \
  static_assert(proven(__VA_ARGS__, 1));                                                           \
  static_assert(proven(__VA_ARGS__, 2));                                                           \
  static_assert(proven(__VA_ARGS__, 3));                                                           \
  static_assert(proven(__VA_ARGS__, 4));                                                           \
  static_assert(proven(__VA_ARGS__, 5));                                                           \
  static_assert(proven(__VA_ARGS__, 6));                                                           \
  static_assert(proven(__VA_ARGS__, 7));                                                           \
  static_assert(proven(__VA_ARGS__, 8))

TUTTI_TEST_PROVE(tutti::ring{});
TUTTI_TEST_PROVE(tutti::recursive_doubling{});
TUTTI_TEST_PROVE(tutti::halving_doubling{});
TUTTI_TEST_PROVE(tutti::binomial_tree{});
TUTTI_TEST_PROVE(tutti::direct{});
TUTTI_TEST_PROVE(tutti::star{});
TUTTI_TEST_PROVE(tutti::star{.servers = 3});
TUTTI_TEST_PROVE(tutti::pipelined{tutti::ring{}, 2});
TUTTI_TEST_PROVE(tutti::pipelined{tutti::binomial_tree{}, 2});
TUTTI_TEST_PROVE(tutti::one_shot{});
TUTTI_TEST_PROVE(tutti::k_nomial_tree{3});
TUTTI_TEST_PROVE(tutti::double_tree{});
TUTTI_TEST_PROVE(tutti::bruck{});
TUTTI_TEST_PROVE(tutti::pat{});
TUTTI_TEST_PROVE(tutti::torus{});
TUTTI_TEST_PROVE(tutti::hierarchical{tutti::direct{}, tutti::ring{}, 2});

// Facts that follow from the proofs.
constexpr auto all_reduce_on_5 = [](const auto& topology) {
  return tutti::prove(topology, collective::all_reduce, 0, 5);
};
static_assert(all_reduce_on_5(tutti::direct{}).gathers);
static_assert(all_reduce_on_5(tutti::star{}).gathers);
static_assert(!all_reduce_on_5(tutti::ring{}).gathers);
static_assert(all_reduce_on_5(tutti::ring{}).pull_safe);
static_assert(all_reduce_on_5(tutti::halving_doubling{}).pull_safe);
static_assert(!all_reduce_on_5(tutti::recursive_doubling{}).pull_safe);

} // namespace
