// Parameter groups, and options that cannot work: one clear error on every rank.
#include "training/small.hpp"

#include <limits>

BOOST_AUTO_TEST_SUITE(groups_and_options)

namespace {

using small_model::by_one;
using small_model::expect_all;
using small_model::expect_texts;
using small_model::floats;
using small_model::gradients;
using small_model::on;
using small_model::tensors;
using tutti::loss_scaling;
using tutti::training_options;

/// fc1.bias and fc1.weight, after one AdamW step of gradient 0, or SGD's of gradient 1.
template <class Optimizer, class... Parts>
std::vector<floats> grouped(const training_options& how, const Optimizer& optimizer, float gradient,
                            const Parts&... parts) {
  return on(2, [&](auto& world) {
    tensors<> m{{"fc1.bias", "fc1.weight"}, {{1, 1, 1}, {1, 1}}};
    auto parameters = m.parameters();
    parameters[1].shape = {1, 2};
    tutti::strategy strategy{world, parts...};
    auto trainer = strategy.bind(parameters, optimizer, how);
    const std::vector<floats> g{floats(3, gradient), floats(2, gradient)};
    trainer.step(gradients(g));
    return m.flat();
  });
}

template <class... Parts>
std::vector<std::string> refused(const training_options& how, const Parts&... parts) {
  return trial::errors_on_ranks(3, [&](auto& world) {
    tensors<> m{{"fc1.bias", "fc1.weight"}, {{1}, {1, 2}}};
    tutti::strategy strategy{world, parts...};
    strategy.bind(m.parameters(), tutti::adamw{}, how);
  });
}

/// What is wrong on one rank alone is told to all.
template <class... Parts>
void refuse(const std::string& wanted, const training_options& how, const Parts&... parts) {
  expect_texts(wanted, refused(how, parts...), "bind: invalid_argument");
  expect_texts(wanted, refused(how, parts...), wanted);
  const auto on_one = trial::errors_on_ranks(3, [&](auto& world) {
    floats w(4);
    tutti::strategy strategy{world, parts...};
    strategy.bind(w, by_one, world.rank() == 1 ? how : training_options{});
  });
  expect_texts(wanted + " on rank 1", on_one, "(peer ");
}

constexpr double nan = std::numeric_limits<double>::quiet_NaN();
constexpr double infinity = std::numeric_limits<double>::infinity();

} // namespace

// Weights shrink by 1 - .1 x .5; biases, named by their ending, do not.
BOOST_AUTO_TEST_CASE(a_group_is_known_by_a_part_of_its_names) {
  const tutti::adamw decays{.learning_rate = .1, .weight_decay = .5};
  const training_options by_ending{.groups = {{.names = "*bias", .decay = 0}}};
  const training_options by_shape{.groups = {{.names = "*", .decay = 0, .dimensions = 1}}};
  const floats wanted{1, 1, 1, .95f, .95f};
  expect_all("by name", grouped(by_ending, decays, 0), wanted, 1e-6);
  expect_all("by shape", grouped(by_shape, decays, 0), wanted, 1e-6);
  expect_all("sharded", grouped(by_ending, decays, 0, tutti::sharded{}), wanted, 1e-6);
  expect_all("local_sgd", grouped(by_ending, decays, 0, tutti::local_sgd{1}), wanted, 1e-6);
  expect_all("nothing but groups", grouped({}, decays, 0), {.95f, .95f, .95f, .95f, .95f}, 1e-6);
}

BOOST_AUTO_TEST_CASE(a_group_has_a_rate_of_its_own) {
  const training_options how{.groups = {{.names = "*.weight", .rate = .25}}};
  const floats wanted{0, 0, 0, .75f, .75f};
  expect_all("synchronous", grouped(how, by_one, 1), wanted);
  expect_all("sharded", grouped(how, by_one, 1, tutti::sharded{}), wanted);
  expect_all("diloco", grouped(how, by_one, 1, tutti::diloco{1, by_one}), wanted);
}

