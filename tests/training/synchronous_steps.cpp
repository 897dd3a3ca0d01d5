// Trainers of synchronous policies, tried: misuse, values that are not finite, reducers of every
// kind, models of odd shapes.
#include "sync/model.hpp"

#include <tutti/reducers/krum.hpp>

#include <boost/test/unit_test.hpp>

#include <cmath>
#include <limits>

BOOST_AUTO_TEST_SUITE(sync_policies)

namespace {

using trial::all_same;
using trial::model;
using trial::same_bits;

template <class Use> std::string refusal(Use&& use) {
  tutti::self world;
  model m{0};
  tutti::strategy strategy{world};
  auto trainer = strategy.bind(m.parameters(), tutti::sgd{});
  try {
    use(trainer, m);
  } catch (const tutti::error& e) {
    if (e.code() == tutti::error_code::invalid_argument) return e.what();
    return std::string{"another error: "} + e.what();
  }
  return "nothing was thrown";
}

} // namespace

BOOST_AUTO_TEST_CASE(a_step_that_is_not_begin_ready_finish_is_refused) {
  const auto expect = [](const std::string& got, const std::string& part) {
    BOOST_CHECK_MESSAGE(got.find(part) != std::string::npos, part << ": " << got);
  };
  expect(refusal([](auto& t, auto&) { t.finish(); }), "finish() was called without begin()");
  expect(refusal([](auto& t, auto&) { t.ready(0); }), "ready(0) was called outside");
  expect(refusal([](auto& t, auto& m) {
           t.step(m.gradients(0));
           t.finish();
         }),
         "finish() was called without begin()");
  expect(refusal([](auto& t, auto& m) {
           t.begin(m.gradients(0));
           t.ready(1);
           t.ready(1);
         }),
         "ready(1) was called twice");
  expect(refusal([](auto& t, auto& m) {
           t.begin(m.gradients(0));
           t.ready(3);
         }),
         "ready(3) was called for a tensor that there is not");
  expect(refusal([](auto& t, auto& m) {
           t.begin(m.gradients(0));
           t.ready(2);
           t.finish();
         }),
         "before every tensor was ready()");
  expect(refusal([](auto& t, auto& m) {
           t.begin(m.gradients(0));
           t.begin(m.gradients(0));
         }),
         "begin() was called before finish() has ended the step");
}

BOOST_AUTO_TEST_CASE(a_refused_call_loses_nothing) {
  tutti::self world;
  model careful{1}, careless{1};
  tutti::strategy strategy{world};
  auto good = strategy.bind(careful.parameters(), tutti::adam{});
  auto other = strategy.bind(careless.parameters(), tutti::adam{});
  for (int step = 0; step < 3; ++step) {
    good.step(careful.gradients(0));
    auto fewer = careless.gradients(0);
    fewer.pop_back();
    BOOST_CHECK_THROW(other.begin(fewer), tutti::error);
    other.begin(careless.gradients(0));
    other.ready(1);
    BOOST_CHECK_THROW(other.ready(1), tutti::error);
    BOOST_CHECK_THROW(other.finish(), tutti::error);
    other.ready(0);
    other.ready(2);
    other.finish();
    BOOST_CHECK_THROW(other.finish(), tutti::error);
  }
  BOOST_CHECK(same_bits(careful.flat(), careless.flat()));
}

