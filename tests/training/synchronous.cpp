// Trainers of synchronous policies: same bits everywhere, however gradients arrive and travel.
#include "sync/model.hpp"

#include <boost/test/unit_test.hpp>

#include <cmath>
#include <limits>

BOOST_AUTO_TEST_SUITE(sync_policies)

namespace {

using trial::all_same;
using trial::model;
using trial::same_bits;

template <class... Parts>
std::vector<std::vector<float>> trained(int ranks, tutti::training_options how, Parts... parts) {
  return trial::on_ranks(ranks, [&](auto& world, model& m) {
    tutti::strategy strategy{world, parts...};
    auto trainer = strategy.bind(m.parameters(), tutti::adam{.learning_rate = 0.1}, how);
    for (int step = 0; step < 5; ++step) trainer.step(m.gradients(world.rank()));
    trainer.finalize();
  });
}

} // namespace

BOOST_AUTO_TEST_CASE(all_ranks_end_with_the_same_bits_on_every_topology) {
  for (const int ranks : {1, 2, 3, 5}) {
    BOOST_CHECK_MESSAGE(all_same(trained(ranks, {}, tutti::ring{})), "ring, ranks " << ranks);
    BOOST_CHECK_MESSAGE(all_same(trained(ranks, {}, tutti::halving_doubling{})),
                        "halving_doubling, ranks " << ranks);
    BOOST_CHECK_MESSAGE(all_same(trained(ranks, {}, tutti::binomial_tree{})),
                        "binomial_tree, ranks " << ranks);
    BOOST_CHECK_MESSAGE(all_same(trained(ranks, {}, tutti::cast<tutti::bfloat16>{})),
                        "bfloat16, ranks " << ranks);
  }
}

BOOST_AUTO_TEST_CASE(
    the_bits_do_not_depend_on_the_size_of_buckets_where_every_element_is_one_fold) {
  const auto whole = trained(3, {.bucket_bytes = 1u << 20}, tutti::direct{});
  for (const std::size_t bytes : {1u, 200u, 2900u})
    BOOST_CHECK_MESSAGE(
        same_bits(trained(3, {.bucket_bytes = bytes}, tutti::direct{})[0], whole[0]),
        "buckets of " << bytes << " bytes");
}

BOOST_AUTO_TEST_CASE(a_sharded_optimizer_changes_no_bit) {
  for (const int ranks : {1, 2, 4})
    BOOST_CHECK_MESSAGE(same_bits(trained(ranks, {}, tutti::direct{}, tutti::sharded{})[0],
                                  trained(ranks, {}, tutti::direct{}, tutti::synchronous{})[0]),
                        "ranks " << ranks);
}

namespace {

/// Counts the values of optimizers that it is shown.
class slots_counted final : public tutti::archive {
public:
  std::size_t count = 0;

  void values(std::string_view name, std::span<float> mine, tutti::place, tutti::held_by) override {
    if (!name.empty()) count += mine.size();
  }
  void values(std::string_view, std::span<double>, tutti::place, tutti::held_by) override {}
  void number(std::string_view, std::int64_t&, tutti::held_by) override {}
  void number(std::string_view, double&, tutti::held_by) override {}
};

} // namespace

BOOST_AUTO_TEST_CASE(a_sharded_optimizer_holds_its_share_of_the_state) {
  const auto held = [](int ranks, auto policy) {
    std::vector<std::size_t> out(std::size_t(ranks), 0);
    tutti::threads::run(ranks, [&](auto& world) {
      std::vector<float> values(20);
      tutti::strategy strategy{world, policy};
      auto trainer = strategy.bind(values, tutti::adam{});
      slots_counted visit;
      trainer.state(visit);
      out[std::size_t(world.rank())] = visit.count;
    });
    return out;
  };
  BOOST_CHECK((held(3, tutti::synchronous{}) == std::vector<std::size_t>{40, 40, 40}));
  BOOST_CHECK((held(3, tutti::sharded{}) == std::vector<std::size_t>{14, 14, 12}));
  const auto many = held(23, tutti::sharded{}); // some own nothing
  BOOST_CHECK(many.front() == 2 && many.back() == 0);
}

