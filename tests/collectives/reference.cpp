// The reference itself, against numbers worked out by hand.
#include <tutti/collectives/reference.hpp>
#include <tutti/reducers/elementary.hpp>
#include <tutti/reducers/order_statistics.hpp>

#include <boost/test/unit_test.hpp>

#include <vector>

namespace reference = tutti::reference;
template <class T> using per_rank = reference::per_rank<T>;

BOOST_AUTO_TEST_SUITE(reference_collectives)

BOOST_AUTO_TEST_CASE(reductions) {
  const per_rank<float> in{{1, 2, 3}, {10, 20, 30}, {100, 200, 600}};

  BOOST_CHECK((reference::all_reduce(in, tutti::sum{}) ==
               per_rank<float>{{111, 222, 633}, {111, 222, 633}, {111, 222, 633}}));
  BOOST_CHECK((reference::reduce(in, tutti::max{}, 1) == per_rank<float>{{}, {100, 200, 600}, {}}));
  BOOST_CHECK((reference::reduction(in, tutti::mean{}) == std::vector<float>{37, 74, 211}));
  BOOST_CHECK((reference::reduction(in, tutti::median{}) == std::vector<float>{10, 20, 30}));
  BOOST_CHECK((reference::reduction(in, tutti::weighted_mean{}, {0, 3, 1}) ==
               std::vector<float>{32.5, 65, 172.5}));
}

BOOST_AUTO_TEST_CASE(contributions_are_folded_in_rank_order_from_the_left) {
  const per_rank<float> in{{1}, {1e8f}, {-1e8f}, {1}};

  BOOST_CHECK(
      (reference::reduction(in, tutti::sum{}) == std::vector<float>{1})); // (((1 + a) - a) + 1)
}

BOOST_AUTO_TEST_CASE(longer_shards_come_first) {
  const per_rank<int> in{{1, 2, 3, 4}, {10, 20, 30, 40}, {0, 0, 0, 0}};

  BOOST_CHECK((reference::reduce_scatter(in, tutti::sum{}) == per_rank<int>{{11, 22}, {33}, {44}}));
  BOOST_CHECK((reference::all_gather(per_rank<int>{{11, 22}, {33}, {44}}) ==
               per_rank<int>(3, {11, 22, 33, 44})));
}

BOOST_AUTO_TEST_CASE(copies) {
  const per_rank<int> in{{1, 2}, {3, 4}};

  BOOST_CHECK((reference::broadcast(in, 1) == per_rank<int>{{3, 4}, {3, 4}}));
  BOOST_CHECK((reference::gather(in, 1) == per_rank<int>{{}, {1, 2, 3, 4}}));
  BOOST_CHECK((reference::scatter(in, 1) == per_rank<int>{{3}, {4}}));
  BOOST_CHECK((reference::all_to_all(in) == per_rank<int>{{1, 3}, {2, 4}}));
}

BOOST_AUTO_TEST_SUITE_END()