// The optimizer counts the steps that it makes: adam's bias correction would show any other.
BOOST_AUTO_TEST_CASE(a_bad_step_is_as_if_it_had_not_been_whether_skipped_or_caught) {
  const auto run = [](bool poisoned, tutti::non_finite what, auto policy) {
    return trial::on_ranks(3, [&](auto& world, model& m) {
      tutti::strategy strategy{world, tutti::direct{}, policy};
      auto trainer =
          strategy.bind(m.parameters(), tutti::adam{.learning_rate = .1},
                        tutti::training_options{.bucket_bytes = 200, .non_finite = what});
      for (int step = 0; step < 6; ++step) {
        auto gradients = m.gradients(world.rank());
        const bool bad = step % 2 == 0;
        if (bad && !poisoned) continue;
        if (bad && world.rank() == 1) m.pulls[2][36] = std::numeric_limits<float>::quiet_NaN();
        try {
          trainer.step(gradients);
        } catch (const tutti::error& e) {
          if (e.code() != tutti::error_code::non_finite) throw;
        }
      }
    });
  };
  using tutti::non_finite;
  const auto clean = run(false, non_finite::error, tutti::synchronous{});
  BOOST_CHECK(all_same(clean));
  BOOST_CHECK(run(true, non_finite::skip, tutti::synchronous{}) == clean);
  BOOST_CHECK(run(true, non_finite::error, tutti::synchronous{}) == clean);
  BOOST_CHECK(run(true, non_finite::skip, tutti::sharded{}) == clean);
  BOOST_CHECK(run(true, non_finite::error, tutti::sharded{}) == clean);
}

BOOST_AUTO_TEST_CASE(the_first_bad_tensor_of_the_first_bad_rank_is_named_on_every_rank) {
  const auto errors = [](auto... parts) {
    return trial::errors_on_ranks(4, [&](auto& world) {
      model m{0};
      tutti::strategy strategy{world, parts...};
      auto trainer = strategy.bind(m.parameters(), tutti::sgd{}, {.bucket_bytes = 8});
      for (int step = 1; step <= 2; ++step) {
        auto gradients = m.gradients(world.rank());
        if (step == 2 && world.rank() == 2) m.pulls[2][0] = m.pulls[1][0] = INFINITY;
        if (step == 2 && world.rank() == 3) m.pulls[0][0] = NAN;
        trainer.step(gradients);
      }
    });
  };
  const std::string wanted = "(peer 2): step 2: the gradient of \"tensor1\" on rank 2 holds";
  for (const auto& texts :
       {errors(tutti::ring{}), errors(tutti::binomial_tree{}),
        errors(tutti::direct{}, tutti::sharded{}), errors(tutti::ring{}, tutti::sharded{}),
        errors(tutti::star{}, tutti::cast<tutti::bfloat16>{})})
    BOOST_CHECK_MESSAGE(trial::all_contain(texts, wanted), trial::joined(texts));
}

