// The bound on staleness by itself: who may go on, and when all is over.
#include <tutti/carriers/worker_clocks.hpp>

#include <boost/test/unit_test.hpp>

BOOST_AUTO_TEST_SUITE(worker_clocks)

using tutti::detail::worker_clocks;

/// Rank 0 is a dedicated server, 1 and 2 work.
worker_clocks two_workers(int staleness) {
  return {3, [](int r) { return r > 0; }, staleness};
}

BOOST_AUTO_TEST_CASE(nobody_is_more_than_the_bound_ahead) {
  for (const int bound : {0, 1, 4}) {
    worker_clocks all = two_workers(bound);
    BOOST_CHECK_EQUAL(all.workers(), 2);
    for (int clock = 1; clock <= bound + 1; ++clock) {
      BOOST_CHECK(all.takes(1, clock));
      BOOST_CHECK_EQUAL(all.lets_go(1), clock <= bound);
    }
    BOOST_CHECK(all.waits(1) && !all.waits(2));
    BOOST_CHECK_EQUAL(all.slowest_worker(), 2);
    BOOST_CHECK(all.takes(2, 1));
    BOOST_CHECK(all.lets_go(1) && !all.waits(1));
    BOOST_CHECK_MESSAGE(!all.lets_go(1), "who goes on is answered once");
  }
}

BOOST_AUTO_TEST_CASE(without_a_bound_everyone_goes_on) {
  worker_clocks all = two_workers(tutti::unbounded);
  for (int clock = 1; clock <= 1000; ++clock) BOOST_CHECK(all.takes(1, clock) && all.lets_go(1));
}

BOOST_AUTO_TEST_CASE(who_ends_holds_nobody_up) {
  worker_clocks all = two_workers(0);
  BOOST_CHECK(all.takes(1, 1));
  all.ends(2);
  BOOST_CHECK(all.lets_go(1) && !all.all_done());
  all.ends(1);
  BOOST_CHECK(all.all_done());
}

BOOST_AUTO_TEST_CASE(steps_come_one_after_the_other) {
  worker_clocks all = two_workers(0);
  BOOST_CHECK(!all.takes(1, 2) && !all.takes(1, 0) && !all.takes(0, 1));
  BOOST_CHECK(all.takes(1, 1));
  BOOST_CHECK(!all.takes(1, 1));
  all.ends(1);
  BOOST_CHECK_MESSAGE(!all.takes(1, 2), "it has said that it makes no more");
}

BOOST_AUTO_TEST_CASE(training_goes_on_where_it_was) {
  worker_clocks all = two_workers(1);
  BOOST_CHECK(all.takes(1, 1));
  const std::uint64_t clocks[] = {9, 7, 6};
  all.restart(clocks);
  BOOST_CHECK(all.is_done(0) && !all.waits(1) && !all.waits(2));
  BOOST_CHECK_EQUAL(all.slowest_worker(), 2);
  BOOST_CHECK(!all.takes(1, 2) && all.takes(1, 8));
  BOOST_CHECK_MESSAGE(!all.lets_go(1), "two steps ahead");
  BOOST_CHECK(all.takes(2, 7) && all.lets_go(1) && all.lets_go(2));
}

BOOST_AUTO_TEST_CASE(training_begins_again) {
  worker_clocks all = two_workers(0);
  BOOST_CHECK(all.takes(2, 1));
  all.ends(1);
  all.ends(2);
  all.restart();
  BOOST_CHECK(!all.all_done() && !all.waits(2) && all.is_done(0));
  BOOST_CHECK_EQUAL(all.workers(), 2);
  BOOST_CHECK(all.takes(1, 1) && !all.lets_go(1));
  BOOST_CHECK(all.takes(2, 1) && all.lets_go(1));
}

BOOST_AUTO_TEST_SUITE_END()
