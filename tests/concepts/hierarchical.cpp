// Hierarchical: reduce within each node, exchange between nodes, spread within each node again. How
// many chunks and rounds that takes depends on which ranks share a node, not on their number alone.
#include "play.hpp"

#include <tutti/topologies/hierarchical.hpp>
#include <tutti/topologies/one_shot.hpp>

#include <boost/test/unit_test.hpp>


BOOST_AUTO_TEST_SUITE(concepts)

namespace {

using hierarchical = tutti::hierarchical<tutti::direct, tutti::one_shot>;

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
