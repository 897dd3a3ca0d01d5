// One verdict a step: skipped, clipped and scaled alike on all ranks, in that order after
// everything came.
#include "training/small.hpp"

#include <limits>

BOOST_AUTO_TEST_SUITE(verdicts)

namespace {

using small_model::by_one;
using small_model::expect_all;
using small_model::floats;
using small_model::gradients;
using small_model::memory;
using small_model::must_equal;
using small_model::on;
using small_model::state_of;
using small_model::tensors;
using tutti::training_options;

constexpr float infinity = std::numeric_limits<float>::infinity();

/// Values that begin as 0, after use(trainer, rank).
template <class Use, class... Parts>
std::vector<floats> values_on(int ranks, std::size_t n, const training_options& how, Use&& use,
                              const Parts&... parts) {
  return on(ranks, [&](auto& world) {
    floats w(n);
    tutti::strategy strategy{world, parts...};
    auto trainer = strategy.bind(w, by_one, how);
    use(trainer, world.rank());
    return w;
  });
}

} // namespace

// Of 9 values on 3 ranks the seventh is rank 2's to update, and rank 1 spoils it.
BOOST_AUTO_TEST_CASE(all_skip_what_one_owner_sees_overflow) {
  const auto run = [](const char* what, const auto&... parts) {
    const auto texts = on(3, [&](auto& world) -> std::string {
      floats w(9, 1);
      tutti::strategy strategy{world, parts...};
      auto trainer = strategy.bind(w, tutti::adam{.learning_rate = .1},
                                   training_options{.loss_scale = {.initial = 1024, .growth = 2}});
      trainer.step(floats(9, 1024));
      const floats before = w;
      const memory kept = state_of(trainer);
      floats bad(9, 2048);
      if (world.rank() == 1) bad[7] = infinity;
      trainer.step(bad);
      std::string wrong;
      if (trainer.loss_scale() != 512)
        wrong += "the scale is " + std::to_string(trainer.loss_scale());
      if (trainer.skipped() != 1 || trainer.steps() != 2) wrong += " the counters are wrong";
      if (!trial::same_bits(before, w)) wrong += " parameters moved";
      if (const auto d = kept.difference(state_of(trainer));
          d != "\"steps\" \"skipped\" \"loss_scale\" \"loss_scale.run\" ")
        wrong += " the state differs in " + d;
      trainer.step(floats(9, 512));
      if (std::abs(w[7] - .8f) > 1e-6f)
        wrong += " the next step moved 1 to " + std::to_string(w[7]);
      return wrong + (w == floats(9, w[0]) ? "" : " elements differ");
    });
    for (const std::string& t : texts) BOOST_CHECK_MESSAGE(t.empty(), what << ": " << t);
  };
  run("sharded, ring", tutti::sharded{}, tutti::ring{});
  run("sharded, direct", tutti::sharded{}, tutti::direct{});
  run("synchronous", tutti::synchronous{});
}

// Of a long model every rank looks at its own contribution while it writes it; what they come to is looked at only
// where one is too great for its sum to be certain.
BOOST_AUTO_TEST_CASE(long_models_have_the_same_verdicts) {
  constexpr std::size_t n = (std::size_t{1} << 16) + 7;
  constexpr float most = (std::numeric_limits<float>::max)();
  const auto run = [&](const char* what, bool usable, float first, float second, const auto&... parts) {
    const auto texts = on(2, [&](auto& world) -> std::string {
      floats w(n, 1), g(n, 0);
      tutti::strategy strategy{world, parts...};
      auto trainer = strategy.bind(w, by_one, training_options{.non_finite = tutti::non_finite::skip});
      g[n - 3] = world.rank() == 0 ? first : second;
      trainer.step(g);
      std::string wrong;
      if (trainer.skipped() != (usable ? 0 : 1)) wrong += "skipped " + std::to_string(trainer.skipped());
      if (!usable && w != floats(n, 1)) wrong += " parameters moved";
      g[n - 3] = 1;
      trainer.step(g);
      if (!usable && (w[n - 3] == 1 || trainer.skipped() != 1)) wrong += " the next step was not made";
      return wrong;
    });
    for (const std::string& t : texts) BOOST_CHECK_MESSAGE(t.empty(), what << ": " << t);
  };
  const float nan = std::numeric_limits<float>::quiet_NaN();
  const auto with = [&](const auto&... parts) {
    run("small", true, 1, 2, parts...);
    run("a NaN", false, 1, nan, parts...);
    run("an infinity", false, -infinity, 1, parts...);
    run("infinities of both signs", false, infinity, -infinity, parts...);
    run("great, and of both signs", true, most, -most, parts...);
    run("great on one rank", true, most, 0, parts...);
  };
  with(tutti::synchronous{});
  with(tutti::sharded{});
  with(tutti::sum{});
  run("a sum that overflows", false, most, most, tutti::sum{});
  run("a sum that overflows at owners", false, most, most, tutti::sum{}, tutti::sharded{});
}

