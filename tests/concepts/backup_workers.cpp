// Backup workers: of n workers the n - b fastest close a step, the others' gradients are dropped
// (Chen, Pan, Monga, Bengio, Jozefowicz, "Revisiting distributed synchronous SGD", 2016).
#include <tutti/core/random.hpp>
#include <tutti/sync/laws.hpp>
#include <tutti/sync/sync_policy.hpp>

#include <boost/test/unit_test.hpp>

#include <algorithm>
#include <vector>

BOOST_AUTO_TEST_SUITE(concepts)

namespace {

struct backup_workers : tutti::sync_defaults {
  static constexpr auto update = tutti::updates_at::owner;
  static constexpr auto carrier = tutti::carried_by::placement;
  static constexpr auto repeats = tutti::determinism::none;

  int spare = 1;

  constexpr int quorum(int n) const { return n > spare ? n - spare : 1; }
  constexpr int lead() const { return tutti::unbounded; } // over a worker that never comes in time
};

static_assert(tutti::sync_policy<backup_workers>);
static_assert(backup_workers{{}, 2}.quorum(5) == 3 && backup_workers{{}, 9}.quorum(3) == 1);
static_assert(backup_workers{}.worth(0) == 1 && backup_workers{}.worth(1) == 0);

struct gradient {
  double arrives;
  std::int64_t version; ///< of the parameters it was computed from
  int worker;
};

struct tally {
  int used = 0, dropped = 0;
};

/// A server and n workers in virtual time, until `steps` steps are closed.
tally serve(const backup_workers& policy, int n, int steps) {
  tutti::random_stream draw{5};
  std::vector<gradient> coming;
  for (int w = 0; w < n; ++w) coming.push_back({1 + draw.uniform(), 0, w});
  tally count;
  std::int64_t version = 0;
  int collected = 0;
  while (version < steps) {
    const auto next = std::min_element(coming.begin(), coming.end(),
                                       [](auto& a, auto& b) { return a.arrives < b.arrives; });
    const bool counts = policy.worth(int(version - next->version)) > 0;
    ++(counts ? count.used : count.dropped);
    collected += counts;
    const bool closes = collected == policy.quorum(n);
    if (closes) {
      ++version;
      collected = 0;
    }
    for (auto& g : coming) // who is done waits for the step to close, and starts from its result
      if (&g == &*next || (closes && g.arrives > 1e8))
        g = {closes || !counts ? next->arrives + 1 + draw.uniform() : 1e9, version, g.worker};
  }
  return count;
}

} // namespace

BOOST_AUTO_TEST_CASE(backup_workers_close_a_step_without_the_slowest) {
  const tally with = serve({{}, 2}, 7, 100), without = serve({{}, 0}, 7, 100);

  BOOST_CHECK_EQUAL(with.used, 5 * 100);
  BOOST_CHECK(with.dropped > 0);
  BOOST_CHECK_EQUAL(without.used, 7 * 100);
  BOOST_CHECK_EQUAL(without.dropped, 0);
  BOOST_CHECK(tutti::check_sync_policy(backup_workers{{}, 2}));
}

BOOST_AUTO_TEST_SUITE_END()
