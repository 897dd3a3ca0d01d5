// Tensors without a gradient, frozen ones, the order in which gradients become ready, and masters.
#include "training/small.hpp"

#include <algorithm>

BOOST_AUTO_TEST_SUITE(absent_gradients)

namespace {

using small_model::by_one;
using small_model::expect_all;
using small_model::expect_texts;
using small_model::floats;
using small_model::gradients;
using small_model::memory;
using small_model::must_equal;
using small_model::on;
using small_model::state_of;
using small_model::tensors;
using tutti::training_options;

constexpr std::size_t bucket_sizes[] = {1, 1000};

} // namespace

// A branch that is never used keeps no bucket waiting, and is not touched - by decay either.
BOOST_AUTO_TEST_CASE(a_tensor_that_is_never_used_holds_nothing_up) {
  const auto run = [](std::size_t bucket_bytes, const auto&... parts) {
    return on(2, [&](auto& world) {
      tensors<> m{{"a", "b", "c"}, {{0, 0}, {0}, {7, 8, 9}}};
      tutti::strategy strategy{world, parts...};
      auto trainer = strategy.bind(
          m.parameters(), tutti::sgd{.learning_rate = 1, .momentum = 0, .weight_decay = .5},
          training_options{.bucket_bytes = bucket_bytes});
      const std::vector<floats> g{{1, 2}, {3}, {}};
      for (int step = 0; step < 3; ++step) {
        m.values[0] = {0, 0};
        m.values[1] = {0};
        trainer.begin(gradients(g));
        trainer.ready(1);
        trainer.ready(0);
        trainer.finish();
      }
      return m.flat();
    });
  };
  for (const std::size_t bytes : bucket_sizes) {
    expect_all("synchronous", run(bytes), {-1, -2, -3, 7, 8, 9});
    expect_all("local_sgd", run(bytes, tutti::local_sgd{1}), {-1, -2, -3, 7, 8, 9});
  }
}

// .89 = 1 - .1 (1 + .1); the velocity, 1.1, stays too. As a gradient of zero the second step made
// .7821 of it.
BOOST_AUTO_TEST_CASE(what_has_no_gradient_anywhere_is_neither_decayed_nor_moved) {
  const auto run = [](bool beside_another, std::size_t bucket_bytes, const auto&... parts) {
    return on(2, [&](auto& world) {
      tensors<> m{{"p"}, {{1}}};
      std::vector<floats> first{{1}}, second{{}};
      if (beside_another) {
        m.names.push_back("q");
        m.values.push_back({1});
        first.push_back({0});
        second.push_back({0});
      }
      tutti::strategy strategy{world, parts...};
      auto trainer = strategy.bind(
          m.parameters(), tutti::sgd{.learning_rate = .1, .momentum = .9, .weight_decay = .1},
          training_options{.bucket_bytes = bucket_bytes});
      trainer.step(gradients(first));
      trainer.step(gradients(second));
      must_equal(trainer.steps(), 2, "trainer.steps()");
      // The flat model has its last tensor first; a shard may have none of p.
      const auto velocity = state_of(trainer).of("momentum_buffer");
      if (world.rank() == 1 && sizeof...(parts) > 0) return floats{m.values[0][0], 1.1f};
      return floats{m.values[0][0], velocity.empty() ? 0 : float(velocity.back())};
    });
  };
  for (const std::size_t bytes : bucket_sizes)
    for (const bool beside : {false, true}) {
      expect_all("synchronous", run(beside, bytes), {.89f, 1.1f}, 1e-6);
    }
  expect_all("sharded", run(false, 1000, tutti::sharded{}), {.89f, 1.1f}, 1e-6);
}

// Adam counts the steps of each tensor, so one that comes later begins where all begin.
BOOST_AUTO_TEST_CASE(a_tensor_that_comes_late_makes_its_first_step_then) {
  const auto got = on(2, [](auto& world) {
    tensors<> m{{"a", "b"}, {{0}, {0}}};
    tutti::strategy strategy{world};
    auto trainer = strategy.bind(m.parameters(), tutti::adam{.learning_rate = .1});
    const std::vector<floats> early{{1}, {}}, late{{1}, {1}};
    trainer.step(gradients(early));
    trainer.step(gradients(late));
    return m.flat();
  });
  expect_all("adam", got, {-.2f, -.1f}, 1e-5);
}

// Absent on one rank counts as zero, with that rank's weight.
BOOST_AUTO_TEST_CASE(what_has_no_gradient_on_one_rank_counts_as_zero_there) {
  const auto run = [](const auto&... parts) {
    return on(2, [&](auto& world) {
      floats w(1);
      tutti::strategy strategy{world, parts...};
      auto trainer = strategy.bind(w, by_one);
      trainer.step(world.rank() == 0 ? floats{4} : floats{});
      return w;
    });
  };
  expect_all("synchronous", run(), {-2});
  expect_all("direct", run(tutti::direct{}), {-2});
  expect_all("sharded", run(tutti::sharded{}), {-2});
  expect_all("weighted", run(tutti::weighted_mean{}), {-2});
  expect_all("local_sgd", run(tutti::local_sgd{1}), {-2});
}

