#include "broken.hpp"

#include <tutti/sync/asynchronous.hpp>
#include <tutti/sync/diloco.hpp>
#include <tutti/sync/federated.hpp>
#include <tutti/sync/laws.hpp>
#include <tutti/sync/local_sgd.hpp>
#include <tutti/sync/sparse_loco.hpp>
#include <tutti/sync/synchronous.hpp>

#include <boost/test/unit_test.hpp>

#include <cmath>

BOOST_AUTO_TEST_SUITE(laws)

namespace {

/// Has an answer to every question that is answered in numbers.
struct answering {
  using part = tutti::sync_part;
  static constexpr tutti::contributes contribution = tutti::contributes::difference;

  int period = 4;
  int fragments = 3;
  int delay = 11;
  double keep = 0.5;
  int staleness = 2;
  tutti::sgd outer = {};
};

/// In every step at first, then in every eighth.
struct post_local {
  using part = tutti::sync_part;
  static constexpr tutti::contributes contribution = tutti::contributes::parameters;

  std::int64_t begins = 100;
  int period(std::int64_t step) const { return step < begins ? 1 : 8; }
};
struct dwindling : post_local {
  int period(std::int64_t step) const { return int(5000 / step); }
};
struct soon_too_late : dwindling {
  int delay = 7;
};

} // namespace

BOOST_AUTO_TEST_CASE(shipped_policies_keep_the_laws) {
  using tutti::check_sync_policy;
  const tutti::law_report reports[] = {check_sync_policy(tutti::synchronous{}),
                                       check_sync_policy(tutti::sharded{}),
                                       check_sync_policy(tutti::asynchronous{.staleness = 0}),
                                       check_sync_policy(tutti::asynchronous{}),
                                       check_sync_policy(tutti::local_sgd{}),
                                       check_sync_policy(tutti::diloco{}),
                                       check_sync_policy(tutti::sharded_diloco{.period = 1}),
                                       check_sync_policy(tutti::sparse_loco{}),
                                       check_sync_policy(tutti::federated{}),
                                       check_sync_policy(answering{}),
                                       check_sync_policy(post_local{})};
  for (const auto& r : reports)
    BOOST_CHECK_MESSAGE(r, "report " << (&r - reports) << ": " << r.text());
}

BOOST_AUTO_TEST_CASE(wrong_policies_are_caught_with_the_law_named) {
  using tutti::check_sync_policy;
  BOOST_CHECK_EQUAL(broken(check_sync_policy(answering{.period = 0})), "period");
  BOOST_CHECK_EQUAL(broken(check_sync_policy(answering{.fragments = 0})), "fragments");
  BOOST_CHECK_EQUAL(broken(check_sync_policy(answering{.delay = 12})), "delay");
  BOOST_CHECK_EQUAL(broken(check_sync_policy(answering{.delay = -1})), "delay");
  BOOST_CHECK_EQUAL(broken(check_sync_policy(answering{.keep = 1.01})), "keep");
  BOOST_CHECK_EQUAL(broken(check_sync_policy(answering{.keep = -0.5})), "keep");
  BOOST_CHECK_EQUAL(broken(check_sync_policy(answering{.keep = NAN})), "keep");
  BOOST_CHECK_EQUAL(broken(check_sync_policy(answering{.staleness = -2})), "staleness");
  BOOST_CHECK_EQUAL(broken(check_sync_policy(tutti::asynchronous{.staleness = -7})), "staleness");
  BOOST_CHECK_EQUAL(broken(check_sync_policy(dwindling{})), "period");
  BOOST_CHECK_EQUAL(broken(check_sync_policy(soon_too_late{})), "delay, period");
  BOOST_CHECK_EQUAL(check_sync_policy(tutti::diloco{.period = -3}).text(),
                    "period: step 1: the period of the sync policy is -3 steps - give at least 1");
}

BOOST_AUTO_TEST_SUITE_END()
