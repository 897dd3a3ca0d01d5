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

/// One report of a client's, by the carrier of rank `rank`.
double after(concepts::served_by_rule<buffered>& client, float report) {
  client.room(0)[0] = report;
  client.offer(0, {});
  client.settle(0);
  return double(client.room(0)[0]);
}

} // namespace

BOOST_AUTO_TEST_CASE(fedbuff_weighs_reports_by_their_staleness) {
  const tutti::place whole{0, 1};
  const auto parts = std::span{&whole, 1};
  concepts::one_server<buffered> server{buffered{2}};
  concepts::served_by_rule<buffered> a{server, 0, parts}, b{server, 1, parts};
  std::vector<float> parameter(1);
  const auto apply = [&](tutti::place, std::span<const float> mean) { parameter[0] += mean[0]; };
  a.attach(parameter, apply);

  after(a, 1);
  const double first = after(a, 3);  // both of version 0: closes
  after(a, 1);                       // of version 1
  const double second = after(b, 2); // of version 0: one step late

  BOOST_CHECK_CLOSE(first, (1 + 3) / 2., 1e-4);
  BOOST_CHECK_CLOSE(second, (1 + 3) / 2. + (1 + 2 / std::sqrt(2.)) / 2, 1e-4);
}

BOOST_AUTO_TEST_CASE(a_trainer_runs_on_a_buffering_carrier) {
  constexpr int ranks = 3, pushes = 20;
  concepts::one_server<buffered> server{buffered{4}};
  tutti::threads::run(ranks, [&](auto& world) {
    const buffering policy;
    std::vector<float> values(2);
    const std::vector<float> ones(2, 1.0f);
    auto trainer = concepts::bound_by_hand(
        world, policy, values, tutti::sgd{.learning_rate = 1}, true,
        [&](auto pieces) -> std::unique_ptr<tutti::carrier<float>> {
          return std::make_unique<concepts::served_by_rule<buffered>>(server, world.rank(), pieces);
        });
    tutti::barrier(world);
    for (int step = 0; step < pushes; ++step) trainer.step(ones);
    tutti::barrier(world);
  });
  BOOST_CHECK_EQUAL(server.rule.version(), ranks * pushes / 4);
  BOOST_CHECK_EQUAL(server.used, ranks * pushes);
}

BOOST_AUTO_TEST_SUITE_END()
