// FedBuff: clients train and report whenever they are done; the server takes a step with every K
// reports, each worth less the staler the model it started from (Nguyen et al., "Federated learning
// with buffered asynchronous aggregation", AISTATS 2022).
#include <tutti/sync/laws.hpp>
#include <tutti/sync/sync_policy.hpp>

#include <boost/test/unit_test.hpp>

#include <algorithm>
#include <cmath>
#include <vector>

BOOST_AUTO_TEST_SUITE(concepts)

namespace {

struct fedbuff : tutti::sync_defaults {
  static constexpr auto contribution = tutti::contributes::difference;
  static constexpr auto update = tutti::updates_at::owner;
  static constexpr auto carrier = tutti::carried_by::placement;
  static constexpr auto repeats = tutti::determinism::none;

  int buffer = 10;

  constexpr int quorum(int n) const { return std::min(buffer, n); }
  constexpr int lead() const { return tutti::unbounded; }
  double worth(int late) const { return 1 / std::sqrt(1.0 + late); }
};

static_assert(tutti::sync_policy<fedbuff>);

struct report {
  double difference;
  int started_from; ///< the server's version
};

double train_on(const fedbuff& policy, const std::vector<report>& in_order_of_arrival,
                int clients) {
  double parameter = 0, buffered = 0;
  int version = 0, held = 0;
  for (const auto& r : in_order_of_arrival) {
    buffered += policy.worth(version - r.started_from) * r.difference;
    if (++held < policy.quorum(clients)) continue;
    parameter += buffered / held;
    buffered = held = 0;
    ++version;
  }
  return parameter;
}

} // namespace

BOOST_AUTO_TEST_CASE(fedbuff_weighs_reports_by_their_staleness) {
  const fedbuff policy{{}, 2};
  BOOST_CHECK_EQUAL(policy.quorum(100), 2);
  BOOST_CHECK_EQUAL(policy.quorum(1), 1);
  BOOST_CHECK_EQUAL(policy.worth(3), .5);
  BOOST_CHECK(tutti::check_sync_policy(policy));

  // Two reports of version 0; then one of version 1, and one of version 0 that is one step late.
  const double result = train_on(policy, {{1, 0}, {3, 0}, {1, 1}, {2, 0}}, 100);

  BOOST_CHECK_CLOSE(result, (1 + 3) / 2. + (1 + 2 / std::sqrt(2.)) / 2, 1e-10);
}

BOOST_AUTO_TEST_SUITE_END()