// Which tensors have one is said anew in every step, also while the last one's buckets are still
// warm.
BOOST_AUTO_TEST_CASE(roles_may_change_in_every_step) {
  const auto run = [](const auto&... parts) {
    return trial::on_ranks(2, [&](auto& world, trial::model& m) {
      for (auto& v : m.values) v.resize(7);
      for (auto& v : m.pulls) v.resize(7);
      tutti::strategy strategy{world, parts...};
      auto trainer = strategy.bind(m.parameters(), tutti::sgd{.learning_rate = .01, .momentum = .9},
                                   training_options{.bucket_bytes = 30});
      for (int step = 0; step < 1000; ++step) {
        auto g = m.gradients(world.rank());
        for (std::size_t k = 0; k < 3; ++k)
          if ((step + world.rank() + int(k) * 2) % 4 < 2) g[k].values = {};
        trainer.step(g);
      }
    });
  };
  BOOST_CHECK(trial::all_same(run()));
  BOOST_CHECK(trial::all_same(run(tutti::sharded{})));
}

// Buckets are those of the declared order on every rank, whatever order gradients become ready in:
// nothing is learnt, so there is no plan that ranks could disagree on, and none in a checkpoint but
// bucket_bytes.
BOOST_AUTO_TEST_CASE(the_order_in_which_gradients_become_ready_changes_nothing) {
  const auto run = [](bool same_order, std::size_t bucket_bytes, const auto&... parts) {
    return on(2, [&](auto& world) {
      tensors<> m{{"a", "b", "c"}, {floats(3), floats(5), floats(2)}};
      tutti::strategy strategy{world, parts...};
      auto trainer = strategy.bind(m.parameters(), tutti::adam{},
                                   training_options{.bucket_bytes = bucket_bytes});
      std::vector<floats> g{floats(3), floats(5), floats(2)};
      for (int step = 0; step < 3; ++step) {
        for (std::size_t k = 0; k < 3; ++k)
          for (std::size_t i = 0; i < g[k].size(); ++i)
            g[k][i] = .1f * float(1 + k * 10 + i) + .3f * float(step - world.rank());
        trainer.begin(gradients(g));
        for (const std::size_t k : {0, 1, 2})
          trainer.ready(same_order || world.rank() == 0 ? 2 - k : k);
        trainer.finish();
      }
      return m.flat();
    });
  };
  for (const std::size_t bytes : {1, 20, 24, 1000}) {
    const auto declared = run(true, bytes);
    expect_all("synchronous", run(false, bytes), declared[0]);
    expect_all("sharded", run(false, bytes, tutti::sharded{}), declared[0]);
  }
}

// b is frozen for two steps, and gets the agreed mean in the third; its momentum begins then.
BOOST_AUTO_TEST_CASE(a_frozen_tensor_is_trained_from_the_step_on_in_which_all_unfreeze_it) {
  const auto run = [](std::size_t bucket_bytes, const auto&... parts) {
    return on(2, [&](auto& world) {
      tensors<> m{{"a", "b"}, {{0}, {5}}};
      tutti::strategy strategy{world, parts...};
      auto trainer = strategy.bind(
          m.parameters(), tutti::sgd{.learning_rate = 1, .momentum = .5},
          training_options{.bucket_bytes = bucket_bytes, .clip = 100, .frozen = {"b"}});
      const std::vector<floats> g{{float(2 * world.rank())}, {float(3 + 2 * world.rank())}};
      floats out;
      for (int step = 1; step <= 4; ++step) {
        if (step == 3) trainer.freeze("b", false);
        trainer.step(gradients(g));
        out.push_back(m.values[1][0]);
        if constexpr (sizeof...(parts) == 0) out.push_back(float(trainer.gradient_norm()));
      }
      return out;
    });
  };
  const float norm = float(std::sqrt(17.));
  for (const std::size_t bytes : bucket_sizes)
    expect_all("synchronous", run(bytes), {5, 1, 5, 1, 1, norm, -5, norm}, 1e-6);
  expect_all("sharded", run(1000, tutti::sharded{}), {5, 5, 1, -5});
  expect_all("local_sgd", run(1000, tutti::local_sgd{1}), {5, 5, 1, -5});
}