BOOST_AUTO_TEST_CASE(long_models_name_who_spoils_a_step) {
  constexpr std::size_t n = std::size_t{1} << 17;
  std::vector<std::string> said(2, "nothing");
  on(2, [&](auto& world) {
    tensors<float> model{{"a", "b"}, {floats(n), floats(5)}};
    tutti::strategy strategy{world};
    auto trainer = strategy.bind(model.parameters(), by_one);
    auto g = model.values;
    if (world.rank() == 1) g[0][n / 2] = infinity;
    try {
      trainer.accumulate(gradients(model.values));
      trainer.step(gradients(g));
    } catch (const tutti::error& e) {
      said[std::size_t(world.rank())] = e.what();
    }
    return 0;
  });
  small_model::expect_texts("named", said, "the gradient of \"a\" on rank 1 holds a NaN or an infinity");
}

// What a rank finds in its own step is its own affair between two agreements; all take part in the
// next one.
BOOST_AUTO_TEST_CASE(a_rank_alone_skips_alone) {
  const auto use = [](auto& trainer, int rank) {
    trainer.step(floats{rank == 1 ? infinity : 2.f});
    trainer.step(floats{4});
    must_equal(trainer.skipped(), (rank == 1 ? 1 : 0), "trainer.skipped()");
    must_equal(trainer.steps(), 2, "trainer.steps()");
  };
  expect_all("local_sgd",
             values_on(2, 1, {.non_finite = tutti::non_finite::skip}, use, tutti::local_sgd{2}),
             {-5}); // (6 + 4) / 2
}

// Scaled by 1024; clipped before it is divided by it, a thousandth would be left.
BOOST_AUTO_TEST_CASE(gradients_are_unscaled_before_they_are_clipped) {
  const training_options how{.clip = 1, .loss_scale = {.initial = 1024}};
  const auto use = [](auto& trainer, int) {
    trainer.step(floats{3 * 1024, 4 * 1024});
    must_equal(trainer.gradient_norm(), 5, "trainer.gradient_norm()");
  };
  expect_all("synchronous", values_on(2, 2, how, use), {-.6f, -.8f}, 1e-6);
  expect_all("sharded", values_on(2, 2, how, use, tutti::sharded{}), {-.6f, -.8f}, 1e-6);
  expect_all("local_sgd", values_on(2, 2, how, use, tutti::local_sgd{1}), {-.6f, -.8f}, 1e-6);
  expect_all("diloco",
             values_on(2, 2, how, use, tutti::diloco{.period = 1, .outer = {.learning_rate = 1}}),
             {-.6f, -.8f}, 1e-6);
}

// 10 and -8 have the mean 1; clipped one by one it is 0.
BOOST_AUTO_TEST_CASE(a_step_is_clipped_once) {
  const auto use = [](auto& trainer, int) {
    trainer.accumulate(floats{10});
    trainer.step(floats{-8});
  };
  expect_all("synchronous", values_on(2, 1, {.clip = 1}, use), {-1});
  expect_all("sharded", values_on(2, 1, {.clip = 1}, use, tutti::sharded{}), {-1});
  expect_all("local_sgd", values_on(2, 1, {.clip = 1}, use, tutti::local_sgd{1}), {-1});
  // unscaled once, too
  const auto scaled = [](auto& trainer, int) {
    trainer.accumulate(floats{80});
    trainer.step(floats{-64});
  };
  expect_all("scaled", values_on(2, 1, {.clip = 1, .loss_scale = {.initial = 8}}, scaled), {-1});
  // what each rank has is not clipped before the mean
  const auto apart = [](auto& trainer, int rank) { trainer.step(floats{rank == 0 ? 10.f : -8.f}); };
  expect_all("ranks", values_on(2, 1, {.clip = 1}, apart), {-1});
}

// Each owner sees one of 3 and 4; by its own norm it would make -1 of either.
BOOST_AUTO_TEST_CASE(the_norm_is_that_of_all_shards) {
  const auto use = [](auto& trainer, int) {
    trainer.step(floats{3, 4});
    must_equal(trainer.gradient_norm(), 5, "trainer.gradient_norm()");
  };
  expect_all("sharded", values_on(2, 2, {.clip = 1}, use, tutti::sharded{}), {-.6f, -.8f}, 1e-6);
}

