// hierarchical: reduce within every node, exchange between nodes, spread within every node again.
#pragma once

#include <tutti/topologies/direct.hpp>
#include <tutti/topologies/ring.hpp>
#include <tutti/topologies/schedule.hpp>

#include <algorithm>
#include <numeric>

namespace tutti {

namespace detail {

/// Whether no rank of a few publishes in reduce_scatter: its sums may then be summed further.
template <schedule_topology T> constexpr bool only_folds() {
  bool folds = true;
  if constexpr (T::gives(collective::reduce_scatter))
    for (const int size : {2, 3, 5, 6})
      for (int rank = 0; rank < size; ++rank)
        T{}.schedule(collective::reduce_scatter, 0, layout{rank, size}, [&](const transfer& t) {
          folds = folds && (t.act == action::send || t.act == action::combine);
        });
  return folds;
}

} // namespace detail

/// all_reduce on two levels, each with a schedule of its own. `inner` reduce-scatters among the
/// ranks of each node; the ranks that then hold the same part of the data, one of every node,
/// all-reduce it by `outer`; `inner` all-gathers. So between nodes travels only what `outer` needs
/// for 1/g of the data from each of the g ranks of a node, on g paths at once. Nodes may have
/// different numbers of ranks: then a rank is on several such paths. For more levels let `outer` be
/// hierarchical itself, with `group` set.
///
/// Cost: the rounds of inner's reduce_scatter and all_gather on the largest node and of outer's
/// all_reduce on as many ranks as there are nodes. A rank sends 2 n (g-1)/g elements within its
/// node and what outer sends for n / g elements; over the link of a node go n (2 (k-1)/k) elements
/// each way with outer a ring over k nodes, n for two. Scratch: that of inner and outer for their
/// messages.
template <schedule_topology Inner = direct, schedule_topology Outer = ring> struct hierarchical {
  static_assert(
      Inner::gives(collective::reduce_scatter) && Inner::gives(collective::all_gather),
      "tutti::hierarchical: within a node the data is reduce-scattered and all-gathered, and "
      "the inner topology gives no such schedules - use tutti::direct, tutti::ring, "
      "tutti::torus or tutti::bruck");
  static_assert(detail::only_folds<Inner>(),
                "tutti::hierarchical: the inner topology hands results round while it "
                "reduce-scatters, and within a node there are none yet - use tutti::direct, "
                "tutti::ring, tutti::torus or tutti::bruck");
  static_assert(
      carries<Outer>(collective::all_reduce),
      "tutti::hierarchical: between nodes an all_reduce is needed, and the outer topology "
      "carries none - use tutti::ring, tutti::direct or tutti::recursive_doubling");

  using part = topology_part;
  using compared_as = hierarchical;
  static constexpr bool gathers = false;

  Inner inner = {};
  Outer outer = {};
  int group = 0; ///< ranks 0 .. group-1 are a node, and so on; 0: as the communicator says

  friend constexpr bool operator==(const hierarchical& a, const hierarchical& b)
    requires comparable_topology<Inner> && comparable_topology<Outer>
  {
    return a.group == b.group && detail::same_topology(a.inner, b.inner) &&
           detail::same_topology(a.outer, b.outer);
  }

  static constexpr bool gives(collective what) noexcept { return what == collective::all_reduce; }

  constexpr int chunks(const layout& where) const {
    const nodes of{where, group};
    return chunks_in(of, paths(of));
  }
  constexpr int rounds(collective, const layout& where) const {
    const nodes of{where, group};
    return longest(of, collective::reduce_scatter) + between(of) +
           longest(of, collective::all_gather);
  }

  template <class Emit>
  constexpr void schedule(collective, int /*root*/, const layout& where, Emit&& emit) const {
    const nodes of{where, group};
    const int own = of.node(where.rank), size = of.size(own), index = of.index(where.rank);
    const int down = longest(of, collective::reduce_scatter), across = between(of);
    const auto within = [&](collective what, int round) {
      const layout here{index, size};
      const int each = chunks(where) / tutti::chunks_of(inner, here);
      inner.schedule(what, 0, here, [&](const transfer& t) {
        widened(t, round + t.round, of.member(own, t.peer), tutti::chunks_of(inner, here), 0, each,
                emit);
      });
    };
    within(collective::reduce_scatter, 0);
    for_each_path(of, index, size, [&](int first, int each, int path, int all_paths) {
      const layout here{own, of.count()};
      tutti::visit(outer, collective::all_reduce, 0, here, [&](const transfer& t) {
        const int peer = of.member(t.peer, path * of.size(t.peer) / all_paths);
        widened(t, down + t.round, peer, tutti::chunks_of(outer, here), first, each, emit);
      });
    });
    within(collective::all_gather, down + across);
  }

  /// Summed over the schedule: with nodes of different sizes there is no closed form.
  constexpr tutti::traffic traffic(collective what, int root, const layout& where,
                                   std::size_t n) const {
    const partition cut{n, where.size, chunks(where)};
    tutti::traffic sum;
    schedule(what, root, where, [&](const transfer& t) {
      if (is_outgoing(t.act)) sum = sum + tutti::traffic::message(cut.length(t.chunks));
    });
    return sum;
  }

private:
  /// Which ranks share a node.
  struct nodes {
    const layout& where;
    int group; ///< 0: as where.group_of says

    constexpr nodes(const layout& all, int asked)
        : where{all}, group{asked == 0 && all.group_of.empty() ? all.size : asked} {}

    constexpr int node(int rank) const {
      return group > 0 ? rank / group : where.group_of[std::size_t(rank)];
    }
    constexpr int count() const {
      if (group > 0) return (where.size + group - 1) / group;
      int n = 0;
      for (int r = 0; r < where.size; ++r) n = (std::max)(n, node(r) + 1);
      return n;
    }
    constexpr int size(int of) const {
      if (group > 0) return (std::min)(group, where.size - of * group);
      int n = 0;
      for (int r = 0; r < where.size; ++r) n += node(r) == of;
      return n;
    }
    constexpr int member(int of, int index) const {
      if (group > 0) return of * group + index;
      for (int r = 0; r < where.size; ++r)
        if (node(r) == of && index-- == 0) return r;
      return -1;
    }
    constexpr int index(int rank) const {
      if (group > 0) return rank % group;
      int n = 0;
      for (int r = 0; r < rank; ++r) n += node(r) == node(rank);
      return n;
    }
  };

  constexpr int longest(const nodes& of, collective what) const {
    int most = 0;
    for (int k = 0, count = of.count(); k < count; ++k)
      most = (std::max)(most, tutti::rounds_of(inner, what, of.size(k)));
    return most;
  }
  constexpr int between(const nodes& of) const {
    return tutti::rounds_of(outer, collective::all_reduce, of.count());
  }

  /// A path has one member of every node. With as many paths as the least common multiple of the
  /// sizes of nodes, the member with index i of g holds the i-th g-th of them.
  static constexpr int paths(const nodes& of) {
    int n = 1;
    for (int k = 0, count = of.count(); k < count; ++k) n = std::lcm(n, of.size(k));
    return n;
  }
  /// A multiple of what outer cuts every path into, and of what inner cuts all data into on any
  /// node.
  constexpr int chunks_in(const nodes& of, int all_paths) const {
    const int count = of.count();
    int n = all_paths * tutti::chunks_of(outer, layout{0, count});
    for (int k = 0; k < count; ++k) n = std::lcm(n, tutti::chunks_of(inner, layout{0, of.size(k)}));
    return n;
  }
  /// Calls use(first chunk, chunks of each of outer's, path, all paths) for the paths that member
  /// `index` of a node of `size` is on.
  template <class Use>
  constexpr void for_each_path(const nodes& of, int index, int size, Use&& use) const {
    const int all_paths = paths(of), all_chunks = chunks_in(of, all_paths);
    const int each = all_chunks / all_paths, share = all_paths / size;
    for (int path = index * share; path < (index + 1) * share; ++path)
      use(path * each, each / tutti::chunks_of(outer, layout{0, of.count()}), path, all_paths);
  }

  /// A transfer of a schedule with `count` chunks, each of which is `each` chunks from `first` on.
  template <class Emit>
  static constexpr void widened(const transfer& t, int round, int peer, int count, int first,
                                int each, Emit&& emit) {
    const auto& range = t.chunks;
    const int begin = range.first % count;
    if (range.stride == 1 && begin + range.count <= count) {
      emit(transfer{round, peer, {first + begin * each, range.count * each}, t.act});
      return;
    }
    for (int k = 0, c = begin; k < range.count; ++k, c = (c + range.stride) % count)
      emit(transfer{round, peer, {first + c * each, each}, t.act});
  }
};
template <class Inner, class Outer> hierarchical(Inner, Outer) -> hierarchical<Inner, Outer>;
template <class Inner, class Outer> hierarchical(Inner, Outer, int) -> hierarchical<Inner, Outer>;

} // namespace tutti
