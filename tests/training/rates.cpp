// Learning-rate schedules in training: functions of the step that is applied, whatever a step is
// made of.
//
// Their own values, and their ends, are tests of tests/optimizers/schedules.cpp; codecs that round by chance go on in
// coded_training.cpp. What belongs to files - a state that only one rank has - is tested with checkpoints.
#include "training/small.hpp"

#include <cstddef>
#include <string>
#include <utility>
#include <vector>

BOOST_AUTO_TEST_SUITE(rates)

namespace {

using small_model::by_one;
using small_model::expect_all;
using small_model::floats;
using small_model::memory;
using small_model::on;
using small_model::state_of;

template <class Trainer, class Schedule> void set_rate(Trainer& trainer, const Schedule& schedule) {
  trainer.optimizer().learning_rate = schedule(trainer.steps() - trainer.skipped() + 1);
}

/// The rates of five steps, each of `pieces` micro-batches of gradient 1.
template <class... Parts>
std::vector<floats> warming_up(int ranks, int pieces, const Parts&... parts) {
  return on(ranks, [&](auto& world) {
    floats w(1), rates;
    tutti::strategy strategy{world, parts...};
    auto trainer = strategy.bind(w, by_one);
    for (int step = 0; step < 5; ++step) {
      const float before = w[0];
      for (int k = 0; k < pieces; ++k) {
        set_rate(trainer, tutti::constant_rate{.peak = 1, .warm_up = 4});
        trainer.accumulate(floats{1});
      }
      trainer.step();
      rates.push_back(before - w[0]);
    }
    return rates;
  });
}

} // namespace

BOOST_AUTO_TEST_CASE(a_schedule_moves_once_a_step) {
  const floats wanted{.25f, .5f, .75f, 1, 1};
  for (const int ranks : {1, 2})
    for (const int pieces : {1, 4}) {
      expect_all("synchronous", warming_up(ranks, pieces), wanted);
      expect_all("sharded", warming_up(ranks, pieces, tutti::sharded{}), wanted);
      expect_all("local_sgd", warming_up(ranks, pieces, tutti::local_sgd{2}), wanted);
    }
}

// The rate is the number of the step: w is -n (n + 1) / 2 after n of them, whether the state went
// to another trainer after three or not, and right behind a skipped step.
BOOST_AUTO_TEST_CASE(a_state_is_that_between_two_steps) {
  const auto run = [](bool skips_first, const auto&... parts) {
    return on(2, [&](auto& world) {
      floats w(1), v(1);
      tutti::strategy strategy{
          world, tutti::training_options{.non_finite = tutti::non_finite::skip}, parts...};
      const auto train = [&](auto& trainer, int steps) {
        for (int k = 0; k < steps; ++k) {
          set_rate(trainer, [](std::int64_t step) { return double(step); });
          trainer.step(floats{1});
        }
      };
      auto first = strategy.bind(w, by_one);
      train(first, 3);
      if (skips_first) first.step(floats{NAN});
      memory saved = state_of(first);
      auto second = strategy.bind(v, by_one);
      saved.begin_reading();
      second.state(saved);
      train(second, 3);
      return v;
    });
  };
  for (const bool skips : {false, true}) {
    expect_all("synchronous", run(skips), {-21});
    expect_all("sharded", run(skips, tutti::sharded{}), {-21});
    expect_all("local_sgd", run(skips, tutti::local_sgd{2}), {-21});
  }
}

// The rate counts in the step after it was set, wherever the update is made.
BOOST_AUTO_TEST_CASE(a_rate_that_is_set_counts_in_the_next_step) {
  const auto run = [](const auto&... parts) {
    return on(3, [&](auto& world) {
      floats w(4);
      tutti::strategy strategy{world, parts...};
      auto trainer = strategy.bind(w, tutti::sgd{.learning_rate = 100});
      trainer.optimizer().learning_rate = 2;
      trainer.step(floats(4, 1));
      return w;
    });
  };
  const floats wanted(4, -2);
  expect_all("synchronous", run(), wanted);
  expect_all("sharded", run(tutti::sharded{}), wanted);
  expect_all("local_sgd", run(tutti::local_sgd{1}), wanted);
  expect_all("diloco", run(tutti::diloco{1, by_one}), wanted);
}

// Replicas would part, and say nothing of it. The step is not made anywhere; when the rates are alike again, training
// goes on from where it was.
BOOST_AUTO_TEST_CASE(a_rate_that_is_set_on_one_rank_alone_is_an_error_on_every_rank) {
  const auto run = [](const auto&... parts) {
    std::vector<std::string> said(3);
    const auto got = on(3, [&](auto& world) {
      floats w(4);
      tutti::strategy strategy{world, parts...};
      auto trainer = strategy.bind(w, tutti::sgd{.learning_rate = 2, .momentum = .5});
      trainer.step(floats(4, 1));
      trainer.optimizer().learning_rate = world.rank() == 2 ? 4 : 1;
      try {
        trainer.step(floats(4, 1));
      } catch (const tutti::error& e) {
        said[std::size_t(world.rank())] = e.what();
      }
      small_model::must_equal(w[0], -2.f, "what a refused step leaves");
      trainer.optimizer().learning_rate = 1;
      trainer.step(floats(4, 1));
      return w;
    });
    small_model::expect_texts("one rank", said, "mismatch on rank");
    small_model::expect_texts("one rank", said, "the optimizer has other numbers on rank 2 than on rank 0");
    expect_all("afterwards", got, floats(4, -3.5f));
  };
  run();
  run(tutti::sharded{});
  run(tutti::ring{});
}

// A rank in join() makes the updates of the others' steps, at the rate that it has.
BOOST_AUTO_TEST_CASE(who_has_joined_follows_the_schedule_of_the_others) {
  const auto run = [](bool follows, const auto&... parts) {
    std::vector<std::string> said(2, "none");
    auto got = on(2, [&](auto& world) {
      floats w(1);
      tutti::strategy strategy{world, parts...};
      auto trainer = strategy.bind(w, by_one);
      const auto next = [&] { set_rate(trainer, [](std::int64_t step) { return double(step); }); };
      try {
        next();
        for (int step = 0; step < (world.rank() == 0 ? 3 : 1); ++step) {
          trainer.step(floats{1});
          next();
        }
        trainer.join([&] {
          if (follows) next();
        });
      } catch (const tutti::error& e) {
        said[std::size_t(world.rank())] = e.what();
      }
      return w;
    });
    return std::pair{said, got};
  };
  for (const auto& [said, got] : {run(true), run(true, tutti::sharded{})}) {
    small_model::expect_texts("it follows", said, "none");
    expect_all("it follows", got, {-6});
  }
  for (const auto& [said, got] : {run(false), run(false, tutti::sharded{})}) {
    small_model::expect_texts("it does not", said, "one that has joined sets them in join(after_each)");
    expect_all("it does not", got, {-3});
  }
}

BOOST_AUTO_TEST_SUITE_END()
