// FedBuff: clients train and report whenever they are done; the server takes a step with every K
// reports, each worth less the staler the model it started from (Nguyen et al., "Federated learning
// with buffered asynchronous aggregation", AISTATS 2022). A closing rule beside that of backup
// workers.
#include "bound_by_hand.hpp"
#include "closing_rules.hpp"

#include <boost/test/unit_test.hpp>

#include <cmath>
#include <memory>
#include <vector>

BOOST_AUTO_TEST_SUITE(concepts)

namespace {

/// Everybody goes on at once; what came counts 1 / sqrt(1 + staleness).
class buffered {
public:
  explicit buffered(int buffer) : buffer_{buffer} {}
  double takes(int /*worker*/, std::int64_t version) {
    ++held_;
    return 1 / std::sqrt(1.0 + double(version_ - version));
  }
  bool closes() {
    if (held_ < buffer_) return false;
    held_ = 0;
    ++version_;
    return true;
  }
  bool lets_go(int /*worker*/) const { return true; }
  std::int64_t version() const { return version_; }

private:
  int buffer_, held_ = 0;
  std::int64_t version_ = 0;
};
static_assert(concepts::closing_rule<buffered>);

struct buffering {
  using part = tutti::sync_part;
  static constexpr auto carrier = tutti::carried_by::placement;
  static constexpr auto repeats = tutti::determinism::none;
};
static_assert(tutti::sync_policy<buffering>);

} // namespace

// Two reports of version 0; then one of version 1, and one of version 0 that is one step late.
BOOST_AUTO_TEST_CASE(fedbuff_weighs_reports_by_their_staleness) {
  buffered rule{2};
  BOOST_CHECK(rule.takes(1, 0) == 1 && !rule.closes());
  BOOST_CHECK(rule.takes(2, 0) == 1 && rule.closes() && rule.version() == 1);
  BOOST_CHECK(rule.takes(1, 1) == 1 && !rule.closes());
  BOOST_CHECK_CLOSE(rule.takes(2, 0), 1 / std::sqrt(2.), 1e-10);
  BOOST_CHECK(rule.closes() && rule.version() == 2 && rule.lets_go(2));
}

BOOST_AUTO_TEST_CASE(a_trainer_runs_on_a_buffering_carrier) {
  constexpr int workers = 3, pushes = 20;
  concepts::one_server<buffered> server{buffered{4}, workers};
  std::vector<float> ends(workers + 1);
  tutti::threads::run(workers + 1, [&](auto& world) {
    const buffering policy;
    std::vector<float> values(2);
    const std::vector<float> ones(2, 1.0f);
    auto trainer = concepts::bound_by_hand(
        world, policy, values, tutti::sgd{.learning_rate = 1}, true,
        [&](auto parts) -> std::unique_ptr<tutti::carrier<float>> {
          return std::make_unique<concepts::served_by_rule<buffered>>(server, world.rank(), parts);
        });
    if (trainer.role() == tutti::role::server) trainer.serve();
    else
      for (int step = 0; step < pushes; ++step) trainer.step(ones);
    trainer.finalize();
    ends[std::size_t(world.rank())] = values[1];
  });
  BOOST_CHECK_EQUAL(server.rule.version(), workers * pushes / 4);
  BOOST_CHECK_EQUAL(server.used, workers * pushes);
  for (const float end : ends) // each step is worth at most one
    BOOST_CHECK(end == ends[0] && end < 0 && end >= -float(workers * pushes) / 4);
}

BOOST_AUTO_TEST_SUITE_END()
