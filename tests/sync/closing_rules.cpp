// Closing rules by themselves: who may go on, what counts, and when a step closes.
#include <tutti/sync/backup_workers.hpp>
#include <tutti/sync/quorum.hpp>
#include <tutti/sync/worker_clocks.hpp>

#include <boost/test/unit_test.hpp>

#include <chrono>
#include <vector>

BOOST_AUTO_TEST_SUITE(closing_rules)

namespace {

using tutti::detail::step_quorum;
using tutti::detail::worker_clocks;
using std::chrono::milliseconds;

static_assert(tutti::closing_rule<worker_clocks> && tutti::closing_rule<step_quorum>);

constexpr tutti::deadline now{std::chrono::seconds{7}};

/// Rank 0 does not work.
std::vector<std::int64_t> workers(int n) {
  std::vector<std::int64_t> all(std::size_t(n) + 1);
  all[0] = tutti::no_worker;
  return all;
}

struct no_rule {
  double takes(int, std::int64_t, tutti::deadline) { return 1; }
  bool closes(tutti::deadline) { return true; }
  void ends(int) {}
};
static_assert(!tutti::closing_rule<no_rule>);

} // namespace

BOOST_AUTO_TEST_CASE(nobody_is_more_than_the_bound_ahead) {
  for (const int bound : {0, 1, 3}) {
    worker_clocks rule{workers(2), bound};
    BOOST_CHECK_EQUAL(rule.shares(), 2);
    int steps = 0; // that are completed while the other one is silent
    for (int clock = 1; clock <= bound + 1; ++clock) {
      BOOST_CHECK(rule.takes(1, clock, now) == 1 && rule.closes(now) && !rule.closes(now));
      steps += rule.lets_go(1);
    }
    BOOST_CHECK_EQUAL(steps, bound);
    rule.takes(2, 1, now);
    BOOST_CHECK(rule.lets_go(1) && rule.lets_go(2));
    rule.takes(1, bound + 2, now);
    BOOST_CHECK(!rule.lets_go(1));
    rule.ends(2);
    BOOST_CHECK(rule.lets_go(1));
  }
}

BOOST_AUTO_TEST_CASE(without_a_bound_everyone_goes_on) {
  worker_clocks rule{workers(2), tutti::unbounded};
  for (int clock = 1; clock <= 1000; ++clock) BOOST_CHECK(rule.takes(1, clock, now) == 1 && rule.lets_go(1));
}

BOOST_AUTO_TEST_CASE(a_bound_goes_on_from_the_clocks_that_workers_have) {
  worker_clocks rule{std::vector<std::int64_t>{tutti::no_worker, 7, 6}, 1};
  rule.takes(1, 8, now);
  BOOST_CHECK_MESSAGE(!rule.lets_go(1), "two steps ahead");
  rule.takes(2, 7, now);
  BOOST_CHECK(rule.lets_go(1) && rule.lets_go(2));
}

BOOST_AUTO_TEST_CASE(the_fastest_make_a_step_and_who_is_late_is_dropped) {
  step_quorum rule = tutti::backup_workers{.spare = 1}.closing(workers(3));
  BOOST_CHECK(rule.takes(2, 1, now) == 1 && !rule.closes(now) && !rule.lets_go(2));
  BOOST_CHECK(rule.takes(1, 1, now) == 1 && rule.closes(now) && !rule.closes(now));
  BOOST_CHECK(rule.lets_go(1) && rule.lets_go(2) && !rule.lets_go(2));
  BOOST_CHECK_MESSAGE(rule.takes(3, 1, now) == 0, "too late");
  BOOST_CHECK(!rule.closes(now) && rule.lets_go(3));
  BOOST_CHECK(rule.takes(3, 2, now) == 1 && !rule.lets_go(3));
}

BOOST_AUTO_TEST_CASE(a_step_has_no_more_workers_than_are_left) {
  step_quorum rule = tutti::backup_workers{.spare = 1}.closing(workers(4));
  rule.ends(4);
  for (const int r : {1, 2}) BOOST_CHECK(rule.takes(r, 1, now) == 1 && !rule.closes(now));
  BOOST_CHECK_MESSAGE(rule.takes(3, 1, now) == 1 && rule.closes(now), "three of three");
  for (const int r : {1, 2, 3}) BOOST_CHECK(rule.lets_go(r));
  BOOST_CHECK(rule.takes(1, 2, now) == 1 && !rule.closes(now));
  rule.ends(2);
  BOOST_CHECK(!rule.closes(now));
  rule.ends(3);
  BOOST_CHECK_MESSAGE(rule.closes(now) && rule.lets_go(1), "the last one waits for nobody");
}

