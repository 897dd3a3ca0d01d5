// Replicas that average in pairs: what stays, whom a slow rank holds up, ends, and checkpoints.
#include "training/scratch.hpp"
#include "training/small.hpp"

#include <tutti/training/checkpoint.hpp>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdint>
#include <string>
#include <vector>

BOOST_AUTO_TEST_SUITE(pairwise_policies)

namespace {

using small_model::expect_texts;
using small_model::floats;
using small_model::gradients;
using small_model::on;
using doubles = std::vector<double>;
using namespace std::chrono_literals;

constexpr tutti::pairwise_averaging pairs{.seed = 3};

} // namespace

// Meetings move nothing out of the sum of all replicas: the mean of all ends where all gradients lead, each once.
BOOST_AUTO_TEST_CASE(no_gradient_is_lost_and_none_counts_twice) {
  for (const int ranks : {1, 2, 3, 5}) {
    const auto check = [&](const char* name, const auto& graph, const std::vector<int>& steps) {
      double all = 0;
      for (int r = 0; r < ranks; ++r) all += double(steps[std::size_t(r)]) * (r + 1) / ranks;
      const auto got = on(ranks, [&](auto& world) {
        doubles x(6, world.rank() == 0 ? 0.0 : 7.0);
        tutti::strategy strategy{world, pairs, graph};
        auto trainer = strategy.bind(x, small_model::by_one);
        for (int epoch = 0; epoch < 2; ++epoch) { // finalize() may come in the middle
          for (int k = 0; k < steps[std::size_t(world.rank())]; ++k) trainer.step(doubles(6, world.rank() + 1));
          trainer.finalize();
        }
        return x;
      });
      for (const doubles& x : got)
        for (const double v : x)
          BOOST_CHECK_MESSAGE(std::abs(v + 2 * all) < 1e-9, name << " on " << ranks << " ranks: " << v << ", not " << -2 * all);
      for (const doubles& x : got) BOOST_CHECK(x == got[0]);
    };
    std::vector<int> steps(std::size_t(ranks), 40);
    check("complete_graph", tutti::complete_graph{}, steps);
    check("ring_graph", tutti::ring_graph{}, steps);
    for (std::size_t r = 0; r < steps.size(); ++r) steps[r] = int(r * r * 5); // the first has none
    check("uneven", tutti::complete_graph{}, steps);
  }
}

// Averages bring replicas together: without gradients all come to the mean.
BOOST_AUTO_TEST_CASE(replicas_meet) {
  const auto far = on(4, [](auto& world) {
    doubles x(3);
    tutti::strategy strategy{world, pairs};
    auto trainer = strategy.bind(x, small_model::by_one);
    trainer.step(doubles(3, 10.0 * world.rank()));
    for (int k = 0; k < 60; ++k) {
      tutti::barrier(world); // in step, as nobody else makes them wait
      trainer.step(doubles(3, 0.0));
    }
    const double before = x[0];
    trainer.finalize();
    return doubles{before, x[0]};
  });
  for (const doubles& x : far) {
    BOOST_CHECK_SMALL(x[0] + 15, 1.0);
    BOOST_CHECK_SMALL(x[1] + 15, 1e-12);
  }
}

// A rank that makes one step while the others make many holds them up for nothing but its answers.
BOOST_AUTO_TEST_CASE(a_slow_rank_holds_up_nobody) {
  const auto got = on(3, [](auto& world) {
    floats x(2);
    tutti::strategy strategy{world, pairs};
    auto trainer = strategy.bind(x, small_model::by_one);
    if (world.rank() != 0)
      for (int k = 0; k < 50; ++k) trainer.step(floats(2, 1.f));
    tutti::barrier(world); // rank 0 answers from within it
    if (world.rank() == 0) trainer.step(floats(2, 1.f));
    trainer.finalize();
    return double(x[0]);
  });
  for (const double v : got) BOOST_CHECK_SMALL(v + 101. / 3, 1e-4);
}

BOOST_AUTO_TEST_CASE(one_rank_is_the_plain_optimizer) {
  const auto run = [](const auto& policy) {
    floats x(5, 3), out;
    tutti::self world;
    tutti::strategy strategy{world, policy};
    auto trainer = strategy.bind(x, tutti::sgd{.learning_rate = .7f, .momentum = .9f});
    for (int step = 0; step < 6; ++step) {
      floats g;
      for (const float v : x) g.push_back(v / 3 - 1);
      trainer.step(g);
      out.insert(out.end(), x.begin(), x.end());
    }
    trainer.finalize();
    out.insert(out.end(), x.begin(), x.end());
    return out;
  };
  BOOST_CHECK(run(pairs) == run(tutti::synchronous{}));
}

// Saved between two steps of all ranks and loaded: what each has, whom it asks next, and its optimizer's slots.
BOOST_AUTO_TEST_CASE(each_rank_goes_on_with_its_own) {
  const scratch folder;
  const auto told = on(3, [&](auto& world) {
    const auto step = [&](auto& trainer, int k) { // one after the other, so that the order is always the same
      for (int turn = 0; turn < world.size(); ++turn) {
        tutti::barrier(world);
        if (turn == world.rank()) {
          trainer.step(floats{float(k), float(world.rank())});
          trainer.accumulate(floats{0, 0});
          trainer.step();
        }
        tutti::barrier(world);
      }
    };
    floats x(2), y(2);
    tutti::strategy strategy{world, pairs};
    auto trainer = strategy.bind(x, tutti::adam{.learning_rate = .1f});
    for (int k = 0; k < 5; ++k) step(trainer, k);
    trainer.save(folder / "x");
    auto other = strategy.bind(y, tutti::adam{.learning_rate = .1f});
    other.load(folder / "x");
    other.save(folder / "y");
    return other.steps();
  });
  for (const std::int64_t steps : told) BOOST_CHECK_EQUAL(steps, 10);
  for (const char* name : {"model.safetensors", "state.safetensors"})
    BOOST_CHECK_MESSAGE(file_bytes(folder / (std::string{"x/"} + name)) == file_bytes(folder / (std::string{"y/"} + name)),
                        "another " << name);
}

BOOST_AUTO_TEST_CASE(who_leaves_without_finalize_is_named) {
  std::vector<std::string> said(3, "none");
  try {
    tutti::threads::run(3, [&](auto& world) {
      floats x(2);
      tutti::strategy strategy{world, pairs, tutti::options{.timeout = 20s}};
      auto trainer = strategy.bind(x, small_model::by_one);
      tutti::barrier(world);
      if (world.rank() == 2) return;
      try {
        for (int k = 0; k < 1000; ++k) trainer.step(floats(2, 1.f));
        trainer.finalize();
      } catch (const tutti::error& e) {
        said[std::size_t(world.rank())] = e.what();
        throw;
      }
    });
  } catch (const tutti::error&) {
  }
  for (const int r : {0, 1}) BOOST_CHECK_MESSAGE(has(said[std::size_t(r)], "rank 2 has left without finalize() - call it on every rank"), said[std::size_t(r)]);
}

BOOST_AUTO_TEST_CASE(graphs_that_cannot_work_are_one_error_on_every_rank) {
  expect_texts("not connected", trial::errors_on_ranks(3, [&](auto& world) {
                 floats x(2);
                 tutti::strategy strategy{world, pairs, tutti::random_graph{.probability = 0}};
                 (void)strategy.bind(x, small_model::by_one);
               }),
               "the graph is not connected");
}

BOOST_AUTO_TEST_SUITE_END()
