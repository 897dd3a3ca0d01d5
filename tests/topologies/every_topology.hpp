// All schedule topologies in all the forms that the tests of this folder go through.
#pragma once

#include <tutti/topologies/binomial_tree.hpp>
#include <tutti/topologies/bruck.hpp>
#include <tutti/topologies/direct.hpp>
#include <tutti/topologies/double_tree.hpp>
#include <tutti/topologies/halving_doubling.hpp>
#include <tutti/topologies/hierarchical.hpp>
#include <tutti/topologies/k_nomial_tree.hpp>
#include <tutti/topologies/one_shot.hpp>
#include <tutti/topologies/pat.hpp>
#include <tutti/topologies/pipelined.hpp>
#include <tutti/topologies/recursive_doubling.hpp>
#include <tutti/topologies/ring.hpp>
#include <tutti/topologies/star.hpp>
#include <tutti/topologies/torus.hpp>

#include <initializer_list>

namespace tests {

/// Calls visit(name, topology) for each; every one makes sense for any rank count.
template <class Visit>
constexpr void every_topology(Visit&& visit) {
  visit("ring", tutti::ring{});
  visit("recursive_doubling", tutti::recursive_doubling{});
  visit("halving_doubling", tutti::halving_doubling{});
  visit("binomial_tree", tutti::binomial_tree{});
  visit("direct", tutti::direct{});
  visit("star", tutti::star{});
  visit("star, 3 servers", tutti::star{.servers = 3});
  visit("star, all servers", tutti::star{.servers = 1 << 20});
  visit("one_shot", tutti::one_shot{});
  visit("k_nomial_tree", tutti::k_nomial_tree{});
  visit("k_nomial_tree, 3", tutti::k_nomial_tree{3});
  visit("double_tree", tutti::double_tree{});
  visit("bruck", tutti::bruck{});
  visit("pat", tutti::pat{});
  visit("pat, 3 together", tutti::pat{.aggregated = 3});
  visit("torus", tutti::torus{});
  visit("torus, 3 rows", tutti::torus{.rows = 3});
  visit("hierarchical, nodes of 3", tutti::hierarchical{tutti::ring{}, tutti::recursive_doubling{}, 3});
  visit("hierarchical on three levels",
        tutti::hierarchical{tutti::direct{}, tutti::hierarchical{tutti::bruck{}, tutti::ring{}, 3}, 2});
  visit("pipelined ring", tutti::pipelined{tutti::ring{}, 2});
  visit("pipelined halving_doubling", tutti::pipelined{tutti::halving_doubling{}, 3});
  visit("pipelined binomial_tree", tutti::pipelined{tutti::binomial_tree{}, 4});
  visit("pipelined recursive_doubling", tutti::pipelined{tutti::recursive_doubling{}, 3});
  visit("pipelined double_tree", tutti::pipelined{tutti::double_tree{}, 4});
  visit("pipelined torus", tutti::pipelined{tutti::torus{}, 2});
  visit("pipelined k_nomial_tree", tutti::pipelined{tutti::k_nomial_tree{3}, 3});
}

constexpr bool has_root(tutti::collective what) {
  return what == tutti::collective::broadcast || what == tutti::collective::reduce;
}

/// Calls visit(what, root) for every collective that T carries, with roots 0, 1, p/2 and p-1.
template <class T, class Visit>
constexpr void every_collective(int size, Visit&& visit) {
  for (const auto what : tutti::all_collectives) {
    if (!tutti::carries<T>(what)) continue;
    int last = -1;
    for (const int root : {0, 1, size / 2, size - 1}) {
      if (root <= last || root >= size || (root > 0 && !has_root(what))) continue;
      visit(what, root);
      last = root;
    }
  }
}

} // namespace tests
