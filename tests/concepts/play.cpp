// The player of schedules notices what is wrong with them.
#include "play.hpp"

#include <boost/test/unit_test.hpp>

BOOST_AUTO_TEST_SUITE(concepts)

namespace {

/// Everyone gives what it has to the next rank, and adds what it gets; spoilt by `mistake`.
struct carousel {
  using part = tutti::topology_part;
  static constexpr bool gathers = false;
  enum { none, forgets, repeats, misnames } mistake = none;

  static constexpr bool gives(tutti::collective what) {
    return what == tutti::collective::all_reduce;
  }
  constexpr int chunks(int) const { return 2; }
  constexpr int rounds(tutti::collective, int size) const { return size - 1; }

  template <class Emit>
  constexpr void schedule(tutti::collective, int, const tutti::layout& where, Emit&& emit) const {
    using tutti::action, tutti::transfer;
    const int p = where.size, next = (where.rank + 1) % p, previous = (where.rank + p - 1) % p;
    for (int round = 0; round < p - 1; ++round) {
      emit(transfer{round, next, {mistake == misnames && round == 1}, action::send});
      if (mistake != forgets || where.rank != 1)
        emit(transfer{round, previous, {0}, action::combine});
      if (mistake == repeats && round == 0) {
        emit(transfer{0, next, {0}, action::send});
        emit(transfer{0, previous, {0}, action::combine});
      }
    }
  }
};

std::string verdict(const carousel& topology, int size) {
  return wrong_all_reduce(play(topology, tutti::collective::all_reduce, size));
}

} // namespace

BOOST_AUTO_TEST_CASE(the_player_notices_what_is_wrong) {
  BOOST_CHECK_EQUAL(verdict({carousel::forgets}, 3), "rank 0 sends in vain");
  BOOST_CHECK_EQUAL(verdict({carousel::misnames}, 3),
                    "round 1: rank 1 receives what rank 0 does not send");
  BOOST_CHECK_EQUAL(verdict({carousel::repeats}, 3), "a contribution is missing or counted twice");

  outcome different = play(carousel{}, tutti::collective::all_reduce, 1);
  different.ranks = {
      {combined(combined(contribution(0, 3), contribution(1, 3)), contribution(2, 3))},
      {combined(contribution(0, 3), combined(contribution(1, 3), contribution(2, 3)))}};
  BOOST_CHECK_EQUAL(wrong_all_reduce(different),
                    "ranks combined the contributions in different ways");
  different.ranks[1] = {
      combined(contribution(2, 3), combined(contribution(1, 3), contribution(0, 3)))};
  BOOST_CHECK_EQUAL(wrong_all_reduce(different), "");
}

BOOST_AUTO_TEST_SUITE_END()
