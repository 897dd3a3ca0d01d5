// Trainers and weights: a rank that weighs nothing may hold anything, and no weight goes unheard.
#include "sync/model.hpp"

#include <boost/test/unit_test.hpp>

#include <cmath>
#include <string>
#include <vector>

BOOST_AUTO_TEST_SUITE(weights_of_trainers)

namespace {

/// What each of three ranks is told that binds with weight 2, rank 1 alone.
template <class... Parts> std::vector<std::string> bound_with_a_weight(Parts... parts) {
  std::vector<std::string> texts(3, "nothing");
  tutti::threads::run(3, [&](auto& world) {
    std::vector<float> values(5);
    tutti::strategy strategy{world, parts...};
    try {
      (void)strategy.bind(values, tutti::sgd{}, {.weight = world.rank() == 1 ? 2.0 : 1.0});
    } catch (const tutti::error& e) {
      texts[std::size_t(world.rank())] = e.what();
    }
  });
  return texts;
}

} // namespace

// A batch of no rows has a mean of 0 / 0.
BOOST_AUTO_TEST_CASE(an_empty_batch_of_weight_nothing_contributes_nothing) {
  const auto step = [](auto... parts) {
    std::vector<std::vector<float>> out(3);
    tutti::threads::run(3, [&](auto& world) {
      const bool empty = world.rank() == 1;
      std::vector<float> values(300), gradient(300, empty ? NAN : float(world.rank() + 1));
      tutti::strategy strategy{world, tutti::weighted_mean{}, parts...};
      auto trainer = strategy.bind(values, tutti::sgd{.learning_rate = 1},
                                   tutti::training_options{.bucket_bytes = 64},
                                   tutti::options{.weight = empty ? 0.0 : 1e-46});
      trainer.step(gradient);
      trainer.finalize();
      out[std::size_t(world.rank())] = values;
    });
    BOOST_CHECK(trial::all_same(out));
    BOOST_CHECK_MESSAGE(std::abs(out[0][299] + 2) < 1e-6f, "a value is " << out[0][299]);
  };
  step();
  step(tutti::ring{});
  step(tutti::direct{});
  step(tutti::ring{}, tutti::sharded{});
  step(tutti::direct{}, tutti::sharded{});
  step(tutti::cast<tutti::bfloat16>{}, tutti::ring{});
}

BOOST_AUTO_TEST_CASE(who_weighs_nothing_is_not_to_blame) {
  const auto errors = trial::errors_on_ranks(3, [](auto& world) {
    std::vector<float> values(5), gradient(5, world.rank() == 0 ? 1.0f : NAN);
    tutti::strategy strategy{world, tutti::weighted_mean{}};
    strategy.bind(values, tutti::sgd{}, {.weight = double(world.rank() != 1)}).step(gradient);
  });
  BOOST_CHECK_MESSAGE(trial::all_contain(errors, "the gradient of \"values\" on rank 2"),
                      trial::joined(errors));
}

BOOST_AUTO_TEST_CASE(a_weight_that_would_count_for_nothing_is_refused_on_every_rank) {
  const auto refused = [](const char* why, const std::vector<std::string>& told) {
    BOOST_CHECK_MESSAGE(trial::all_contain(told, why) &&
                            trial::all_contain(told, "bind: invalid_argument"),
                        why << ", not" << trial::joined(told));
  };
  refused("use tutti::weighted_mean, or leave the weight out", bound_with_a_weight());
  refused("use tutti::weighted_mean, or leave the weight out",
          bound_with_a_weight(tutti::sharded{}));
  refused("use tutti::weighted_mean, or leave the weight out",
          bound_with_a_weight(tutti::median{}, tutti::direct{}));
  refused("use tutti::weighted_mean, or leave the weight out",
          bound_with_a_weight(tutti::asynchronous{}));
  BOOST_CHECK(bound_with_a_weight(tutti::weighted_mean{}) ==
              std::vector<std::string>(3, "nothing"));
}

BOOST_AUTO_TEST_SUITE_END()
