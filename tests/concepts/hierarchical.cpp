// Hierarchical: reduce within each node, exchange between nodes, spread within each node again. How
// many chunks and rounds that takes depends on which ranks share a node, not on their number alone.
#include "play.hpp"

#include <tutti/topologies/schedule.hpp>

#include <boost/test/unit_test.hpp>

#include <numeric>

BOOST_AUTO_TEST_SUITE(concepts)

namespace {

/// The ranks by node: members()[g] in rank order.
constexpr int group_of(const tutti::layout& where, int rank) {
  return where.group_of.empty() ? 0 : where.group_of[std::size_t(rank)];
}
constexpr int group_size(const tutti::layout& where, int group) {
  int n = 0;
  for (int r = 0; r < where.size; ++r) n += group_of(where, r) == group;
  return n;
}
constexpr int group_count(const tutti::layout& where) {
  int n = 0;
  for (int r = 0; r < where.size; ++r) n = group_of(where, r) >= n ? group_of(where, r) + 1 : n;
  return n;
}
constexpr int member(const tutti::layout& where, int group, int index) {
  for (int r = 0; r < where.size; ++r)
    if (group_of(where, r) == group && index-- == 0) return r;
  return -1;
}
constexpr int index_in_group(const tutti::layout& where, int rank) {
  int index = 0;
  for (int r = 0; r < rank; ++r) index += group_of(where, r) == group_of(where, rank);
  return index;
}

/// Member j of a node with g members is responsible for chunks j, j + g, ...; the number of chunks
/// is a multiple of every g, so nodes of different sizes meet: members j of g and k of h share one
/// chunk in lcm(g, h), again a range with a stride.
struct hierarchical {
  using part = tutti::topology_part;
  static constexpr bool gathers = false;

  static constexpr bool gives(tutti::collective what) noexcept {
    return what == tutti::collective::all_reduce;
  }
  constexpr int chunks(const tutti::layout& where) const {
    int n = 1;
    for (int g = 0; g < group_count(where); ++g) n = std::lcm(n, group_size(where, g));
    return n;
  }
  constexpr int rounds(tutti::collective, const tutti::layout& where) const {
    return between_round(where) + (group_count(where) > 1) + within(where);
  }

  template <class Emit>
  constexpr void schedule(tutti::collective, int, const tutti::layout& where, Emit&& emit) const {
    const int total = chunks(where);
    const int own_group = group_of(where, where.rank), g = group_size(where, own_group);
    const int j = index_in_group(where, where.rank);
    for (int k = 0; k < g; ++k)
      if (const int peer = member(where, own_group, k); peer != where.rank) {
        const tutti::chunk_range theirs{k, total / g, g}, mine{j, total / g, g};
        const int last = rounds({}, where) - 1;
        emit(tutti::transfer{0, peer, theirs, tutti::action::send});
        emit(tutti::transfer{0, peer, mine, tutti::action::combine});
        emit(tutti::transfer{last, peer, mine, tutti::action::publish});
        emit(tutti::transfer{last, peer, theirs, tutti::action::store});
      }
    for (int group = 0; group < group_count(where); ++group)
      if (group != own_group) between(where, j, g, group, total, emit);
  }

private:
  /// Whether any node has more than one rank.
  static constexpr int within(const tutti::layout& where) {
    return group_count(where) < where.size ? 1 : 0;
  }
  static constexpr int between_round(const tutti::layout& where) { return within(where); }

  template <class Emit>
  static constexpr void between(const tutti::layout& where, int j, int g, int group, int total,
                                Emit&& emit) {
    const int h = group_size(where, group), stride = std::lcm(g, h);
    for (int k = 0; k < h; ++k)
      for (int c = j; c < stride; c += g)
        if (c % h == k) {
          const tutti::chunk_range shared{c, total / stride, stride};
          const int peer = member(where, group, k), round = between_round(where);
          emit(tutti::transfer{round, peer, shared, tutti::action::send});
          emit(tutti::transfer{round, peer, shared, tutti::action::combine});
        }
  }
};

static_assert(tutti::schedule_topology<hierarchical>);

} // namespace

BOOST_AUTO_TEST_CASE(hierarchical_works_for_nodes_of_any_size) {
  const std::vector<int> layouts[] = {{0},
                                      {0, 0, 0},
                                      {0, 1, 2},
                                      {0, 0, 1, 1},
                                      {0, 1, 0, 1, 0, 1},
                                      {0, 0, 0, 1, 1},
                                      {0, 1, 1, 2, 2, 2, 2},
                                      {2, 0, 1, 2, 0, 2, 1, 1, 0, 2}};
  for (const auto& groups : layouts) {
    const auto o = play(hierarchical{}, tutti::collective::all_reduce, int(groups.size()), groups);
    BOOST_CHECK_MESSAGE(wrong_all_reduce(o).empty(), groups.size() << ": " << wrong_all_reduce(o));
  }
}

BOOST_AUTO_TEST_CASE(hierarchical_rounds_depend_on_the_layout) {
  const std::vector<int> together{0, 0, 0, 0}, apart{0, 1, 2, 3}, pairs{0, 0, 1, 1};
  const auto rounds = [](const std::vector<int>& groups) {
    return tutti::rounds_of(hierarchical{}, tutti::collective::all_reduce,
                            tutti::layout{0, int(groups.size()), groups});
  };
  BOOST_CHECK_EQUAL(rounds(together), 2);
  BOOST_CHECK_EQUAL(rounds(apart), 1);
  BOOST_CHECK_EQUAL(rounds(pairs), 3);
}

BOOST_AUTO_TEST_SUITE_END()