BOOST_AUTO_TEST_CASE(a_sum_that_overflows_on_the_wire_only_is_an_error_all_the_same) {
  const auto errors = trial::errors_on_ranks(3, [](auto& world) {
    std::vector<float> values(40), gradient(40, 40'000.0f); // half ends at 65,504
    tutti::strategy strategy{world, tutti::sum{}, tutti::cast<tutti::half>{}};
    strategy.bind(values, tutti::sgd{}).step(gradient);
  });
  BOOST_CHECK_MESSAGE(
      trial::all_contain(errors, "step 1: the reduced gradient overflowed although"),
      trial::joined(errors));
}

BOOST_AUTO_TEST_CASE(two_runs_give_the_same_bits) {
  const auto run = [] {
    return trial::on_ranks(5, [](auto& world, model& m) {
      tutti::strategy strategy{world, tutti::ring{}, tutti::cast<tutti::bfloat16>{}};
      auto trainer = strategy.bind(m.parameters(), tutti::adam{.learning_rate = .1},
                                   tutti::training_options{.bucket_bytes = 300});
      for (int step = 0; step < 8; ++step) {
        auto gradients = m.gradients(world.rank());
        for (auto& pull : m.pulls)
          for (float& g : pull) g = g * 0.1f + 1 / (1 + g * g);
        trainer.step(gradients);
      }
    });
  };
  const auto first = run(), second = run();
  BOOST_CHECK(all_same(first));
  BOOST_CHECK(same_bits(first[0], second[4]));
}

BOOST_AUTO_TEST_CASE(what_a_robust_reducer_leaves_out_is_no_error) {
  const auto results = trial::on_ranks(5, [](auto& world, model& m) {
    tutti::strategy strategy{world, tutti::direct{}, tutti::median{}};
    auto trainer = strategy.bind(m.parameters(), tutti::sgd{.learning_rate = 1});
    auto gradients = m.gradients(world.rank());
    if (world.rank() == 3)
      for (float& g : m.pulls[0]) g = NAN;
    trainer.step(gradients);
  });
  // Gradients are 0 - i - rank; with rank 3 a NaN, which counts as largest, the middle one is rank
  // 1's.
  BOOST_CHECK_EQUAL(results[0][10], 11.0f);
  BOOST_CHECK_EQUAL(results[4][700], 2.0f);
  BOOST_CHECK(all_same(results));
}

BOOST_AUTO_TEST_CASE(krum_chooses_one_rank_for_the_whole_gradient_whatever_the_buckets) {
  const auto trained = [](std::size_t bucket_bytes, auto... parts) {
    return trial::on_ranks(5, [&](auto& world, model& m) {
      tutti::strategy strategy{world, tutti::krum{.f = 1}, parts...};
      auto trainer = strategy.bind(m.parameters(), tutti::sgd{.learning_rate = 1},
                                   tutti::training_options{.bucket_bytes = bucket_bytes});
      auto gradients = m.gradients(0);
      // Rank 4 is an outlier in tensor 0 only, ranks 0 to 3 lie in a row in tensor 1.
      for (float& g : m.pulls[0]) g = world.rank() == 4 ? 1000.0f : 0.01f * float(world.rank());
      m.pulls[1][0] = world.rank() == 4 ? 1.2f : float(world.rank());
      for (float& g : m.pulls[2]) g = float(world.rank());
      trainer.step(gradients);
    });
  };
  const auto whole = trained(1u << 20, tutti::direct{});
  BOOST_CHECK(all_same(whole));
  const float chosen = -whole[0][700]; // the gradient of tensor 1 is the number of the rank
  BOOST_CHECK_MESSAGE(chosen == 1.0f || chosen == 2.0f, "rank " << chosen << " was chosen");
  BOOST_CHECK_EQUAL(whole[0][702], -chosen);
  BOOST_CHECK(trained(4, tutti::direct{}) == whole);
  BOOST_CHECK(trained(4, tutti::star{}) == whole);
  BOOST_CHECK(trained(4, tutti::direct{}, tutti::sharded{}) == whole);
}

BOOST_AUTO_TEST_CASE(a_weighted_mean_weighs_by_the_options_of_each_rank) {
  const auto results = trial::on_ranks(3, [](auto& world, model& m) {
    tutti::strategy strategy{world, tutti::ring{}, tutti::weighted_mean{}};
    auto trainer = strategy.bind(m.parameters(), tutti::sgd{.learning_rate = 1},
                                 tutti::training_options{.bucket_bytes = 100},
                                 tutti::options{.weight = double(1 << world.rank())});
    trainer.step(m.gradients(world.rank()));
  });
  // -(sum of w_r (0 - i - r)) / sum of w_r, with weights 1, 2, 4
  BOOST_CHECK_CLOSE_FRACTION(results[1][10], 10 + 10.0f / 7, 1e-6f);
  BOOST_CHECK(all_same(results));

  const auto weightless = trial::errors_on_ranks(3, [](auto& world) {
    std::vector<float> values(4), gradient(4);
    tutti::strategy strategy{world, tutti::weighted_mean{}, tutti::options{.weight = 0}};
    strategy.bind(values, tutti::sgd{}).step(gradient);
  });
  BOOST_CHECK_MESSAGE(trial::all_contain(weightless, "all weights are zero"),
                      trial::joined(weightless));
  const auto negative = trial::errors_on_ranks(3, [](auto& world) {
    std::vector<float> values(4), gradient(4);
    tutti::strategy strategy{world, tutti::weighted_mean{}};
    strategy.bind(values, tutti::sgd{}, {.weight = world.rank() == 1 ? -1.0 : 1.0}).step(gradient);
  });
  BOOST_CHECK_MESSAGE(trial::all_contain(negative, "rank 1 gave a weight that is negative"),
                      trial::joined(negative));
}

BOOST_AUTO_TEST_CASE(tensors_of_no_values_and_models_of_no_tensors_train) {
  for (const std::vector<std::size_t>& lengths :
       {std::vector<std::size_t>{}, {0}, {0, 0}, {0, 5, 0, 0, 1, 0}, {1}, {2, 0}})
    for (const std::size_t bytes : {std::size_t{1}, std::size_t{1000}}) {
      const auto run = [&](auto& world, auto policy) {
        std::vector<std::vector<double>> values, gradients;
        std::vector<tutti::tensor<double>> p, g;
        for (const std::size_t n : lengths) {
          values.emplace_back(n, 1.0 + world.rank());
          gradients.emplace_back(n, 3.0 * world.rank());
        }
        for (std::size_t k = 0; k < lengths.size(); ++k) {
          p.push_back({"t" + std::to_string(k), values[k]});
          g.push_back({"t" + std::to_string(k), gradients[k]});
        }
        tutti::strategy strategy{world, policy};
        auto trainer = strategy.bind(p, tutti::sgd{.learning_rate = 1}, {.bucket_bytes = bytes});
        trainer.step(g);
        trainer.step(g);
        trainer.finalize();
        for (const auto& v : values)
          for (const double x : v)
            if (std::abs(x - (1.0 - 2 * 3.0)) > 1e-12) throw std::runtime_error{"a value is wrong"};
      };
      BOOST_CHECK_NO_THROW(tutti::threads::run(3, [&](auto& w) { run(w, tutti::synchronous{}); }));
      BOOST_CHECK_NO_THROW(tutti::threads::run(3, [&](auto& w) { run(w, tutti::sharded{}); }));
      BOOST_CHECK_NO_THROW(
          tutti::threads::run(3, [&](auto& w) { run(w, tutti::asynchronous{.staleness = 0}); }));
    }
}

namespace {

/// What every rank says when rank 2 binds by `odd` and the others by `usual`.
template <class Usual, class Odd> std::vector<std::string> disagreement(Usual&& usual, Odd&& odd) {
  return trial::errors_on_ranks(3, [&](auto& world) {
    if (world.rank() == 2) odd(world);
    else usual(world);
  });
}

auto binding(auto... parts) {
  return [=](auto& world) {
    std::vector<float> values(16);
    tutti::strategy strategy{world, parts...};
    strategy.bind(values, tutti::sgd{});
  };
}

} // namespace

BOOST_AUTO_TEST_CASE(ranks_that_plan_different_runs_are_told_so_on_every_rank) {
  const auto expect = [](const char* what, const std::vector<std::string>& texts) {
    BOOST_CHECK_MESSAGE(trial::all_contain(texts, "bind: mismatch on rank") &&
                            trial::all_contain(texts, "ranks 0 and 2 plan different runs"),
                        what << trial::joined(texts));
  };
  using tutti::asynchronous;
  using tutti::star;
  expect("topology", disagreement(binding(tutti::ring{}), binding(tutti::direct{})));
  expect("servers", disagreement(binding(star{.servers = 1}), binding(star{.servers = 2})));
  expect("segments", disagreement(binding(tutti::pipelined{tutti::ring{}, 2}),
                                  binding(tutti::pipelined{tutti::ring{}, 3})));
  expect("reducer", disagreement(binding(tutti::mean{}), binding(tutti::sum{})));
  expect("trim", disagreement(binding(tutti::trimmed_mean{.trim = 0}),
                              binding(tutti::trimmed_mean{.trim = 1})));
  expect("codec", disagreement(binding(), binding(tutti::cast<tutti::half>{})));
  expect("policy", disagreement(binding(tutti::direct{}, tutti::synchronous{}),
                                binding(tutti::direct{}, tutti::sharded{})));
  expect("staleness", disagreement(binding(asynchronous{.staleness = 1}),
                                   binding(asynchronous{.staleness = 2})));
  expect("dedicated", disagreement(binding(asynchronous{}, star{}),
                                   binding(asynchronous{}, star{.dedicated = true})));
  expect("non_finite",
         disagreement(binding(),
                      binding(tutti::training_options{.non_finite = tutti::non_finite::skip})));
  expect("element type", disagreement(binding(), [](auto& world) {
           std::vector<double> values(16);
           tutti::strategy strategy{world};
           strategy.bind(values, tutti::sgd{});
         }));
}

BOOST_AUTO_TEST_CASE(a_knob_that_differs_is_named_with_both_values_on_every_rank) {
  const auto expect = [](const std::string& what, const std::vector<std::string>& texts) {
    BOOST_CHECK_MESSAGE(trial::all_contain(texts, "ranks 0 and 2 plan different runs: " + what),
                        what << ":" << trial::joined(texts));
  };
  const auto optimizing = [](auto optimizer) {
    return [=](auto& world) {
      std::vector<float> values(16);
      tutti::strategy strategy{world};
      strategy.bind(values, optimizer);
    };
  };
  expect("number 1 in tutti::adam is 0.001 on rank 0 and 0.01 on rank 2",
         disagreement(optimizing(tutti::adam{}), optimizing(tutti::adam{.learning_rate = .01})));
  expect("another part in the place of tutti::",
         disagreement(binding(tutti::mean{}), binding(tutti::sum{})));
  expect("number 1 in tutti::trimmed_mean is 0 on rank 0 and 1 on rank 2",
         disagreement(binding(tutti::direct{}, tutti::trimmed_mean{.trim = 0}),
                      binding(tutti::direct{}, tutti::trimmed_mean{.trim = 1})));
  expect("number 2 in tutti::krum is 1 on rank 0 and 2 on rank 2",
         disagreement(binding(tutti::direct{}, tutti::krum{.f = 0, .keep = 1}),
                      binding(tutti::direct{}, tutti::krum{.f = 0, .keep = 2})));
  expect(
      "number 1 in tutti::local_sgd is 4 on rank 0 and 5 on rank 2",
      disagreement(binding(tutti::local_sgd{.period = 4}), binding(tutti::local_sgd{.period = 5})));
  expect("number 2 in tutti::diloco is 0.7 on rank 0 and 1 on rank 2",
         disagreement(binding(tutti::diloco{}),
                      binding(tutti::diloco{
                          .outer = {.learning_rate = 1, .momentum = .9, .nesterov = true}})));
  expect("number 3 in tutti::training_options is 0 on rank 0 and 1.5 on rank 2",
         disagreement(binding(), binding(tutti::training_options{.clip = 1.5})));
}

BOOST_AUTO_TEST_CASE(weights_and_timeouts_may_differ_between_ranks) {
  const auto results = trial::on_ranks(3, [](auto& world, model& m) {
    tutti::strategy strategy{world, tutti::weighted_mean{}};
    strategy.bind(
        m.parameters(), tutti::sgd{},
        {.timeout = std::chrono::minutes{1 + world.rank()}, .weight = 1.0 + world.rank()});
  });
  BOOST_CHECK(all_same(results));
}

BOOST_AUTO_TEST_CASE(a_step_that_is_skipped_counts_and_changes_nothing) {
  const auto results = trial::on_ranks(2, [](auto& world, model& m) {
    tutti::strategy strategy{world};
    auto trainer = strategy.bind(m.parameters(), tutti::sgd{.learning_rate = .5});
    const auto before = m.flat();
    trainer.skip();
    if (!trial::same_bits(before, m.flat())) throw std::runtime_error{"it changed parameters"};
    if (trainer.steps() != 1 || trainer.skipped() != 1) throw std::runtime_error{"it does not count"};
    trainer.step(m.gradients(world.rank()));
    if (trainer.steps() != 2 || trainer.skipped() != 1) throw std::runtime_error{"the next one does not count"};
  });
  BOOST_CHECK(all_same(results));
  const auto errors = trial::errors_on_ranks(2, [](auto& world) {
    model m{0};
    tutti::strategy strategy{world, tutti::local_sgd{.period = 2}};
    auto trainer = strategy.bind(m.parameters(), tutti::sgd{});
    trainer.skip();
  });
  BOOST_CHECK_MESSAGE(trial::all_contain(errors, "this policy has steps that ranks make by themselves - leave the "
                                                 "step out"),
                      trial::joined(errors));
}

BOOST_AUTO_TEST_SUITE_END()
