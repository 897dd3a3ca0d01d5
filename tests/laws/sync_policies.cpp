#include "broken.hpp"

#include <tutti/sync/asynchronous.hpp>
#include <tutti/sync/federated.hpp>
#include <tutti/sync/laws.hpp>
#include <tutti/sync/synchronous.hpp>

#include <boost/test/unit_test.hpp>

BOOST_AUTO_TEST_SUITE(laws)

namespace {

tutti::asynchronous with_staleness(int bound) {
  tutti::asynchronous policy;
  policy.staleness = bound;
  return policy;
}

tutti::federated with_fraction(double fraction) {
  tutti::federated policy;
  policy.fraction = fraction;
  return policy;
}

struct never : tutti::sync_defaults {
  int period() const { return 0; }
  int delay() const { return -1; }
};
struct always_the_first : tutti::sync_defaults {
  tutti::fragment_of fragment(std::int64_t) const { return {0, 3}; }
};
struct one_too_far : tutti::sync_defaults {
  tutti::fragment_of fragment(std::int64_t k) const { return {int(k % 4), 3}; }
};
struct all_but_two : tutti::sync_defaults {
  int quorum(int n) const { return n - 2; }
};
struct better_late : tutti::sync_defaults {
  double worth(int late) const { return late == 0 ? .5 : 1; }
};
struct worthless : tutti::sync_defaults {
  double worth(int) const { return 0; }
};
struct behind : tutti::sync_defaults {
  int lead() const { return -2; }
};

} // namespace

BOOST_AUTO_TEST_CASE(shipped_policies_keep_the_laws) {
  using tutti::check_sync_policy;
  const tutti::law_report reports[] = {
      check_sync_policy(tutti::synchronous{}), check_sync_policy(tutti::sharded{}),
      check_sync_policy(with_staleness(0)),    check_sync_policy(with_staleness(tutti::unbounded)),
      check_sync_policy(with_fraction(.1)),    check_sync_policy(with_fraction(0)),
      check_sync_policy(with_fraction(1))};
  for (const auto& r : reports)
    BOOST_CHECK_MESSAGE(r, "report " << (&r - reports) << ": " << r.text());
}

BOOST_AUTO_TEST_CASE(wrong_policies_are_caught_with_the_law_named) {
  using tutti::check_sync_policy;
  BOOST_CHECK_EQUAL(broken(check_sync_policy(never{})), "delay, period");
  BOOST_CHECK_EQUAL(broken(check_sync_policy(always_the_first{})), "fragment");
  BOOST_CHECK_EQUAL(broken(check_sync_policy(one_too_far{})), "fragment");
  BOOST_CHECK_EQUAL(broken(check_sync_policy(all_but_two{})), "quorum");
  BOOST_CHECK_EQUAL(broken(check_sync_policy(better_late{})), "worth");
  BOOST_CHECK_EQUAL(broken(check_sync_policy(worthless{})), "worth");
  BOOST_CHECK_EQUAL(broken(check_sync_policy(behind{})), "lead");
  BOOST_CHECK_EQUAL(check_sync_policy(all_but_two{}).text(), "quorum: quorum(1) is -1");
}

BOOST_AUTO_TEST_SUITE_END()
