// Pipelined double binary tree: two trees over the two halves of the data, every rank a leaf of one
// of them, so that all links are busy in both directions (Sanders, Speck, Träff, "Two-tree
// algorithms for full bandwidth broadcast, reduction and scan", 2009); and pipelining as an
// adaptor.
#include "play.hpp"

#include <tutti/topologies/direct.hpp>
#include <tutti/topologies/double_tree.hpp>
#include <tutti/topologies/pipelined.hpp>

#include <boost/test/unit_test.hpp>

BOOST_AUTO_TEST_SUITE(concepts)

namespace {

using tutti::double_tree;
using tutti::detail::in_order_tree;

static_assert(tutti::schedule_topology<double_tree>);
static_assert(tutti::schedule_topology<tutti::pipelined<double_tree>>);

constexpr bool leaf_somewhere(int size) {
  const in_order_tree tree{size};
  for (int r = 0; r < size; ++r) {
    int children = 0, shifted = 0;
    tree.each_child(r, [&](int) { ++children; });
    tree.each_child((r + size - 1) % size, [&](int) { ++shifted; });
    if (children != 0 && shifted != 0) return false;
  }
  return true;
}
static_assert(leaf_somewhere(6) && leaf_somewhere(8), "every rank works in one tree only");

} // namespace

BOOST_AUTO_TEST_CASE(double_tree_reduces_every_half_on_every_rank_alike) {
  for (const int size : {1, 2, 3, 4, 5, 6, 7, 8, 12, 13, 31, 64}) {
    const auto wrong = wrong_all_reduce(play(double_tree{}, tutti::collective::all_reduce, size));
    BOOST_CHECK_MESSAGE(wrong.empty(), size << " ranks: " << wrong);
  }
}

BOOST_AUTO_TEST_CASE(pipelining_adapts_any_schedule) {
  for (const int size : {1, 2, 3, 5, 8, 13}) {
    const tutti::pipelined tree{double_tree{}, 5};
    const tutti::pipelined direct{tutti::direct{}, 3};
    const auto what = tutti::collective::all_reduce;

    BOOST_CHECK_MESSAGE(wrong_all_reduce(play(tree, what, size)).empty(), size << " ranks: tree");
    BOOST_CHECK_MESSAGE(wrong_all_reduce(play(direct, what, size)).empty(), size << ": direct");
    BOOST_CHECK(size == 1 || tutti::rounds_of(tree, what, size) ==
                                 tutti::rounds_of(double_tree{}, what, size) + 4);
  }
}

BOOST_AUTO_TEST_SUITE_END()
