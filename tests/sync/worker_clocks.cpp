// The bound on staleness by itself: who may go on, and when all is over.
#include <tutti/sync/worker_clocks.hpp>

#include <boost/test/unit_test.hpp>

BOOST_AUTO_TEST_SUITE(worker_clocks)

using tutti::detail::worker_clocks;

/// Rank 0 is a dedicated server, 1 and 2 work.
worker_clocks two_workers() { return {3, [](int r) { return r > 0; }}; }

BOOST_AUTO_TEST_CASE(nobody_is_more_than_lead_steps_ahead) {
  for (const int lead : {0, 1, 4}) {
    worker_clocks all = two_workers();
    BOOST_CHECK_EQUAL(all.workers(), 2);
    for (int clock = 1; clock <= lead + 1; ++clock) {
      all.steps(1, clock);
      BOOST_CHECK_EQUAL(all.lets_go(1, lead), clock <= lead);
    }
    BOOST_CHECK(all.waits(1) && !all.waits(2));
    BOOST_CHECK_EQUAL(all.slowest_worker(), 2);
    all.steps(2, 1);
    BOOST_CHECK(all.lets_go(1, lead) && !all.waits(1));
    BOOST_CHECK_MESSAGE(!all.lets_go(1, lead), "who goes on is answered once");
  }
}

BOOST_AUTO_TEST_CASE(without_a_bound_everyone_goes_on) {
  worker_clocks all = two_workers();
  all.steps(1, 1000);
  BOOST_CHECK(all.lets_go(1, tutti::unbounded));
}

BOOST_AUTO_TEST_CASE(who_ends_holds_nobody_up) {
  worker_clocks all = two_workers();
  all.steps(1, 7);
  all.ends(2);
  BOOST_CHECK(all.lets_go(1, 0) && !all.all_done());
  all.ends(1);
  BOOST_CHECK(all.all_done());
}

BOOST_AUTO_TEST_SUITE_END()
