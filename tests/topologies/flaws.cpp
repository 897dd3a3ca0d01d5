// Every flaw the proof knows, seen in the smallest schedule that has it.
#include <tutti/topologies/direct.hpp>
#include <tutti/topologies/proof.hpp>
#include <tutti/topologies/recursive_doubling.hpp>
#include <tutti/topologies/ring.hpp>
#include <tutti/topologies/star.hpp>

#include <boost/test/unit_test.hpp>

#include <cstddef>

namespace {

using tutti::action;
using tutti::collective;
using tutti::flaw;
using tutti::whole_schedule;

// Two ranks that exchange their only chunk and add it; rank 0 broadcasting to rank 1; and so on.
whole_schedule pair() {
  return tutti::collect(tutti::recursive_doubling{}, collective::all_reduce, 0, 2);
}
whole_schedule copy() {
  return tutti::collect(tutti::star{}, collective::broadcast, 0, 2);
}
whole_schedule scatter() {
  return tutti::collect(tutti::direct{}, collective::reduce_scatter, 0, 3);
}
whole_schedule around() {
  return tutti::collect(tutti::ring{}, collective::all_gather, 0, 3);
}

template <class Break>
tutti::verdict after(whole_schedule all, Break&& change) {
  BOOST_CHECK_MESSAGE(tutti::prove(all).holds(), tutti::prove(all).text());
  change(all);
  return tutti::prove(all);
}

/// Adds both ends of a message.
void add(whole_schedule& all, int round, int from, int to, int chunk, bool copies) {
  all.ranks[std::size_t(from)].push_back(
      {round, to, {chunk}, copies ? action::publish : action::send});
  all.ranks[std::size_t(to)].push_back(
      {round, from, {chunk}, copies ? action::store : action::combine});
  if (all.rounds <= round) all.rounds = round + 1;
}

void check(const tutti::verdict& found, flaw code, int rank, int round, int chunk) {
  BOOST_CHECK_MESSAGE(found.code == code && found.rank == rank && found.round == round &&
                          found.chunk == chunk,
                      "expected '" << tutti::name(code) << "' at rank " << rank << ", round "
                                   << round << ", chunk " << chunk << "; found " << found.text());
}

} // namespace

BOOST_AUTO_TEST_SUITE(flaws)

BOOST_AUTO_TEST_CASE(out_of_range) {
  check(after(pair(), [](auto& s) { s.ranks[0][0].round = 1; }), flaw::round_out_of_range, 0, 1, 0);
  check(after(pair(), [](auto& s) { s.ranks[1][0].peer = 2; }), flaw::peer_out_of_range, 1, 0, 0);
  check(after(pair(), [](auto& s) { s.ranks[1][0].peer = 1; }), flaw::message_to_self, 1, 0, 0);
  check(after(pair(), [](auto& s) { s.ranks[1][1].chunks.first = -1; }), flaw::chunks_out_of_range,
        1, 0, -1);
  check(after(pair(), [](auto& s) { s.ranks[0][0].chunks.count = 2; }), flaw::chunks_out_of_range,
        0, 0, 0);
  check(after(scatter(), [](auto& s) { s.chunks = 4; }), flaw::chunks_without_owner, -1, -1, -1);
}

BOOST_AUTO_TEST_CASE(a_chunk_twice) {
  check(after(scatter(),
              [](auto& s) {
                s.ranks[0][0].chunks = {1, 2, 3};
              }),
        flaw::chunk_repeated, 0, 0, 1);
  check(after(pair(), [](auto& s) { add(s, 0, 0, 1, 0, false); }), flaw::chunk_repeated, 1, 0, 0);
  check(after(copy(), [](auto& s) { add(s, 0, 0, 1, 0, true); }), flaw::stored_twice, 1, 0, 0);
}

BOOST_AUTO_TEST_CASE(combined_and_stored) {
  const auto summed = tutti::collect(tutti::direct{}, collective::all_reduce, 0, 3);
  for (const bool store_first : {false, true})
    check(after(summed,
                [&](auto& s) {
                  add(s, 2, 0, 2, 0, store_first);
                  add(s, 2, 1, 2, 0, !store_first);
                }),
          flaw::combined_and_stored, 2, 2, 0);
}

