// Ranks with unlike numbers of batches.
#include "training/small.hpp"

#include <algorithm>

BOOST_AUTO_TEST_SUITE(joining)

namespace {

using small_model::by_one;
using small_model::expect_all;
using small_model::floats;
using small_model::must_equal;
using small_model::on;
using tutti::training_options;
using tutti::uneven;

/// A rank makes a step of each of its gradients and joins, `epochs` times.
template <class... Parts>
std::vector<floats> joined(const std::vector<floats>& batches, int epochs,
                           const training_options& how, const Parts&... parts) {
  return on(int(batches.size()), [&](auto& world) {
    floats w(1);
    tutti::strategy strategy{world, parts...};
    auto trainer = strategy.bind(w, by_one, how);
    for (int epoch = 0; epoch < epochs; ++epoch) {
      for (const float g : batches[std::size_t(world.rank())]) trainer.step(floats{g});
      trainer.join();
    }
    return w;
  });
}

/// Period 1 at first and more later: where ranks count steps apart they part here.
struct ever_rarer {
  using part = tutti::sync_part;
  static constexpr tutti::contributes contribution = tutti::contributes::parameters;
  int period(std::int64_t step) const { return step <= 4 ? 1 : step <= 8 ? 2 : 4; }
};

/// Applied two steps later, while a rank may have run out of batches.
struct late {
  using part = tutti::sync_part;
  static constexpr tutti::contributes contribution = tutti::contributes::difference;
  int period = 3, delay = 2;
  tutti::sgd outer = {.learning_rate = .5, .momentum = .5};
};
struct late_at_owners : late {
  static constexpr bool owners = true;
};

struct in_two_fragments {
  using part = tutti::sync_part;
  static constexpr tutti::contributes contribution = tutti::contributes::parameters;
  int period = 1;
  int fragments = 2;
};

} // namespace

// Rank 0 gives 2, 2, 2 and rank 1 gives 4: 3 + 2 + 2, or 3 + 1 + 1 as the world counts.
BOOST_AUTO_TEST_CASE(what_a_mean_divides_by_is_said) {
  const std::vector<floats> batches{{2, 2, 2}, {4}};
  expect_all("by weight", joined(batches, 1, {}), {-7});
  expect_all("by world", joined(batches, 1, {.uneven = uneven::by_world}), {-5});
  expect_all("sharded by weight", joined(batches, 1, {}, tutti::sharded{}), {-7});
  expect_all("sharded by world", joined(batches, 1, {.uneven = uneven::by_world}, tutti::sharded{}),
             {-5});
  expect_all("direct", joined(batches, 1, {}, tutti::direct{}), {-7});
  expect_all("weighted_mean", joined(batches, 1, {}, tutti::weighted_mean{}), {-7});
  expect_all("sum", joined(batches, 1, {}, tutti::sum{}), {-10});
}

BOOST_AUTO_TEST_CASE(epochs_follow_one_another) {
  for (const int epochs : {1, 2, 5}) {
    const float n = float(epochs);
    expect_all("synchronous", joined({{2, 2, 2}, {4}, {}}, epochs, {}), {-7 * n});
    expect_all("by world", joined({{3, 3}, {3}, {}}, epochs, {.uneven = uneven::by_world}),
               {-3 * n});
    expect_all("sharded", joined({{}, {4}, {2, 2, 2}}, epochs, {}, tutti::sharded{}), {-7 * n});
    // agreed: rank 0 -2, rank 1 -4; then rank 0 alone
    expect_all("local_sgd", joined({{2, 2, 2}, {4}}, epochs, {}, tutti::local_sgd{1}), {-7 * n});
    // -3 and -6 of ranks 0 and 1 after their first two steps
    expect_all("local_sgd, 2", joined({{1, 2, 5}, {2, 4}}, epochs, {}, tutti::local_sgd{2}),
               {-9.5f * n});
    // rank 1 ends in the middle of a period, with what it has: -3 and -4
    expect_all("local_sgd, 3", joined({{1, 1, 1, 2}, {4}}, epochs, {}, tutti::local_sgd{3}),
               {-5.5f * n});
    expect_all("diloco", joined({{1, 1, 1, 2}, {4}}, epochs, {}, tutti::diloco{3, by_one}),
               {-5.5f * n});
    expect_all("sharded_diloco",
               joined({{1, 1, 1, 2}, {4}}, epochs, {}, tutti::sharded_diloco{3, by_one}),
               {-5.5f * n});
    expect_all("nobody", joined({{}, {}}, epochs, {}), {0});
    expect_all("nobody, local", joined({{}, {}}, epochs, {}, tutti::diloco{}), {0});
    expect_all("alone", joined({{1, 2}}, epochs, {}), {-3 * n});
  }
}