BOOST_AUTO_TEST_CASE(gradients_may_become_ready_in_any_order_on_any_rank) {
  const auto in_order = trained(3, {.bucket_bytes = 64}, tutti::direct{});
  const auto mixed = trial::on_ranks(3, [](auto& world, model& m) {
    tutti::strategy strategy{world, tutti::direct{}};
    auto trainer = strategy.bind(m.parameters(), tutti::adam{.learning_rate = 0.1},
                                 tutti::training_options{.bucket_bytes = 64});
    for (int step = 0; step < 5; ++step) {
      trainer.begin(m.gradients(world.rank()));
      for (std::size_t k = 0; k < 3; ++k) trainer.ready((k + std::size_t(world.rank() + step)) % 3);
      trainer.finish();
    }
  });
  BOOST_CHECK(all_same(mixed));
  BOOST_CHECK(same_bits(mixed[0], in_order[0]));
}

BOOST_AUTO_TEST_CASE(binding_broadcasts_rank_0_and_refuses_different_models_on_every_rank) {
  const auto bound = trial::on_ranks(3, [](auto& world, model& m) {
    tutti::strategy strategy{world};
    strategy.bind(m.parameters(), tutti::sgd{});
  });
  BOOST_CHECK(all_same(bound) && bound[0][0] == 0.0f);

  const auto refused = [](auto&& change, tutti::training_options odd = {}) {
    return trial::errors_on_ranks(3, [&](auto& world) {
      model m{0};
      auto parameters = m.parameters();
      if (world.rank() == 2) change(parameters);
      tutti::strategy strategy{world};
      strategy.bind(parameters, tutti::sgd{}, world.rank() == 1 ? odd : tutti::training_options{});
    });
  };
  const auto renamed = refused([](auto& p) { p[1].name = "other"; });
  BOOST_CHECK_MESSAGE(trial::all_contain(renamed, "tensor 1 is \"tensor1\" (1) on rank 0 and "
                                                  "\"other\" (1) on rank 2"),
                      trial::joined(renamed));
  const auto shorter = refused([](auto& p) { p[0].values = p[0].values.first(10); });
  BOOST_CHECK_MESSAGE(trial::all_contain(shorter, "\"tensor0\" (10) on rank 2"),
                      trial::joined(shorter));
  const auto turned = refused([](auto& p) { p[0].shape = {7, 100}; });
  BOOST_CHECK_MESSAGE(trial::all_contain(turned, "tensor 0 is \"tensor0\" (700) on rank 0 and "
                                                 "\"tensor0\" (7 x 100) on rank 2"),
                      trial::joined(turned));
  const auto misshapen = refused([](auto& p) { p[2].shape = {3, 12}; });
  BOOST_CHECK_MESSAGE(trial::all_contain(misshapen, "invalid_argument") &&
                          trial::all_contain(misshapen,
                                             "rank 2: tensor 2 (\"tensor2\") has 37 values "
                                             "and the shape 3 x 12"),
                      trial::joined(misshapen));
  const auto fewer = refused([](auto& p) { p.pop_back(); });
  BOOST_CHECK_MESSAGE(
      trial::all_contain(fewer, "tensor 2 is \"tensor2\" (37) on rank 0 and missing on rank 2"),
      trial::joined(fewer));
  const auto optioned = refused([](auto&) {}, {.bucket_bytes = 1});
  BOOST_CHECK_MESSAGE(trial::all_contain(optioned,
                                         "ranks 0 and 1 plan different runs: number 1 in "
                                         "tutti::training_options is 0 on rank 0 and 1 on "
                                         "rank 1"),
                      trial::joined(optioned));
}

BOOST_AUTO_TEST_CASE(a_nan_is_one_error_on_every_rank_that_names_step_tensor_and_rank) {
  const auto errors = trial::errors_on_ranks(3, [](auto& world) {
    model m{0};
    tutti::strategy strategy{world, tutti::ring{}};
    auto trainer = strategy.bind(m.parameters(), tutti::sgd{});
    for (int step = 1; step <= 4; ++step) {
      auto gradients = m.gradients(world.rank());
      if (step == 3 && world.rank() == 1) m.pulls[2][5] = std::numeric_limits<float>::quiet_NaN();
      trainer.step(gradients);
    }
  });
  BOOST_CHECK_MESSAGE(
      trial::all_contain(errors, "(peer 1): step 3: the gradient of \"tensor2\" on rank 1"),
      trial::joined(errors));

  const auto overflow = trial::errors_on_ranks(2, [](auto& world) {
    std::vector<float> values(4), gradient(4, 3e38f);
    tutti::strategy strategy{world, tutti::sum{}};
    strategy.bind(values, tutti::sgd{}).step(gradient);
  });
  BOOST_CHECK_MESSAGE(
      trial::all_contain(overflow, "overflowed although every rank's own is finite"),
      trial::joined(overflow));
}

