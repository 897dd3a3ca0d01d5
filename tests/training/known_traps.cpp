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

BOOST_AUTO_TEST_SUITE_END()
