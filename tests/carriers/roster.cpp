// Who works, how far each is, and who is lost, as one server sees it.
#include <tutti/carriers/roster.hpp>
#include <tutti/carriers/silence.hpp>

#include <boost/test/unit_test.hpp>

#include <chrono>
#include <vector>

BOOST_AUTO_TEST_SUITE(roster)

namespace {

/// Rank 0 is a dedicated server, 1 and 2 work.
tutti::detail::roster two_workers() {
  return {3, [](int r) { return r > 0; }};
}

} // namespace

BOOST_AUTO_TEST_CASE(steps_come_one_after_the_other_and_each_once) {
  auto all = two_workers();
  BOOST_CHECK(!all.takes(1, 2) && !all.takes(1, 0) && !all.takes(0, 1));
  BOOST_CHECK(all.takes(1, 1));
  BOOST_CHECK(!all.takes(1, 1));
  BOOST_CHECK(all.has_taken(1, 1) && !all.has_taken(1, 0) && !all.has_taken(1, 2) && !all.has_taken(2, 1));
  all.ends(1);
  BOOST_CHECK_MESSAGE(!all.takes(1, 2), "it has said that it makes no more");
}

BOOST_AUTO_TEST_CASE(who_has_pushed_waits_until_it_goes_on) {
  auto all = two_workers();
  BOOST_CHECK(all.takes(1, 1) && all.waits(1) && !all.waits(2));
  BOOST_CHECK_EQUAL(all.slowest_worker(), 2);
  all.goes_on(1);
  BOOST_CHECK(!all.waits(1));
  BOOST_CHECK((all.clocks() == std::vector<std::int64_t>{tutti::no_worker, 1, 0}));
}

BOOST_AUTO_TEST_CASE(who_ends_is_done_until_training_begins_again) {
  auto all = two_workers();
  BOOST_CHECK(all.takes(2, 1) && !all.is_last(1));
  all.ends(2);
  BOOST_CHECK(!all.waits(2) && all.is_last(1) && !all.all_done());
  all.ends(1);
  BOOST_CHECK(all.all_done());
  all.restart();
  BOOST_CHECK(!all.all_done() && all.is_done(0) && all.takes(1, 1) && all.takes(2, 1));
}

BOOST_AUTO_TEST_CASE(who_is_lost_stays_lost) {
  auto all = two_workers();
  BOOST_CHECK(all.takes(2, 1));
  all.loses(2);
  BOOST_CHECK(all.is_lost(2) && !all.waits(2) && all.is_done(2) && !all.is_lost(1));
  all.restart();
  BOOST_CHECK(all.is_done(2) && !all.takes(2, 1) && all.is_last(1));
  const std::uint64_t clocks[] = {0, 4, 4};
  all.restart(clocks);
  BOOST_CHECK(all.is_done(2) && all.takes(1, 5));
}

BOOST_AUTO_TEST_CASE(training_goes_on_where_it_was) {
  auto all = two_workers();
  BOOST_CHECK(all.takes(1, 1));
  const std::uint64_t clocks[] = {9, 7, 6};
  all.restart(clocks);
  BOOST_CHECK(all.is_done(0) && !all.waits(1) && !all.waits(2));
  BOOST_CHECK_EQUAL(all.slowest_worker(), 2);
  BOOST_CHECK(!all.takes(1, 2) && all.has_taken(1, 7) && all.takes(1, 8));
}

// Of the time between two looks an eighth of the patience counts: who was away does not blame the others.
BOOST_AUTO_TEST_CASE(silence_counts_while_somebody_looks) {
  using std::chrono::milliseconds;
  const tutti::deadline begin{std::chrono::seconds{5}};
  tutti::detail::silence of{3, milliseconds{80}};
  of.begin(begin);
  BOOST_CHECK(of.alarm() == (tutti::deadline::max)());
  const auto expects = [](int r) { return r != 0; };
  of.look(begin + milliseconds{1000}, expects);
  BOOST_CHECK(!of.is_too_long(1) && of.alarm() > begin + milliseconds{1009});
  for (int k = 1; k <= 6; ++k) of.look(begin + milliseconds{1000 + 1000 * k}, expects);
  of.heard(2);
  BOOST_CHECK(!of.is_too_long(1) && !of.is_too_long(2));
  of.look(begin + milliseconds{9000}, expects);
  BOOST_CHECK(of.is_too_long(1) && !of.is_too_long(2) && !of.is_too_long(0));
  of.look(begin + milliseconds{9001}, [](int) { return false; });
  BOOST_CHECK(of.alarm() == (tutti::deadline::max)());
  tutti::detail::silence impatient{3, milliseconds{0}};
  impatient.begin(begin);
  BOOST_CHECK_MESSAGE(!impatient.is_too_long(1), "nobody has looked");
  impatient.look(begin + milliseconds{1}, [](int r) { return r == 1; });
  BOOST_CHECK_MESSAGE(impatient.is_too_long(1) && !impatient.is_too_long(0) && !impatient.is_too_long(2),
                      "with no patience at all, whom it expects, and nobody else");
  tutti::detail::silence patient{1, (std::chrono::milliseconds::max)()};
  patient.begin(begin);
  patient.look(begin + std::chrono::hours{1}, [](int) { return true; });
  BOOST_CHECK(!patient.is_too_long(0));
}

BOOST_AUTO_TEST_SUITE_END()
