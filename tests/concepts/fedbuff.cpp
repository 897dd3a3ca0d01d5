// FedBuff: clients train and report whenever they are done; the server takes a step with every K
// reports, each worth less the staler the model it started from (Nguyen et al., "Federated learning
// with buffered asynchronous aggregation", AISTATS 2022). A closing rule of one's own.
#include <tutti/tutti.hpp>

#include <boost/test/unit_test.hpp>

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

BOOST_AUTO_TEST_SUITE(concepts)

namespace {

/// Everybody goes on at once; what came counts 1 / sqrt(1 + staleness). What is left at the end makes a step, too.
class buffered {
public:
  buffered(std::span<const std::int64_t> clocks, int buffer)
      : buffer_{buffer}, workers_{int(clocks.size()) - int(std::count(clocks.begin(), clocks.end(), tutti::no_worker))},
        had_(clocks.size()) {}
  double takes(int worker, std::int64_t /*clock*/, tutti::deadline /*now*/) {
    ++held_;
    return 1 / std::sqrt(1.0 + double(version_ - had_[std::size_t(worker)]));
  }
  bool closes(tutti::deadline /*now*/) {
    if (held_ < (workers_ > 0 ? buffer_ : 1)) return false;
    made_ = held_;
    held_ = 0;
    ++version_;
    return true;
  }
  bool lets_go(int worker) {
    had_[std::size_t(worker)] = version_;
    return true;
  }
  void ends(int /*worker*/) { --workers_; }
  double shares() const { return made_; }
  int version() const { return version_; }

private:
  int buffer_, workers_, held_ = 0, made_ = 0, version_ = 0;
  std::vector<int> had_; ///< the version that each worker went on from
};
static_assert(tutti::closing_rule<buffered>);

struct buffering {
  using part = tutti::sync_part;
  static constexpr bool owners = true;
  static constexpr auto carrier = tutti::carried_by::placement;
  static constexpr auto repeats = tutti::determinism::none;
  static constexpr bool together = true;
  int buffer = 4;
  auto closing(std::span<const std::int64_t> clocks) const { return buffered{clocks, buffer}; }
};
static_assert(tutti::sync_policy<buffering>);

} // namespace

// Two reports of version 0; then one of version 1, and one of version 0 that is one step late.
BOOST_AUTO_TEST_CASE(fedbuff_weighs_reports_by_their_staleness) {
  buffered rule{std::vector<std::int64_t>{tutti::no_worker, 0, 0, 0}, 2};
  constexpr tutti::deadline now{};
  BOOST_CHECK(rule.takes(1, 1, now) == 1 && !rule.closes(now) && rule.lets_go(1));
  BOOST_CHECK(rule.takes(2, 1, now) == 1 && rule.closes(now) && rule.version() == 1 && rule.lets_go(2));
  BOOST_CHECK(rule.takes(2, 2, now) == 1 && !rule.closes(now));
  BOOST_CHECK_CLOSE(rule.takes(3, 1, now), 1 / std::sqrt(2.), 1e-10);
  BOOST_CHECK(rule.closes(now) && rule.version() == 2 && rule.shares() == 2);
}

// Reports of one; a step is worth at most one, and reports of workers that have gone on are put together.
BOOST_AUTO_TEST_CASE(a_trainer_runs_by_a_rule_of_ones_own) {
  for (const int buffer : {1, 4, 7}) {
    constexpr int workers = 3, pushes = 20;
    std::vector<float> ends(workers + 1);
    tutti::threads::run(workers + 1, [&](auto& world) {
      std::vector<float> values(2);
      const std::vector<float> ones(2, 1.0f);
      tutti::strategy strategy{world, tutti::star{.servers = 1, .dedicated = true}, tutti::mean{},
                               buffering{.buffer = buffer}};
      auto trainer = strategy.bind(values, tutti::sgd{.learning_rate = 1});
      if (trainer.role() == tutti::role::server)
        trainer.serve();
      else
        for (int step = 0; step < pushes; ++step) trainer.step(ones);
      trainer.finalize();
      ends[std::size_t(world.rank())] = values[1];
    });
    const int steps = (workers * pushes + buffer - 1) / buffer;
    for (const float end : ends)
      BOOST_CHECK_MESSAGE(end == ends[0] && end < 0 && end >= -float(steps), buffer << ": " << end);
  }
}

BOOST_AUTO_TEST_SUITE_END()