// The norm is a sum in double, of shards in rank order where there are owners, of buckets in theirs
// where there are none: all ranks have the same bits, and `sharded` those of `synchronous` but for
// the rounding of a double.
BOOST_AUTO_TEST_CASE(clipped_steps_have_the_same_bits_on_all_ranks) {
  const auto run = [](int ranks, std::size_t bucket_bytes, const auto&... parts) {
    return trial::on_ranks(ranks, [&](auto& world, trial::model& m) {
      tutti::strategy strategy{world, tutti::direct{}, parts...};
      auto trainer = strategy.bind(m.parameters(), tutti::sgd{.learning_rate = .7},
                                   training_options{.bucket_bytes = bucket_bytes, .clip = 3});
      for (int step = 0; step < 5; ++step) trainer.step(m.gradients(world.rank()));
      must_equal(trainer.gradient_norm() > 1000, true, "it is clipped");
    });
  };
  for (const int ranks : {1, 2, 3, 5}) {
    const auto whole = run(ranks, 1 << 20), in_buckets = run(ranks, 100),
               shards = run(ranks, 1 << 20, tutti::sharded{}),
               in_both = run(ranks, 100, tutti::sharded{});
    for (const auto* got : {&whole, &in_buckets, &shards, &in_both}) {
      BOOST_CHECK_MESSAGE(trial::all_same(*got), "ranks differ, of " << ranks);
      expect_all("beside synchronous", {(*got)[0]}, whole[0], 1e-6);
    }
  }
}

// A tensor that is used twice would be twice in norm, decay, update and file: it is refused, with
// what to do.
BOOST_AUTO_TEST_CASE(one_memory_under_two_names_is_refused) {
  const auto errors = [](std::size_t begin, std::size_t n, auto value) {
    return trial::errors_on_ranks(2, [&](auto& world) {
      std::vector<decltype(value)> all(8);
      std::vector<tutti::tensor<decltype(value)>> parameters{
          {"a", std::span{all}.first(4)}, {"b", std::span{all}.subspan(begin, n)}};
      tutti::strategy strategy{world};
      strategy.bind(parameters, tutti::adamw{});
    });
  };
  const std::string wanted =
      "\"a\" and \"b\" are the same memory - give a tensor that is used twice once, "
      "with the sum of its gradients";
  small_model::expect_texts("tied", errors(0, 4, 0.f), wanted);
  small_model::expect_texts("tied bfloat16", errors(0, 4, tutti::bfloat16{}), wanted);
  small_model::expect_texts("overlapping", errors(2, 4, 0.f), wanted);
  small_model::expect_texts("one in another", errors(1, 1, 0.0), wanted);
  small_model::expect_texts("side by side", errors(4, 4, 0.f), "none");
  small_model::expect_texts("empty", errors(2, 0, 0.f), "none");
}

// The given-once twin: a's gradient is the sum of its uses, 1 and 2, beside 4 of b.
BOOST_AUTO_TEST_CASE(a_tensor_that_is_used_twice_is_given_once) {
  const auto got = on(2, [](auto& world) {
    tensors<> m{{"a", "b"}, {{0}, {0}}};
    tutti::strategy strategy{world};
    auto trainer = strategy.bind(m.parameters(), by_one, training_options{.clip = 1});
    const std::vector<floats> g{{1 + 2}, {4}};
    trainer.step(gradients(g));
    return floats{float(trainer.gradient_norm())};
  });
  expect_all("the norm", got, {5});
}

BOOST_AUTO_TEST_CASE(norms_of_finite_gradients_are_finite) {
  using halves = std::vector<tutti::half>;
  const auto of_halves = [](auto& trainer, int) { trainer.step(halves{tutti::half(300)}); };
  const auto large = [](auto& trainer, int) { trainer.step(floats{1e20f, 1e20f}); };
  const float root = float(-std::sqrt(.5));
  expect_all("half", values_on(2, 1, {.clip = 1}, of_halves), {-1}, 1e-6);
  expect_all("float", values_on(2, 2, {.clip = 1}, large, tutti::ring{}), {root, root}, 1e-6);
  expect_all("sharded", values_on(2, 2, {.clip = 1}, large, tutti::sharded{}), {root, root}, 1e-6);
  expect_all("local_sgd", values_on(2, 2, {.clip = 1}, large, tutti::local_sgd{1}), {root, root},
             1e-6);
  const auto parameters = on(2, [](auto& world) {
    halves w(1);
    tutti::strategy strategy{world};
    strategy.bind(w, by_one, training_options{.clip = 1}).step(halves{tutti::half(300)});
    return floats{float(w[0])};
  });
  expect_all("half parameters", parameters, {-1}, 1e-6);
}

