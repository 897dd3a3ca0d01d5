// One-shot direct: everyone sends everything to everyone, and each rank folds all of it at once.
#include "play.hpp"

#include <tutti/topologies/schedule.hpp>

#include <boost/test/unit_test.hpp>

BOOST_AUTO_TEST_SUITE(concepts)

namespace {

struct one_shot {
  using part = tutti::topology_part;
  static constexpr bool gathers = true;

  static constexpr bool gives(tutti::collective what) noexcept {
    return what == tutti::collective::all_reduce;
  }
  constexpr int chunks(int /*size*/) const noexcept { return 1; }
  constexpr int rounds(tutti::collective, int size) const noexcept { return size > 1 ? 1 : 0; }

  template <class Emit>
  constexpr void schedule(tutti::collective, int, const tutti::layout& where, Emit&& emit) const {
    for (int k = 1; k < where.size; ++k) {
      const int to = (where.rank + k) % where.size;
      const int from = (where.rank + where.size - k) % where.size;
      emit(tutti::transfer{0, to, {0}, tutti::action::send});
      emit(tutti::transfer{0, from, {0}, tutti::action::combine});
    }
  }
};

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