// What was frozen after it had moved starts afresh: slots and Adam's count of steps.
BOOST_AUTO_TEST_CASE(a_tensor_that_is_unfrozen_has_fresh_slots) {
  const auto run = [](const auto& optimizer, const auto&... parts) {
    return on(2, [&](auto& world) {
      tensors<> m{{"a", "b"}, {{0}, {0}}};
      tutti::strategy strategy{world, parts...};
      auto trainer = strategy.bind(m.parameters(), optimizer);
      const std::vector<floats> g{{1}, {1}};
      trainer.step(gradients(g));
      const float moved = m.values[1][0];
      trainer.freeze("b");
      trainer.step(gradients(g));
      must_equal(m.values[1][0], moved, "m.values[1][0]");
      trainer.freeze("b", false);
      trainer.freeze("b", false); // changes nothing
      trainer.step(gradients(g));
      return floats{m.values[1][0] - moved, moved};
    });
  };
  const tutti::sgd momentum{.learning_rate = 1, .momentum = .5};
  expect_all("synchronous", run(momentum), {-1, -1});
  expect_all("sharded", run(momentum, tutti::sharded{}), {-1, -1});
  expect_all("local_sgd", run(momentum, tutti::local_sgd{1}), {-1, -1});
  expect_all("adam", run(tutti::adam{.learning_rate = .5}), {-.5f, -.5f}, 1e-5);
}

// The outer optimizer lets a frozen tensor be, too: its momentum would carry it on.
BOOST_AUTO_TEST_CASE(a_frozen_tensor_is_outside_what_replicas_average) {
  const auto run = [](const auto& policy) {
    return on(2, [&](auto& world) {
      tensors<> m{{"a", "b"}, {{0}, {0}}};
      tutti::strategy strategy{world, policy};
      auto trainer = strategy.bind(m.parameters(), by_one);
      const std::vector<floats> g{{1}, {1}};
      trainer.step(gradients(g));
      const float moved = m.values[1][0];
      trainer.freeze("b");
      for (int k = 0; k < 3; ++k) trainer.step(gradients(g));
      must_equal(m.values[1][0], moved, "m.values[1][0]");
      trainer.freeze("b", false);
      trainer.step(gradients(g));
      return floats{moved, m.values[1][0] - moved};
    });
  };
  const tutti::sgd outer{.learning_rate = 1, .momentum = .5};
  expect_all("diloco", run(tutti::diloco{.period = 1, .outer = outer}), {-1, -1});
  expect_all("sharded_diloco", run(tutti::sharded_diloco{.period = 1, .outer = outer}), {-1, -1});
  expect_all("local_sgd", run(tutti::local_sgd{.period = 1}), {-1, -1});
}

// Frozen while replicas differ, a tensor would stay different for ever.
BOOST_AUTO_TEST_CASE(replicas_that_differ_freeze_nothing) {
  const auto errors = trial::errors_on_ranks(2, [](auto& world) {
    floats w(1);
    tutti::strategy strategy{world, tutti::local_sgd{.period = 3}};
    auto trainer = strategy.bind(w, by_one);
    trainer.step(floats{float(world.rank())});
    trainer.freeze("values");
  });
  expect_texts("in the middle of a period", errors, "freeze after an agreement");
}

// What was accumulated of it would be in the step all the same.
BOOST_AUTO_TEST_CASE(what_is_accumulated_is_frozen_after_its_step) {
  const auto got = on(2, [](auto& world) {
    tensors<> m{{"a", "b"}, {{0}, {0}}};
    tutti::strategy strategy{world};
    auto trainer = strategy.bind(m.parameters(), by_one);
    const std::vector<floats> g{{1}, {1}};
    trainer.accumulate(gradients(g));
    std::string said = "none";
    try {
      trainer.freeze("a");
    } catch (const tutti::error& e) {
      said = e.what();
    }
    must_equal(said.find("freeze: invalid_argument") != said.npos &&
                   said.find("a micro-batch was accumulated and is in no step yet - call step() first") != said.npos,
               true, said.c_str());
    trainer.step();
    trainer.freeze("a");
    trainer.step(gradients(g));
    return m.flat();
  });
  expect_all("frozen after its step", got, {-1, -2});
}

// Refused on both, and the same trainer goes on when they agree again.
BOOST_AUTO_TEST_CASE(ranks_that_freeze_unlike_tensors_are_told_so) {
  const auto run = [](std::size_t bucket_bytes, const auto&... parts) {
    return on(2, [&](auto& world) {
      tensors<> m{{"a", "b"}, {{0}, {0}}};
      tutti::strategy strategy{world, parts...};
      auto trainer = strategy.bind(m.parameters(), by_one,
                                   training_options{.bucket_bytes = bucket_bytes, .frozen = {"b"}});
      const std::vector<floats> g{{1}, {1}};
      trainer.step(gradients(g));
      if (world.rank() == 1) trainer.freeze("b", false);
      std::string error = "none";
      try {
        trainer.step(gradients(g));
      } catch (const tutti::error& e) {
        error = e.what();
      }
      must_equal(error.find("mismatch") != error.npos && error.find("\"b\"") != error.npos, true,
                 error.c_str());
      must_equal(trainer.steps(), 1, "trainer.steps()");
      if (world.rank() == 0) trainer.freeze("b", false);
      trainer.step(gradients(g));
      return m.flat();
    });
  };
  for (const std::size_t bytes : bucket_sizes) {
    expect_all("synchronous", run(bytes), {-2, -1});
    expect_all("sharded", run(bytes, tutti::sharded{}), {-2, -1});
  }
  expect_all("local_sgd", run(1000, tutti::local_sgd{1}), {-2, -1});
  expect_all("diloco", run(1000, tutti::diloco{.period = 1, .outer = by_one}), {-2, -1});
}