// The rate that is set in the middle is multiplied, too.
BOOST_AUTO_TEST_CASE(a_group_follows_the_optimizer_s_rate) {
  const auto got = on(2, [](auto& world) {
    tensors<> m{{"a", "b"}, {{0}, {0}}};
    tutti::strategy strategy{world, training_options{.groups = {{.names = "a", .rate = 2}}}};
    auto trainer = strategy.bind(m.parameters(), by_one);
    const std::vector<floats> g{{1}, {1}};
    trainer.step(gradients(g));
    trainer.optimizer().learning_rate = .5;
    trainer.step(gradients(g));
    return m.flat();
  });
  expect_all("two rates", got, {-3, -1.5f});
}

BOOST_AUTO_TEST_CASE(a_rule_that_matches_nothing_or_what_another_has_is_refused) {
  refuse("\"*biass\" matches no tensor", {.groups = {{.names = "*biass"}}});
  refuse("\"bias\" matches no tensor", {.groups = {{.names = "bias"}}});
  refuse("matches no tensor", {.groups = {{.names = "fc1.bias", .dimensions = 2}}});
  refuse("the parameter groups \"*.bias\" and \"fc1*\" both have \"fc1.bias\"",
         {.groups = {{.names = "*.bias"}, {.names = "fc1*"}}});
  refuse("frozen \"fc2*\" matches no tensor", {.frozen = {"fc2*"}});
  refuse("not finite", {.groups = {{.names = "*.bias", .rate = nan}}});
  refuse("not finite", {.groups = {{.names = "*.bias", .decay = infinity}}});
  expect_texts(
      "twins",
      refused({.groups = {{.names = "*.bias"}, {.names = "*.weight"}}, .frozen = {"fc1*"}}),
      "none");
  const auto late = trial::errors_on_ranks(2, [](auto& world) {
    floats w(1);
    tutti::strategy strategy{world};
    auto trainer = strategy.bind(w, by_one);
    trainer.freeze("fc2*");
  });
  expect_texts("freeze", late, "no tensor has a name like \"fc2*\"");
}

BOOST_AUTO_TEST_CASE(options_that_cannot_work_are_refused_on_every_rank) {
  refuse("clip is negative or not a number", {.clip = nan});
  refuse("clip is negative or not a number", {.clip = -1});
  for (const double s : {0.0, -2.0, nan, infinity})
    refuse("the scale of the loss is not greater than 0 and finite",
           {.loss_scale = {.initial = s}});
  const auto adapts = [](loss_scaling s) { return training_options{.loss_scale = s}; };
  for (const double g : {0.5, 0.0, nan})
    refuse("the scale of the loss cannot adapt", adapts({.growth = g}));
  for (const double b : {1.0, 0.0, nan})
    refuse("the scale of the loss cannot adapt", adapts({.growth = 2, .backoff = b}));
  refuse("the scale of the loss cannot adapt", adapts({.growth = 2, .every = 0}));
  refuse("no room to adapt", adapts({.growth = 2, .least = 0}));
  refuse("no room to adapt", adapts({.growth = 2, .greatest = infinity}));
  refuse("no room to adapt", adapts({.initial = 16, .growth = 2, .greatest = 8}));
  auto passing = adapts(tutti::dynamic_loss_scale);
  passing.non_finite = tutti::non_finite::pass;
  refuse("non_finite::pass", passing);
  expect_texts("twins", refused(adapts(tutti::dynamic_loss_scale)), "none");
  expect_texts("twins", refused({.clip = infinity, .loss_scale = {.initial = .5}}), "none");
}

namespace {

struct bad_answers {
  using part = tutti::sync_part;
  static constexpr auto contribution = tutti::contributes::parameters;
  int period = 1, fragments = 1, delay = 0;
  double keep = 0;
};
struct bad_from_step_3 {
  using part = tutti::sync_part;
  static constexpr auto contribution = tutti::contributes::parameters;
  int period(std::int64_t step) const { return step < 3 ? 1 : 0; }
};

} // namespace

