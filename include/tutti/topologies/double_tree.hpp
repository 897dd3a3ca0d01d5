// double_tree: two binary trees over the two halves of the data; all_reduce up and down both.
#pragma once

#include <tutti/topologies/schedule.hpp>

namespace tutti {

namespace detail {

/// A binary tree over 0 .. size-1 in which odd numbers are leaves and 0 is the root with one child.
struct in_order_tree {
  int size;

  constexpr int parent(int v) const noexcept {
    const int low = v & -v;
    const int up = (v ^ low) | (low << 1);
    return up < size ? up : v ^ low;
  }
  constexpr int depth(int v) const noexcept {
    int d = 0;
    for (; v != 0; v = parent(v)) ++d;
    return d;
  }
  constexpr int height() const noexcept {
    int h = 0;
    for (int v = 1; v < size; v += 2) h = depth(v) > h ? depth(v) : h; // leaves are the odd ones
    return h;
  }
  template <class F> constexpr void each_child(int v, F&& f) const {
    for (int step = 1; step < size; step <<= 1)
      for (const int child : {v - step, v + step})
        if (child > 0 && child < size && parent(child) == v) f(child);
  }
};

} // namespace detail

/// Each half of the data is reduced up its tree and published down it. Tree 1 is tree 0 turned
/// round by one rank, so a rank that is inside one is a leaf of the other (rank 0 is inside both
/// when p is odd), and with pipelined{double_tree{}, segments} all links are busy both ways. Cost:
/// 2 h rounds for trees of height h, at most ceil(log2 p) + 1; 4 (p-1) messages of n/2 elements in
/// all; a rank sends at most 3 n/2 where it is inside and n/2 where it is a leaf. Scratch: two
/// messages of n/2. Pipelined it is for middle and large n at large p. (Sanders, Speck, Träff,
/// Two-tree algorithms for full bandwidth broadcast, reduction and scan, 2009.)
struct double_tree {
  using part = topology_part;
  static constexpr bool gathers = false;

  static constexpr bool gives(collective what) noexcept { return what == collective::all_reduce; }
  constexpr int chunks(int) const noexcept { return 2; }
  constexpr int rounds(collective, int size) const noexcept {
    return 2 * detail::in_order_tree{size}.height();
  }

  /// A node of depth d gives to its parent in round h - d, and has the result in round h + d - 1.
  template <class Emit>
  constexpr void schedule(collective, int /*root*/, const layout& where, Emit&& emit) const {
    const detail::in_order_tree tree{where.size};
    const int height = tree.height();
    for (int which = 0; which < 2; ++which) {
      const auto rank_of = [&](int v) { return (v + which) % where.size; };
      const int self = (where.rank + where.size - which) % where.size;
      const int up = height - tree.depth(self), down = height + tree.depth(self);
      tree.each_child(self, [&](int c) {
        emit(transfer{up - 1, rank_of(c), {which}, action::combine});
        emit(transfer{down, rank_of(c), {which}, action::publish});
      });
      if (self == 0) continue;
      emit(transfer{up, rank_of(tree.parent(self)), {which}, action::send});
      emit(transfer{down - 1, rank_of(tree.parent(self)), {which}, action::store});
    }
  }

  constexpr tutti::traffic traffic(collective, int /*root*/, const layout& where,
                                   std::size_t n) const {
    const detail::in_order_tree tree{where.size};
    const partition cut{n, where.size, 2};
    tutti::traffic sum;
    for (int which = 0; where.size > 1 && which < 2; ++which) {
      const int self = (where.rank + where.size - which) % where.size;
      if (self != 0) sum = sum + tutti::traffic::message(cut.length(which));
      tree.each_child(self, [&](int) { sum = sum + tutti::traffic::message(cut.length(which)); });
    }
    return sum;
  }
};

} // namespace tutti