// What is unlike is named on every rank, before anything is sent that could wait for ever.
BOOST_AUTO_TEST_CASE(models_that_differ_are_named_on_every_rank) {
  const auto errors = [](auto&& change) {
    return trial::errors_on_ranks(3, [&](auto& world) {
      tensors<> m{{"a", "b", "c"}, {floats(3), floats(4), floats(4)}};
      training_options how;
      if (world.rank() == 1) change(m, how);
      tutti::strategy strategy{world, tutti::options{.timeout = std::chrono::seconds{5}}};
      strategy.bind(m.parameters(), by_one, how);
    });
  };
  expect_texts("longer", errors([](auto& m, auto&) { m.values[1].resize(5); }), "\"b\"");
  expect_texts("swapped", errors([](auto& m, auto&) { std::swap(m.names[1], m.names[2]); }),
               "\"b\"");
  expect_texts("frozen", errors([](auto&, auto& how) { how.frozen = {"b"}; }), "\"b\"");
  expect_texts("one more", errors([](auto& m, auto&) {
                 m.names.push_back("d");
                 m.values.push_back({1});
               }),
               "\"d\"");
  expect_texts("one less", errors([](auto& m, auto&) {
                 m.names.pop_back();
                 m.values.pop_back();
               }),
               "\"c\"");
}

// Masters are made of what is bound, which is rank 0's: 2^-10 is less than bfloat16 can take away
// from 1.
BOOST_AUTO_TEST_CASE(masters_are_made_of_the_values_that_are_there) {
  using tutti::bfloat16;
  const auto run = [](auto value, const auto&... parts) {
    using V = decltype(value);
    return on(2, [&](auto& world) {
      std::vector<V> w{V(world.rank() == 0 ? 1.f : NAN)}, v{V(3.f)};
      const tutti::sgd slow{.learning_rate = std::ldexp(1., -10)};
      tutti::strategy strategy{world, parts...};
      auto first = strategy.bind(w, slow);
      for (int k = 0; k < 2; ++k) first.step(floats{1});
      const floats rounded{float(w[0])};
      memory saved = state_of(first);
      auto second = strategy.bind(v, slow);
      saved.begin_reading();
      second.state(saved);
      for (int k = 0; k < 2; ++k) second.step(floats{1});
      return floats{rounded[0], float(v[0]), float(state_of(second).of("").at(0))};
    });
  };
  // 1 - 2/1024 lies between two bfloat16s, and goes to the even one, 1; masters know better
  expect_all("bfloat16", run(bfloat16{}), {1, .99609375f, .99609375f});
  expect_all("sharded", run(bfloat16{}, tutti::sharded{}), {1, .99609375f, .99609375f});
  expect_all("local_sgd", run(bfloat16{}, tutti::local_sgd{1}), {1, .99609375f, .99609375f});
  expect_all("diloco", run(bfloat16{}, tutti::diloco{.period = 1, .outer = by_one}),
             {1, .99609375f, .99609375f});
  const auto float_copy = run(0.f);
  expect_all("half", run(tutti::half{}), {float_copy[0][0], .99609375f, .99609375f});
}

// Slots are float beside half parameters: a third keeps its 32 bits. (No optimizer here keeps
// shorter slots than what is trained, so there are none that could be lengthened on the way.)
BOOST_AUTO_TEST_CASE(slots_of_half_parameters_are_float) {
  const auto got = on(2, [](auto& world) {
    std::vector<tutti::half> w(1), v(1);
    tutti::strategy strategy{world};
    auto first = strategy.bind(w, tutti::sgd{.momentum = .5});
    first.step(floats{1.f / 3});
    memory saved = state_of(first);
    const auto velocity = saved.of("momentum_buffer");
    auto second = strategy.bind(v, tutti::sgd{.momentum = .5});
    saved.begin_reading();
    second.state(saved);
    return floats{float(velocity.at(0)), float(state_of(second).of("momentum_buffer").at(0))};
  });
  expect_all("a third", got, {1.f / 3, 1.f / 3});
}

BOOST_AUTO_TEST_SUITE_END()
