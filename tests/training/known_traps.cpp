// What others have shipped wrong, in numbers worked out by hand: the sign and the form of outer steps, periods that are
// counted a tensor, and progress that is thrown away.
#include "training/small.hpp"

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

BOOST_AUTO_TEST_SUITE(known_traps)

namespace {

using small_model::by_one;
using small_model::expect_all;
using small_model::floats;
using small_model::must_equal;
using small_model::on;

/// Parameters that are averaged every 3 steps, and come 2 later.
struct late_averaging {
  using part = tutti::sync_part;
  static constexpr tutti::contributes contribution = tutti::contributes::parameters;
  static constexpr int period = 3, delay = 2;
  double keep = 0;
};

} // namespace

// All begin at 1 and come down by .3 a round, in the mean.
BOOST_AUTO_TEST_CASE(outer_steps_follow_the_workers) {
  const auto expect = [](const char* what, const tutti::sgd& outer, const floats& wanted) {
    const auto got = on(2, [&](auto& world) {
      floats x{1}, all;
      tutti::strategy strategy{world, tutti::diloco{.period = 1, .outer = outer}};
      auto trainer = strategy.bind(x, by_one);
      for (int round = 0; round < 3; ++round) {
        trainer.step(floats{world.rank() == 0 ? .1f : .5f});
        all.push_back(x[0]);
      }
      return all;
    });
    expect_all(what, got, wanted, 1e-5);
  };
  expect("plain", {.learning_rate = .7f}, {.79f, .58f, .37f});
  expect("heavy ball", {.learning_rate = .7f, .momentum = .9f}, {.79f, .391f, -.1781f});
  expect("Nesterov", {.learning_rate = .7f, .momentum = .9f, .nesterov = true}, {.601f, .0319f, -.69029f});
}

// Rank r comes down by r a step; all meet after steps 4, 8 and 12, however the model is cut.
BOOST_AUTO_TEST_CASE(a_period_is_counted_in_steps) {
  for (const std::size_t count : {1u, 3u, 7u})
    for (const std::size_t bytes : {std::size_t{8}, std::size_t{1} << 20})
      on(2, [&](auto& world) {
        small_model::tensors<> m;
        for (std::size_t k = 0; k < count; ++k) {
          m.names.push_back("t" + std::to_string(k));
          m.values.push_back(floats(3));
        }
        const std::vector<floats> g(count, floats(3, float(world.rank())));
        tutti::strategy strategy{world, tutti::local_sgd{.period = 4}};
        auto trainer = strategy.bind(m.parameters(), by_one, tutti::training_options{.bucket_bytes = bytes});
        for (int step = 1; step <= 12; ++step) {
          trainer.step(small_model::gradients(g));
          const float wanted = float(-2 * (step / 4) - world.rank() * (step % 4));
          for (const float v : m.flat()) must_equal(v, wanted, "a value");
        }
        return 0;
      });
}

// At 2 when they offer it, at 1.8 when it comes back as it was.
BOOST_AUTO_TEST_CASE(what_is_learnt_meanwhile_is_kept_as_the_policy_says) {
  const auto run = [](double keep) {
    return on(2, [&](auto& world) {
      floats x{2.3f};
      tutti::strategy strategy{world, late_averaging{.keep = keep}};
      auto trainer = strategy.bind(x, by_one);
      for (int step = 0; step < 5; ++step) trainer.step(floats{.1f});
      return x;
    });
  };
  expect_all("keep 1", run(1), {1.8f}, 1e-6);
  expect_all("keep 0", run(0), {2}, 1e-6);
  expect_all("keep .25", run(.25), {1.95f}, 1e-6);
}

// Together to step 10, then every 4: at 14, 18 and 22. A phase that began anew with a resumed run would agree at every
// step of it.
BOOST_AUTO_TEST_CASE(a_phase_that_is_over_stays_over_when_a_run_is_resumed) {
  const auto run = [](std::int64_t saved_at) {
    return on(2, [&](auto& world) {
      floats x{1}, y{-5}, all;
      tutti::strategy strategy{world, tutti::post_local_sgd{.first = 10, .later = 4}};
      auto begun = strategy.bind(x, by_one), resumed = strategy.bind(y, by_one);
      for (int step = 1; step <= 24; ++step) {
        const floats g{.1f * float(step) + float(world.rank())};
        (step <= saved_at ? begun : resumed).step(g);
        all.push_back(step <= saved_at ? x[0] : y[0]);
        if (step != saved_at) continue;
        auto state = small_model::state_of(begun);
        state.begin_reading();
        resumed.state(state);
      }
      return all;
    });
  };
  const auto unbroken = run(24);
  for (const std::int64_t at : {9, 10, 11, 14, 16, 23}) BOOST_CHECK_MESSAGE(run(at) == unbroken, "saved at " << at);
  for (int step = 1; step <= 24; ++step) {
    const bool agrees = step <= 10 || step == 14 || step == 18 || step == 22;
    BOOST_CHECK_MESSAGE((unbroken[0][std::size_t(step - 1)] == unbroken[1][std::size_t(step - 1)]) == agrees,
                        "after step " << step);
  }
}

// Server 0 has no step left and waits for the others, 100 steps long; then 8 workers push 2,000 times each.
BOOST_AUTO_TEST_CASE(every_push_is_added_however_many_and_whoever_has_finished) {
  const auto sums = [](int ranks, auto&& steps_of) {
    return on(ranks, [&](auto& world) {
      floats x(3);
      tutti::strategy strategy{world, tutti::sum{}, tutti::asynchronous{.staleness = tutti::unbounded}};
      auto trainer = strategy.bind(x, by_one);
      for (int k = 0; k < steps_of(world.rank()); ++k) trainer.step(floats(3, -1));
      trainer.finalize();
      return x;
    });
  };
  expect_all("rank 0 first", sums(3, [](int r) { return r == 0 ? 1 : 101; }), floats(3, 203));
  expect_all("8 workers", sums(8, [](int) { return 2000; }), floats(3, 16000));
}

BOOST_AUTO_TEST_SUITE_END()