// Adam's first step is one of its rate; were the skipped one counted, it would be .0744.
BOOST_AUTO_TEST_CASE(a_skipped_step_counts_for_nothing) {
  const auto run = [](auto&& set_rate, const auto&... parts) {
    return on(2, [&](auto& world) {
      floats w(1);
      tutti::strategy strategy{world, parts...};
      auto trainer = strategy.bind(w, tutti::adam{.learning_rate = .1},
                                   training_options{.non_finite = tutti::non_finite::skip});
      for (const float g : {infinity, 1.f}) {
        set_rate(trainer);
        trainer.step(floats{g});
      }
      must_equal(trainer.skipped(), 1, "trainer.skipped()");
      must_equal(trainer.steps(), 2, "trainer.steps()");
      return w;
    });
  };
  const auto constant = [](auto&) {};
  expect_all("synchronous", run(constant), {-.1f}, 1e-5);
  expect_all("sharded", run(constant, tutti::sharded{}), {-.1f}, 1e-5);
  expect_all("local_sgd", run(constant, tutti::local_sgd{2}), {-.1f}, 1e-5);
  const auto warms_up = [](auto& trainer) {
    const tutti::constant_rate rate{.peak = .4, .warm_up = 4};
    trainer.optimizer().learning_rate = rate(trainer.steps() - trainer.skipped() + 1);
  };
  expect_all("a warm-up", run(warms_up), {-.1f}, 1e-5);
}

// Three good steps, and one more after the state went to another trainer: the scale doubles then.
BOOST_AUTO_TEST_CASE(the_state_has_the_run_of_good_steps) {
  const auto run = [](const char* what, const auto&... parts) {
    const auto scales = on(2, [&](auto& world) {
      floats w(1), v(1);
      tutti::strategy strategy{world, parts...};
      const training_options how{.loss_scale = {.initial = 64, .growth = 2, .every = 4}};
      auto first = strategy.bind(w, by_one, how);
      first.step(floats{infinity}); // 32
      for (int k = 0; k < 3; ++k) first.step(floats{32});
      memory saved = state_of(first);
      auto second = strategy.bind(v, by_one, how);
      saved.begin_reading();
      second.state(saved);
      floats out{float(second.loss_scale()), float(second.skipped()), float(second.steps())};
      second.step(floats{32});
      out.push_back(float(second.loss_scale()));
      out.push_back(v[0]);
      return out;
    });
    expect_all(what, scales, {32, 1, 4, 64, -4});
  };
  run("synchronous");
  run("sharded", tutti::sharded{});
  run("local_sgd", tutti::local_sgd{1});
}

BOOST_AUTO_TEST_CASE(a_scale_stays_between_its_ends) {
  const auto use = [](auto& trainer, int) {
    for (int k = 0; k < 20; ++k) trainer.step(floats{infinity});
    must_equal(trainer.loss_scale(), .5, "trainer.loss_scale()");
    for (int k = 0; k < 20; ++k) trainer.step(floats{0});
    must_equal(trainer.loss_scale(), 8, "trainer.loss_scale()");
    trainer.step(floats{8});
  };
  const training_options how{
      .loss_scale = {
          .initial = 4, .growth = 2, .backoff = 3, .every = 1, .least = .5, .greatest = 8}};
  expect_all("synchronous", values_on(2, 1, how, use), {-1});
  expect_all("sharded", values_on(2, 1, how, use, tutti::sharded{}), {-1});
  expect_all("local_sgd", values_on(2, 1, how, use, tutti::local_sgd{1}), {-1});
}

// Passed values are applied as they are: there is no norm to clip by, and nothing is skipped.
BOOST_AUTO_TEST_CASE(what_is_passed_is_neither_skipped_nor_clipped) {
  const auto use = [](auto& trainer, int) {
    trainer.step(floats{3, 4});
    trainer.step(floats{-infinity, 2});
    must_equal(trainer.skipped(), 0, "trainer.skipped()");
  };
  const training_options how{.non_finite = tutti::non_finite::pass, .clip = 1};
  const floats wanted{infinity, -.8f - 2};
  const auto check = [&](const char* what, const std::vector<floats>& got) {
    for (const floats& w : got)
      BOOST_CHECK_MESSAGE(w[0] == infinity && std::abs(w[1] - wanted[1]) < 1e-6,
                          what << small_model::text(w));
  };
  check("synchronous", values_on(2, 2, how, use));
  check("sharded", values_on(2, 2, how, use, tutti::sharded{}));
  check("local_sgd", values_on(2, 2, how, use, tutti::local_sgd{1}));
}

// A fixed scale is divided out and never changes; what overflows is an error or skipped, as options
// say.
BOOST_AUTO_TEST_CASE(a_fixed_scale_does_not_move) {
  const auto use = [](auto& trainer, int) {
    trainer.step(floats{infinity});
    trainer.step(floats{16});
    must_equal(trainer.loss_scale(), 8, "trainer.loss_scale()");
  };
  expect_all(
      "skipped",
      values_on(2, 1, {.non_finite = tutti::non_finite::skip, .loss_scale = {.initial = 8}}, use),
      {-2});
}

BOOST_AUTO_TEST_SUITE_END()
