// Random training runs of every policy, compared step by step with plain loops over all replicas.
#include "by_others/training_run.hpp"
#include "sync/streaming.hpp"

BOOST_AUTO_TEST_SUITE(trainer_as_others_test)

using namespace plain;

namespace {

using trial::streaming;

/// Parameters are averaged less and less often.
struct slowing {
  using part = tutti::sync_part;
  static constexpr tutti::contributes contribution = tutti::contributes::parameters;
  int settled = 4;
  int period(std::int64_t step) const noexcept { return step <= settled ? 1 : 3; }
};

const rule outer_rule{.rate = 0.7, .momentum = 0.9, .nesterov = true};
const rule inner_sgd{.rate = 0.1, .momentum = 0.9, .decay = 0.05};
const rule inner_adamw{.adam = true, .rate = 0.05, .decay = 0.1};

template <class Policy>
void runs_of(const std::string& what, const Policy& policy, const plan& drawn_from,
             std::vector<int> counts = {1, 2, 3, 5}) {
  for (const int ranks : counts)
    on_threads(ranks, [&](auto& comm, report& r) {
      plan how = drawn_from;
      how.ranks = ranks;
      if (how.seed > 1) how.resumed.clear(); // a flush of the disk takes longer than everything else
      if (how.inner.adam) {
        tutti::strategy s{comm, policy, tutti::mean{}};
        follow(comm, r, what + ", adamw", s, adamw_of(how.inner), how);
      } else {
        tutti::strategy s{comm, policy, tutti::weighted_mean{}};
        follow(comm, r, what + ", sgd", s, sgd_of(how.inner), how);
      }
    });
}

/// A policy on its own, and with what may be added to it.
template <class Policy> void variations(const std::string& what, const Policy& policy, plan how) {
  const bool gradients = how.contribution == tutti::contributes::gradient;
  for (const bool adam : {false, true}) {
    how.inner = adam ? inner_adamw : inner_sgd;
    how.weighted = !adam;
    for (how.seed = 1; how.seed <= 3; ++how.seed) {
      plan plainly = how;
      runs_of(what, policy, plainly);
      plan more = how;
      more.clip = 0.6;
      more.rate = [](std::int64_t s) { return 0.02 * double(s % 5 + 1); };
      more.rate_of = {0.5, 2, 1};
      more.decay_of = {0, 1, 3};
      more.resumed = {3, 8};
      more.finalized = {5, 7};
      runs_of(what + ", with more", policy, more);
      plan thawed = how;
      thawed.frozen_until = {0, 5, 1000};
      thawed.clip = 0.6;
      thawed.resumed = {3};
      thawed.finalized = {5, 6};
      runs_of(what + ", frozen", policy, thawed);
      plan failing = how;
      failing.clip = 0.6;
      failing.failed = {1, 2, 4, 9};
      failing.skips = true;
      failing.resumed = {3, 8};
      runs_of(what + ", skipping", policy, failing);
      failing.skips = false;
      if (gradients) runs_of(what + ", failing", policy, failing);
      plan joined = how;
      joined.last = {9, 12, 4, 7, 12};
      for (int& last : joined.last) last = last * how.steps / 12;
      joined.resumed = {1, 3};
      runs_of(what + ", joined", policy, joined, {2, 3, 5});
      joined.by_world = true;
      runs_of(what + ", by world", policy, joined, {2, 3, 5});
    }
  }
}

} // namespace

BOOST_AUTO_TEST_CASE(synchronous_and_sharded) {
  variations("synchronous", tutti::synchronous{}, {});
  variations("sharded", tutti::sharded{}, {});
}

BOOST_AUTO_TEST_CASE(averaged_parameters) {
  plan how{.contribution = tutti::contributes::parameters};
  how.period = [](std::int64_t) { return 3; };
  variations("local_sgd", tutti::local_sgd{3}, how);
  how.period = [](std::int64_t s) { return slowing{}.period(s); };
  variations("slowing", slowing{}, how);
}

BOOST_AUTO_TEST_CASE(outer_optimizers) {
  plan how{.contribution = tutti::contributes::difference, .has_outer = true, .outer = outer_rule};
  how.period = [](std::int64_t) { return 3; };
  variations("diloco", tutti::diloco{3}, how);
  variations("sharded_diloco", tutti::sharded_diloco{3}, how);
}

BOOST_AUTO_TEST_CASE(fragments_in_turn) {
  plan how{.contribution = tutti::contributes::difference, .has_outer = true, .outer = outer_rule};
  how.steps = 24;
  how.sizes = {4, 4, 4};
  how.period = [](std::int64_t) { return 2; };
  how.fragments = 3;
  variations("fragments", streaming{.delay = 0, .keep = 0}, how);
  how.delay = 1;
  variations("fragments, late", streaming{.keep = 0}, how);
  how.keep = 0.5;
  variations("fragments, late and kept", streaming{}, how);
}

// reference.md: after finalize there are "the same parameters on every rank", and freeze is refused only
// "while replicas differ".
BOOST_AUTO_TEST_CASE(frozen_behind_finalize_where_replicas_keep_of_their_own) {
  on_threads(2, [](auto& comm, report& r) {
    std::vector<double> x(2, 1.0), y(2, 1.0), g(2, 1.0 + comm.rank());
    std::vector<tutti::tensor<double>> model;
    model.push_back({"x", x, {}});
    model.push_back({"y", y, {}});
    std::vector<tutti::tensor<const double>> gradients;
    gradients.push_back({"x", g, {}});
    gradients.push_back({"y", g, {}});
    tutti::strategy s{comm, streaming{.period = 2, .fragments = 1, .delay = 1, .keep = 0.5}};
    auto trainer = s.bind(model, tutti::sgd{.learning_rate = 1});
    for (int step = 0; step < 5; ++step) trainer.step(gradients);
    trainer.finalize();
    std::string refused;
    try {
      trainer.freeze("y", true);
    } catch (const tutti::error& e) {
      refused = e.what();
    }
    r.check(refused.empty(), refused);
    trainer.finalize();
  });
}

// A step that was skipped has taught a replica nothing: what it weighs does not count when replicas are averaged.
BOOST_AUTO_TEST_CASE(weights_of_skipped_steps) {
  on_threads(2, [](auto& comm, report& r) {
    std::vector<double> x(1, 0.0), g(1);
    std::vector<tutti::tensor<double>> model;
    model.push_back({"x", x, {}});
    std::vector<tutti::tensor<const double>> gradients;
    gradients.push_back({"x", g, {}});
    tutti::strategy s{comm, tutti::local_sgd{.period = 2}, tutti::weighted_mean{},
                      tutti::training_options{.non_finite = tutti::non_finite::skip}};
    auto trainer = s.bind(model, tutti::sgd{.learning_rate = 1});
    const bool first = comm.rank() == 0;
    g[0] = first ? std::numeric_limits<double>::quiet_NaN() : 0;
    trainer.step(gradients, first ? 9.0 : 1.0);
    g[0] = first ? 6 : 0;
    trainer.step(gradients, 1.0);
    r.check(std::abs(x[0] + 2) < 1e-12, "-6 of weight 1 and 0 of weight 2 became " + std::to_string(x[0]));
    trainer.finalize();
  });
}

BOOST_AUTO_TEST_SUITE_END()