// What a lost worker has pushed counts, and does not stand for one that is still on its way.
BOOST_AUTO_TEST_CASE(a_step_waits_for_the_others_when_one_that_has_pushed_is_lost) {
  const auto loses_one = [](step_quorum rule, const char* what) {
    BOOST_CHECK(rule.takes(1, 1, now) == 1 && !rule.closes(now));
    rule.ends(1);
    BOOST_CHECK(rule.takes(2, 1, now) == 1);
    BOOST_CHECK_MESSAGE(!rule.closes(now) && rule.until() == (tutti::deadline::max)(), what << ": rank 3 works still");
    BOOST_CHECK_MESSAGE(rule.takes(3, 1, now) == 1 && rule.closes(now), what << ": all have come");
    BOOST_CHECK(rule.lets_go(2) && rule.lets_go(3) && rule.takes(2, 2, now) == 1);
    BOOST_CHECK_MESSAGE(!rule.closes(now), what << ": rank 3 works still");
    BOOST_CHECK_MESSAGE(rule.takes(3, 2, now) == 1 && rule.closes(now), what << ": two are left");
  };
  loses_one(tutti::backup_workers{.spare = 0}.closing(workers(3)), "backup workers");
  loses_one(tutti::quorum{.min = 3}.closing(workers(3)), "quorum");
  step_quorum rule = tutti::quorum{.min = 2}.closing(workers(2));
  rule.takes(1, 1, now);
  rule.ends(1);
  BOOST_CHECK(!rule.closes(now));
  rule.ends(2);
  BOOST_CHECK_MESSAGE(rule.closes(now) && !rule.closes(now), "what was pushed makes a step when nobody is left");
}

BOOST_AUTO_TEST_CASE(a_quorum_closes_after_its_grace_or_at_once_with_all) {
  constexpr tutti::deadline never = (tutti::deadline::max)();
  step_quorum rule = tutti::quorum{.min = 2, .grace = milliseconds{10}}.closing(workers(3));
  BOOST_CHECK(!rule.closes(now + std::chrono::hours{1}) && rule.until() == never);
  BOOST_CHECK(rule.takes(1, 1, now) == 1 && rule.until() == never);
  BOOST_CHECK_MESSAGE(!rule.closes(now + milliseconds{20}), "one is no quorum");
  BOOST_CHECK(rule.takes(3, 1, now + milliseconds{4}) == 1 && rule.until() == now + milliseconds{10});
  BOOST_CHECK(!rule.closes(now + milliseconds{9}));
  BOOST_CHECK(rule.closes(now + milliseconds{10}) && rule.until() == never);
  BOOST_CHECK(rule.lets_go(1) && rule.lets_go(3));
  BOOST_CHECK(rule.takes(2, 1, now + milliseconds{11}) == 0 && rule.lets_go(2));
  for (const int r : {1, 2}) BOOST_CHECK(rule.takes(r, 2, now + milliseconds{20}) == 1);
  BOOST_CHECK(!rule.closes(now + milliseconds{20}));
  BOOST_CHECK(rule.takes(3, 2, now + milliseconds{21}) == 1 && rule.closes(now + milliseconds{21}));
}

BOOST_AUTO_TEST_CASE(a_grace_without_end_is_none_that_overflows) {
  step_quorum rule = tutti::quorum{.min = 1, .grace = (milliseconds::max)()}.closing(workers(2));
  rule.takes(1, 1, now);
  BOOST_CHECK(!rule.closes(now + std::chrono::hours{1000}));
  rule.takes(2, 1, now);
  BOOST_CHECK(rule.closes(now));
}

BOOST_AUTO_TEST_CASE(it_goes_on_from_its_numbers) {
  step_quorum before = tutti::backup_workers{}.closing(workers(2));
  before.takes(1, 1, now);
  BOOST_CHECK(before.closes(now) && before.lets_go(1));
  step_quorum rule = tutti::backup_workers{}.closing(workers(2));
  std::ranges::copy(before.numbers(), rule.numbers().begin());
  BOOST_CHECK_MESSAGE(rule.takes(2, 1, now) == 0, "it has parameters of a step that has closed");
  BOOST_CHECK(rule.lets_go(2) && rule.takes(2, 2, now) == 1);
}

BOOST_AUTO_TEST_SUITE_END()