BOOST_AUTO_TEST_CASE(policies_that_cannot_work_are_refused_on_every_rank) {
  const auto expect = [](const std::string& wanted, const auto& policy) {
    const auto texts = refused({}, policy);
    expect_texts(wanted, texts, "bind: invalid_argument");
    expect_texts(wanted, texts, wanted);
  };
  for (const int period : {0, -3}) {
    const std::string wanted =
        "the period of the sync policy is " + std::to_string(period) + " steps";
    expect(wanted, tutti::local_sgd{period});
    expect(wanted, tutti::diloco{.period = period});
    expect(wanted, tutti::sharded_diloco{.period = period});
    expect(wanted, bad_answers{.period = period});
  }
  expect("0 fragments", bad_answers{.fragments = 0});
  expect("the delay of the sync policy is -1", bad_answers{.delay = -1});
  expect("the delay of the sync policy is 6", bad_answers{.period = 3, .fragments = 2, .delay = 6});
  expect("keep of the sync policy", bad_answers{.keep = nan});
  expect("keep of the sync policy", bad_answers{.keep = 1.5});
  expect_texts("a twin", refused({}, bad_answers{.period = 3, .fragments = 2, .delay = 5}), "none");
}

// A function of the step is asked in every step: what it says then is refused then, and nothing has
// changed.
BOOST_AUTO_TEST_CASE(a_period_that_is_wrong_later_is_refused_then) {
  const auto errors = trial::errors_on_ranks(2, [](auto& world) {
    floats w(1);
    tutti::strategy strategy{world, bad_from_step_3{}};
    auto trainer = strategy.bind(w, by_one);
    trainer.step(floats{1});
    trainer.step(floats{1});
    try {
      trainer.step(floats{1});
    } catch (...) {
      small_model::must_equal(w[0], -2.f, "w");
      throw;
    }
  });
  expect_texts("step 3", errors, "the period of the sync policy is 0 steps");
}

// Every number of parts and options is compared, and named where it stands alone.
BOOST_AUTO_TEST_CASE(options_that_differ_between_ranks_are_told_to_all) {
  const auto differ = [](auto&& bind) {
    return trial::errors_on_ranks(3, [&](auto& world) {
      tensors<> m{{"a", "b"}, {{0}, {0}}};
      bind(world, m, world.rank() == 2);
    });
  };
  const auto by_options = [&](const training_options& odd) {
    return differ([&](auto& world, auto& m, bool is_odd) {
      tutti::strategy strategy{world};
      strategy.bind(m.parameters(), by_one, is_odd ? odd : training_options{});
    });
  };
  for (const training_options& odd :
       {training_options{.bucket_bytes = 8},
        training_options{.non_finite = tutti::non_finite::skip}, training_options{.clip = 1},
        training_options{.loss_scale = {.initial = 2}},
        training_options{.uneven = tutti::uneven::by_world},
        training_options{.groups = {{.names = "a", .rate = .5}}}})
    expect_texts("options", by_options(odd), "mismatch on rank");
  const auto groups = differ([](auto& world, auto& m, bool odd) {
    tutti::strategy strategy{world};
    strategy.bind(m.parameters(), by_one,
                  training_options{.groups = {{.names = odd ? "a" : "b", .rate = .5}}});
  });
  expect_texts("names of groups", groups, "mismatch on rank");
  const auto policies = differ([](auto& world, auto& m, bool odd) {
    tutti::strategy strategy{world, tutti::diloco{.period = odd ? 3 : 2}};
    strategy.bind(m.parameters(), by_one);
  });
  expect_texts("periods", policies, "is 2 on rank 0 and 3 on rank 2");
  const auto outer = differ([](auto& world, auto& m, bool odd) {
    tutti::strategy strategy{world, tutti::diloco{.outer = {.learning_rate = odd ? .5 : .25}}};
    strategy.bind(m.parameters(), by_one);
  });
  expect_texts("outer rates", outer, "is 0.25 on rank 0 and 0.5 on rank 2");
  const auto rates = differ([](auto& world, auto& m, bool odd) {
    tutti::strategy strategy{world};
    strategy.bind(m.parameters(), tutti::adam{.learning_rate = odd ? .5 : .25});
  });
  expect_texts("rates", rates, "is 0.25 on rank 0 and 0.5 on rank 2");
}

BOOST_AUTO_TEST_SUITE_END()
