// Backup workers: of n workers the n - b fastest close a step, the others' gradients are dropped
// (Chen, Pan, Monga, Bengio, Jozefowicz, "Revisiting distributed synchronous SGD", 2016).
#include "bound_by_hand.hpp"
#include "closing_rules.hpp"

#include <boost/test/unit_test.hpp>

#include <memory>
#include <mutex>
#include <vector>

BOOST_AUTO_TEST_SUITE(concepts)

namespace {

/// A policy with servers; which of the rules closes a step is no answer yet.
struct at_a_server {
  using part = tutti::sync_part;
  static constexpr auto carrier = tutti::carried_by::placement;
  static constexpr auto repeats = tutti::determinism::none;
};
static_assert(tutti::sync_policy<at_a_server>);

/// The n - spare gradients that come first count, if they are of the step that is open.
class quorum {
public:
  quorum(int workers, int spare) : needed_{workers - spare}, pushed_(std::size_t(workers) + 1, -1) {}
  double takes(int worker, std::int64_t version) {
    pushed_[std::size_t(worker)] = version;
    if (version != version_) return 0;
    ++here_;
    return 1;
  }
  bool closes() {
    if (here_ < needed_) return false;
    here_ = 0;
    ++version_;
    return true;
  }
  /// Who has pushed waits for its step to close; who came too late does not.
  bool lets_go(int worker) const { return pushed_[std::size_t(worker)] < version_; }
  std::int64_t version() const { return version_; }

private:
  int needed_, here_ = 0;
  std::int64_t version_ = 0;
  std::vector<std::int64_t> pushed_; ///< of each worker: the version its last gradient was of
};
static_assert(concepts::closing_rule<quorum>);

} // namespace

BOOST_AUTO_TEST_CASE(a_quorum_is_pure_state) {
  quorum rule{3, 1};
  BOOST_CHECK(rule.takes(2, 0) == 1 && !rule.closes() && !rule.lets_go(2));
  BOOST_CHECK(rule.takes(0, 0) == 1 && rule.closes());
  BOOST_CHECK(rule.lets_go(0) && rule.lets_go(2) && rule.version() == 1);
  BOOST_CHECK(rule.takes(1, 0) == 0 && !rule.closes() && rule.lets_go(1)); // too late
  BOOST_CHECK(rule.takes(1, 1) == 1 && !rule.lets_go(1));
}

// Every gradient is one, so a step moves the parameters by one whoever closes it.
BOOST_AUTO_TEST_CASE(a_trainer_runs_on_a_carrier_with_a_closing_rule) {
  for (const int spare : {0, 1}) {
    constexpr int workers = 3, pushes = 12;
    concepts::one_server<quorum> server{quorum{workers, spare}, workers};
    std::vector<float> ends(workers + 1);
    tutti::threads::run(workers + 1, [&](auto& world) {
      const at_a_server policy;
      std::vector<float> values(6);
      const std::vector<float> ones(6, 1.0f);
      auto trainer = concepts::bound_by_hand(
          world, policy, values, tutti::sgd{.learning_rate = 1}, true,
          [&](auto parts) -> std::unique_ptr<tutti::carrier<float>> {
            return std::make_unique<concepts::served_by_rule<quorum>>(server, world.rank(), parts);
          });
      // Who is spare stays away until the others have made their steps.
      if (trainer.role() == tutti::role::server) {
        trainer.serve();
      } else if (world.rank() > spare) {
        for (int step = 0; step < pushes; ++step) trainer.step(ones);
      } else {
        std::unique_lock lock{server.mutex};
        server.changed.wait(lock,
                            [&] { return server.rule.version() == pushes && !server.closed; });
        lock.unlock();
        trainer.step(ones); // of version 0: too late
      }
      trainer.finalize();
      ends[std::size_t(world.rank())] = values[5];
    });
    BOOST_CHECK_EQUAL(server.rule.version(), pushes);
    BOOST_CHECK_EQUAL(server.used, (workers - spare) * pushes);
    BOOST_CHECK_EQUAL(server.dropped, spare);
    BOOST_CHECK((ends == std::vector<float>(workers + 1, -float(pushes))));
  }
}

BOOST_AUTO_TEST_SUITE_END()