BOOST_AUTO_TEST_CASE(a_skipped_step_leaves_parameters_and_optimizer_as_they_were) {
  const auto run = [](bool poisoned, auto policy) {
    return trial::on_ranks(3, [&](auto& world, model& m) {
      tutti::strategy strategy{world, tutti::direct{}, policy};
      auto trainer = strategy.bind(m.parameters(), tutti::sgd{.learning_rate = .1, .momentum = .9},
                                   tutti::training_options{.non_finite = tutti::non_finite::skip});
      for (int step = 0; step < 6; ++step) {
        auto gradients = m.gradients(world.rank());
        const bool bad = step % 2 == 1;
        if (bad && !poisoned) continue;
        if (bad && world.rank() == 2) m.pulls[0][3] = std::numeric_limits<float>::infinity();
        trainer.step(gradients);
      }
      if (poisoned && trainer.skipped() != 3) m.values[0][0] = -1;
    });
  };
  BOOST_CHECK(all_same(run(true, tutti::synchronous{})));
  BOOST_CHECK(same_bits(run(true, tutti::synchronous{})[0], run(false, tutti::synchronous{})[0]));
  BOOST_CHECK(same_bits(run(true, tutti::sharded{})[0], run(false, tutti::sharded{})[0]));
}

BOOST_AUTO_TEST_CASE(passed_values_are_applied) {
  const auto result = trial::on_ranks(2, [](auto& world, model& m) {
    tutti::strategy strategy{world};
    auto trainer = strategy.bind(m.parameters(), tutti::sgd{},
                                 tutti::training_options{.non_finite = tutti::non_finite::pass});
    auto gradients = m.gradients(0);
    m.pulls[1][0] = std::numeric_limits<float>::infinity();
    trainer.step(gradients);
  });
  BOOST_CHECK_EQUAL(result[1][700], -std::numeric_limits<float>::infinity());
}

BOOST_AUTO_TEST_CASE(wrong_gradients_are_refused) {
  const auto errors = trial::errors_on_ranks(1, [](auto& world) {
    model m{0};
    tutti::strategy strategy{world};
    auto trainer = strategy.bind(m.parameters(), tutti::sgd{});
    auto gradients = m.gradients(0);
    gradients.pop_back();
    trainer.step(gradients);
  });
  BOOST_CHECK_MESSAGE(trial::all_contain(errors, "there are 2 gradients for 3 parameters"),
                      trial::joined(errors));
}

namespace {

/// In turn, two fragments, one step late.
struct in_turn {
  using part = tutti::sync_part;
  static constexpr tutti::contributes contribution = tutti::contributes::parameters;

  int period = 4;
  int fragments = 2;
  int delay = 1;
  double keep = 0.5;
};

template <class Policy> void refused_by_bind(const std::string& why, Policy policy) {
  const auto texts = trial::errors_on_ranks(2, [&](auto& world) {
    std::vector<float> values(4);
    tutti::strategy strategy{world, policy};
    strategy.bind(values, tutti::sgd{});
  });
  BOOST_CHECK_MESSAGE(trial::all_contain(texts, "bind: invalid_argument on rank") &&
                          trial::all_contain(texts, why),
                      why << trial::joined(texts));
}

} // namespace

BOOST_AUTO_TEST_CASE(answers_that_cannot_be_are_refused_on_every_rank) {
  refused_by_bind("the period of the sync policy is 0 steps", in_turn{.period = 0});
  refused_by_bind("the period of the sync policy is -1 steps", tutti::local_sgd{.period = -1});
  refused_by_bind("the sync policy has 0 fragments", in_turn{.fragments = 0});
  refused_by_bind("the delay of the sync policy is -1 steps", in_turn{.delay = -1});
  refused_by_bind("the delay of the sync policy is 8 steps", in_turn{.delay = 8});
  refused_by_bind("keep of the sync policy is not between 0 and 1", in_turn{.keep = 1.5});
  refused_by_bind("keep of the sync policy is not between 0 and 1", in_turn{.keep = NAN});
  refused_by_bind("the staleness of the sync policy is -2", tutti::asynchronous{.staleness = -2});
}

BOOST_AUTO_TEST_SUITE_END()
