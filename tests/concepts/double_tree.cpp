// Pipelined double binary tree: two trees over the two halves of the data, every rank a leaf of one
// of them, so that all links are busy in both directions (Sanders, Speck, Träff, "Two-tree
// algorithms for full bandwidth broadcast, reduction and scan", 2009); and pipelining as an
// adaptor.
#include "play.hpp"

#include <tutti/topologies/direct.hpp>
#include <tutti/topologies/pipelined.hpp>

#include <boost/test/unit_test.hpp>

BOOST_AUTO_TEST_SUITE(concepts)

namespace {

/// A binary tree over 0..size-1 in which odd numbers are leaves and 0 is the root with one child.
struct in_order_tree {
  int size;

  constexpr int parent(int v) const {
    const int low = v & -v;
    const int up = (v ^ low) | (low << 1);
    return up < size ? up : v ^ low;
  }
  constexpr int depth(int v) const {
    int d = 0;
    for (; v != 0; v = parent(v)) ++d;
    return d;
  }
  constexpr int height() const {
    int h = 0;
    for (int v = 1; v < size; ++v) h = depth(v) > h ? depth(v) : h;
    return h;
  }
  template <class F>
  constexpr void each_child(int v, F f) const {
    for (int step = 1; step < size; step <<= 1)
      for (const int child : {v - step, v + step})
        if (child > 0 && child < size && parent(child) == v) f(child);
  }
};

struct double_tree {
  using part = tutti::topology_part;
  static constexpr bool gathers = false;

  static constexpr bool gives(tutti::collective what) noexcept {
    return what == tutti::collective::all_reduce;
  }
  constexpr int chunks(int /*size*/) const { return 2; }
  constexpr int rounds(tutti::collective, int size) const {
    return 2 * in_order_tree{size}.height();
  }

  /// Up the trees: a node of depth d gives to its parent in round height - d. Down: it gets the
  /// result in round height + d - 1. Tree 1 is tree 0 turned round by one rank.
  template <class Emit>
  constexpr void schedule(tutti::collective, int, const tutti::layout& where, Emit&& emit) const {
    using tutti::action, tutti::transfer;
    const in_order_tree tree{where.size};
    const int height = tree.height();
    for (int which = 0; which < 2; ++which) {
      const auto rank_of = [&](int v) { return (v + which) % where.size; };
      const int self = (where.rank + where.size - which) % where.size;
      const int up = height - tree.depth(self), down = height + tree.depth(self);
      tree.each_child(self, [&](int c) {
        emit(transfer{up - 1, rank_of(c), {which}, action::combine});
      });
      if (self != 0) {
        emit(transfer{up, rank_of(tree.parent(self)), {which}, action::send});
        emit(transfer{down - 1, rank_of(tree.parent(self)), {which}, action::store});
      }
      tree.each_child(self, [&](int c) {
        emit(transfer{down, rank_of(c), {which}, action::publish});
      });
    }
  }
};

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
