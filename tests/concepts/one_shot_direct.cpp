// One-shot direct: everyone sends everything to everyone, and each rank folds all of it at once.
#include "play.hpp"

#include <tutti/topologies/one_shot.hpp>

#include <boost/test/unit_test.hpp>

BOOST_AUTO_TEST_SUITE(concepts)

namespace {

using tutti::one_shot;

static_assert(tutti::schedule_topology<one_shot>);
static_assert(tutti::carries<one_shot>(tutti::collective::all_reduce));
static_assert(!tutti::carries<one_shot>(tutti::collective::reduce_scatter));

} // namespace

BOOST_AUTO_TEST_CASE(one_shot_direct_is_one_fold_in_rank_order) {
  for (const int size : {1, 2, 3, 4, 5, 7}) {
    const outcome o = play(one_shot{}, tutti::collective::all_reduce, size);
    held left_to_right = contribution(0, size);
    for (int r = 1; r < size; ++r) left_to_right = combined(left_to_right, contribution(r, size));

    BOOST_CHECK_MESSAGE(wrong_all_reduce(o).empty(), size << " ranks: " << wrong_all_reduce(o));
    BOOST_CHECK_MESSAGE(o.ranks.back()[0] == left_to_right, size << " ranks: another order");
  }
}

BOOST_AUTO_TEST_SUITE_END()
