// What a training loop needs where servers apply pushes as they come. Pushes of whole numbers under
// plain SGD give the same bits in any order. A push says nothing of tensors without a gradient:
// they are pushed as zeros.
#include "training/small.hpp"

#include <limits>

BOOST_AUTO_TEST_SUITE(pushes)

namespace {

using small_model::by_one;
using small_model::expect_all;
using small_model::floats;
using small_model::gradients;
using small_model::must_equal;
using small_model::on;
using small_model::tensors;
using tutti::training_options;

/// What all ranks end with, after use(trainer, rank); rank 0 serves, and works, too.
template <class V = float, class Use>
std::vector<floats> pushed(int ranks, std::size_t n, const training_options& how, Use&& use,
                           const tutti::star& servers = {}) {
  return on(ranks, [&](auto& world) {
    std::vector<V> w(n);
    tutti::strategy strategy{world, tutti::asynchronous{}, servers};
    auto trainer = strategy.bind(w, by_one, how);
    use(trainer, world.rank());
    trainer.finalize();
    floats out;
    for (const V v : w) out.push_back(float(v));
    return out;
  });
}

} // namespace

// Each push is worth a half of two workers: rank 0 pushes the mean of 1 and 3, rank 1 that of 5
// and 7.
BOOST_AUTO_TEST_CASE(a_push_holds_all_micro_batches) {
  const auto use = [](auto& trainer, int rank) {
    trainer.accumulate(floats{rank == 0 ? 1.f : 5.f});
    trainer.step(floats{rank == 0 ? 3.f : 7.f});
  };
  expect_all("float", pushed(2, 1, {}, use), {-4});
  expect_all("bfloat16", pushed<tutti::bfloat16>(2, 1, {}, use), {-4});
  expect_all("half", pushed<tutti::half>(2, 1, {}, use), {-4});
}

BOOST_AUTO_TEST_CASE(an_open_window_is_pushed_when_a_rank_joins) {
  const auto use = [](auto& trainer, int rank) {
    for (int k = 1; k <= 5 - 2 * rank; ++k) {
      trainer.accumulate(floats{2});
      if (k % 2 == 0) trainer.step();
    }
    trainer.join();
    trainer.join();
    must_equal(trainer.steps(), 3 - rank, "steps");
  };
  expect_all("3 and 2 pushes", pushed(2, 1, {}, use), {-5});
}

BOOST_AUTO_TEST_CASE(a_push_of_nothing_is_refused) {
  const auto errors = trial::errors_on_ranks(1, [](auto& world) {
    floats w(1);
    tutti::strategy strategy{world, tutti::asynchronous{}};
    strategy.bind(w, by_one).step();
  });
  small_model::expect_texts("step()", errors, "nothing was accumulated");
}

// Unscaled, then clipped by its own norm: all of it, whatever range a server has.
BOOST_AUTO_TEST_CASE(a_push_is_unscaled_and_clipped) {
  const auto use = [](auto& trainer, int) {
    trainer.step(floats{3 * 1024, 4 * 1024});
    must_equal(trainer.gradient_norm(), 5.0, "the norm");
  };
  const training_options how{.clip = 1, .loss_scale = {.initial = 1024}};
  expect_all("one server", pushed(2, 2, how, use), {-.6f, -.8f}, 1e-6);
  expect_all("two servers", pushed(2, 2, how, use, {.servers = 2}), {-.6f, -.8f}, 1e-6);
}

// Skipped by whom it overflows; the scale follows, both ways, and the server counts no step of
// Adam.
BOOST_AUTO_TEST_CASE(a_push_that_overflows_counts_for_nothing) {
  const auto got = on(1, [](auto& world) {
    floats w(1);
    tutti::strategy strategy{world, tutti::asynchronous{}};
    auto trainer =
        strategy.bind(w, tutti::adam{.learning_rate = .1},
                      training_options{.loss_scale = {.initial = 8, .growth = 2, .every = 2}});
    trainer.step(floats{std::numeric_limits<float>::infinity()});
    must_equal(trainer.loss_scale(), 4.0, "the scale");
    trainer.step(floats{4});
    must_equal(std::abs(w[0] + .1f) < 1e-5f, true, "Adam's first step");
    trainer.step(floats{4});
    must_equal(trainer.loss_scale(), 8.0, "the scale");
    must_equal(trainer.skipped(), 1, "skipped");
    trainer.finalize();
    return w;
  });
  expect_all("adam", got, {-.2f}, 1e-5);
}

// Neither decayed nor moved, and not written over when its server has older values.
BOOST_AUTO_TEST_CASE(servers_leave_frozen_tensors_alone) {
  const auto got = on(2, [](auto& world) {
    tensors<> m{{"a", "b"}, {{0}, {4}}};
    tutti::strategy strategy{world, tutti::asynchronous{.staleness = 0}};
    auto trainer = strategy.bind(m.parameters(), tutti::sgd{.learning_rate = 1, .weight_decay = .5},
                                 training_options{.frozen = {"b"}});
    const std::vector<floats> g{{1}, {1}};
    trainer.step(gradients(g));
    must_equal(m.values[1][0], 4.f, "b in the middle");
    trainer.finalize();
    must_equal(m.values[1][0], 4.f, "b at the end");
    trainer.freeze("b", false);
    const std::vector<floats> still{{0}, {0}};
    trainer.step(gradients(still));
    trainer.finalize();
    return floats{m.values[1][0]};
  });
  expect_all("decayed twice by a half once it is trained", got, {1});
}

BOOST_AUTO_TEST_CASE(servers_know_groups) {
  const auto got = on(2, [](auto& world) {
    tensors<> m{{"a.bias", "a.weight"}, {{1}, {1}}};
    tutti::strategy strategy{world, tutti::asynchronous{}, tutti::star{.servers = 2}};
    auto trainer = strategy.bind(m.parameters(), by_one,
                                 training_options{.groups = {{.names = "*.bias", .rate = .5}}});
    const std::vector<floats> g{{1}, {1}};
    trainer.step(gradients(g));
    trainer.finalize();
    return m.flat();
  });
  expect_all("rates", got, {.5f, 0});
}

BOOST_AUTO_TEST_CASE(servers_that_cannot_be_are_refused_on_every_rank) {
  const auto errors = [](tutti::asynchronous policy, tutti::star servers) {
    return trial::errors_on_ranks(3, [&](auto& world) {
      floats w(4);
      tutti::strategy strategy{world, policy, servers};
      strategy.bind(w, by_one);
    });
  };
  small_model::expect_texts("staleness", errors({.staleness = -2}, {}),
                            "the staleness of the sync policy is -2");
  small_model::expect_texts("none", errors({}, {.servers = 0}), "there are 0 servers for 3 ranks");
  small_model::expect_texts("more than ranks", errors({}, {.servers = 4}),
                            "there are 4 servers for 3 ranks");
  small_model::expect_texts("none to work", errors({}, {.servers = 3, .dedicated = true}),
                            "none is left to work");
}

BOOST_AUTO_TEST_SUITE_END()