// Steps in which a rank took no part count there too: what depends on them is the same everywhere.
BOOST_AUTO_TEST_CASE(after_a_join_all_ranks_are_at_the_same_step) {
  const auto steps = [](const auto&... parts) {
    return on(3, [&](auto& world) {
      floats w(1);
      tutti::strategy strategy{world, parts...};
      auto trainer = strategy.bind(w, by_one);
      floats out;
      for (int epoch = 0; epoch < 3; ++epoch) {
        for (int k = 0; k <= 2 * world.rank(); ++k) trainer.step(floats{1});
        trainer.join();
        out.push_back(float(trainer.steps()));
      }
      return out;
    });
  };
  expect_all("synchronous", steps(), {5, 10, 15});
  expect_all("sharded", steps(tutti::sharded{}), {5, 10, 15});
  expect_all("local_sgd", steps(tutti::local_sgd{2}), {5, 10, 15});
  expect_all("diloco", steps(tutti::diloco{.period = 3}), {5, 10, 15});
  expect_all("a period that grows", steps(ever_rarer{}), {5, 10, 15});
}

BOOST_AUTO_TEST_CASE(replicas_are_equal_after_a_join) {
  const auto run = [](const auto& policy) {
    return trial::on_ranks(3, [&](auto& world, trial::model& m) {
      tutti::strategy strategy{world, policy};
      auto trainer =
          strategy.bind(m.parameters(), tutti::sgd{.learning_rate = .25, .momentum = .5});
      for (int epoch = 0; epoch < 3; ++epoch) {
        for (int k = 0; k < 3 + world.rank() * (epoch + 1); ++k)
          trainer.step(m.gradients(world.rank()));
        trainer.join();
      }
    });
  };
  BOOST_CHECK_MESSAGE(trial::all_same(run(tutti::local_sgd{2})), "local_sgd");
  BOOST_CHECK_MESSAGE(trial::all_same(run(tutti::diloco{.period = 3})), "diloco");
  BOOST_CHECK_MESSAGE(trial::all_same(run(ever_rarer{})), "a period that grows");
  BOOST_CHECK_MESSAGE(trial::all_same(run(in_two_fragments{})), "fragments");
  BOOST_CHECK_MESSAGE(trial::all_same(run(late{})), "applied later");
  BOOST_CHECK_MESSAGE(trial::all_same(run(late_at_owners{})), "applied later, by owners");
}

// Each of ranks 0 and 1 has 8 for the second fragment too when they join; only the first one's turn
// has come.
BOOST_AUTO_TEST_CASE(the_last_exchange_has_every_fragment) {
  const auto got = on(2, [](auto& world) {
    floats w(2);
    tutti::strategy strategy{world, in_two_fragments{}};
    auto trainer = strategy.bind(w, by_one);
    const float g = world.rank() == 0 ? 2.f : 4.f;
    trainer.step(floats{g, g});
    trainer.join();
    return w;
  });
  expect_all("averages", got, {-3, -3});
}

// An error in join() is an error; the rank has batches again when it says so.
BOOST_AUTO_TEST_CASE(a_rank_whose_join_failed_trains_on) {
  const auto got = on(2, [](auto& world) {
    floats w(1);
    tutti::strategy strategy{world};
    auto trainer = strategy.bind(w, by_one);
    const float g[] = {NAN};
    std::string error = "none";
    try {
      if (world.rank() == 0) trainer.step(g);
      else trainer.join();
    } catch (const tutti::error& e) {
      error = e.what();
    }
    must_equal(error.find("on rank 0 holds a NaN") != error.npos, true, error.c_str());
    trainer.step(floats{1});
    if (world.rank() == 0) trainer.step(floats{2});
    trainer.join();
    return w;
  });
  expect_all("synchronous", got, {-3});
}

// A median has no weights to leave a rank out by.
BOOST_AUTO_TEST_CASE(a_reducer_that_cannot_leave_a_rank_out_says_so_on_every_rank) {
  const auto errors = trial::errors_on_ranks(3, [](auto& world) {
    floats w(1);
    tutti::strategy strategy{world, tutti::direct{}, tutti::median{}};
    auto trainer = strategy.bind(w, by_one);
    trainer.step(floats{1});
    if (world.rank() == 2) trainer.join();
    else trainer.step(floats{1});
  });
  small_model::expect_texts("median", errors, "counts every contribution alike");
}

BOOST_AUTO_TEST_SUITE_END()