BOOST_AUTO_TEST_CASE(ends_that_do_not_meet) {
  check(after(pair(), [](auto& s) { s.ranks[0].pop_back(); }), flaw::unmatched_send, 1, 0, 0);
  check(after(pair(), [](auto& s) { s.ranks[0].erase(s.ranks[0].begin()); }),
        flaw::unmatched_receive, 1, 0, 0);
  check(after(scatter(), [](auto& s) { s.ranks[0][0].chunks.first = 2; }), flaw::chunks_differ, 1,
        0, 1);
  check(after(pair(), [](auto& s) { s.ranks[1][1].act = action::store; }), flaw::actions_differ, 1,
        0, 0);
  check(after(copy(), [](auto& s) { s.ranks[0][0].act = action::send; }), flaw::reduced_in_a_copy,
        0, 0, 0);
}

BOOST_AUTO_TEST_CASE(values_that_are_not_due) {
  check(after(around(),
              [](auto& s) { // rank 0 passes on chunk 2 in the round in which it comes
                for (auto& transfers : s.ranks)
                  for (auto& t : transfers) t.round = 0;
              }),
        flaw::read_before_arrival, 0, 0, 2);
  check(after(around(),
              [](auto& s) { // chunk 1 never gets to rank 0
                s.ranks[0].pop_back();
                s.ranks[2].erase(s.ranks[2].begin() + 2);
              }),
        flaw::result_missing, 0, -1, 1);
  check(after(pair(), [](auto& s) { add(s, 0, 0, 1, 0, true); }), flaw::published_incomplete, 0, 0,
        0);
  check(after(scatter(),
              [](auto& s) { // rank 2 gives nothing to rank 0
                s.ranks[0].erase(s.ranks[0].begin() + 1);
                s.ranks[2].erase(s.ranks[2].begin());
              }),
        flaw::contribution_missing, 0, -1, 0);
  check(after(scatter(), [](auto& s) { add(s, 1, 2, 0, 0, false), s.rounds = 2; }),
        flaw::contribution_repeated, 0, -1, 0);
}

// Three ranks: 0 and 1 know each other's contributions first, 2 meets them in another order.
BOOST_AUTO_TEST_CASE(different_trees) {
  whole_schedule all{collective::all_reduce, 0, 3, 1, 3, {{}, {}, {}}};
  add(all, 0, 0, 1, 0, false);
  add(all, 0, 1, 0, 0, false); // 0: 0+1                  1: 0+1
  add(all, 1, 2, 0, 0, false); // 0: (0+1)+2
  add(all, 1, 2, 1, 0, false); //                          1: (0+1)+2
  add(all, 2, 1, 2, 0, true);  //          2: a copy
  BOOST_CHECK_MESSAGE(tutti::prove(all).holds(), tutti::prove(all).text());

  whole_schedule other{collective::all_reduce, 0, 4, 1, 3, {{}, {}, {}, {}}};
  for (const int to : {0, 1}) {
    add(other, 0, 1 - to, to, 0, false);
    add(other, 1 + to, 2, to, 0, false); // rank 1 meets 3 first and 2 then
    add(other, 2 - to, 3, to, 0, false);
  }
  add(other, 3, 0, 2, 0, true);
  add(other, 3, 1, 3, 0, true);
  check(tutti::prove(other), flaw::results_differ, 1, -1, 0);
}

// Ranks 0 and 1 both have 0+1. Only rank 0 gives it away, so keeps it rounded.
BOOST_AUTO_TEST_CASE(different_trees_when_rounded) {
  whole_schedule all{collective::all_reduce, 0, 3, 1, 2, {{}, {}, {}}};
  add(all, 0, 0, 1, 0, false);
  add(all, 0, 1, 0, 0, false);
  add(all, 1, 2, 0, 0, false);
  add(all, 1, 2, 1, 0, false);
  add(all, 1, 0, 2, 0, false);

  check(tutti::prove(all), flaw::rounded_results_differ, 1, -1, 0);
}

BOOST_AUTO_TEST_CASE(a_verdict_is_a_sentence) {
  BOOST_CHECK_EQUAL(tutti::prove(pair()).text(), "no flaw");
  BOOST_CHECK_EQUAL((tutti::verdict{flaw::unmatched_send, 1, 0, 2}.text()),
                    "rank 1, round 0, chunk 2: what is sent is not received");
  BOOST_CHECK_EQUAL(
      (tutti::verdict{flaw::results_differ, 3, -1, 0}.text()),
      "rank 3, chunk 0: ranks end with different expression trees, so with different bits");
}

BOOST_AUTO_TEST_SUITE_END()
