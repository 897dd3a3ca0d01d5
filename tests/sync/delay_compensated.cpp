// Delay compensation: what servers make of a gradient that was taken at older parameters.
#include "training/small.hpp"

#include <atomic>
#include <thread>

BOOST_AUTO_TEST_SUITE(delay_compensation)

namespace {

using small_model::expect_all;
using small_model::floats;
using small_model::must_equal;
using small_model::on;
using tutti::asynchronous;
using tutti::delay_compensated;
using tutti::star;

const tutti::sgd heavy{.learning_rate = .25, .momentum = .5};
const delay_compensated compensated{heavy, .5};

static_assert(tutti::optimizer<delay_compensated<tutti::adam>, float>);
static_assert(tutti::slots_of<delay_compensated<tutti::adam>> == 2);

/// Workers in this order, each with the gradient of w^2 / 2 + rank w at what it has pulled: plain loops.
floats by_hand(const std::vector<int>& order, int ranks) {
  float w = 4, v = 0;
  floats pulled(std::size_t(ranks), w);
  for (const int r : order) {
    float& before = pulled[std::size_t(r)];
    const float g = before + float(r);
    const float grown = g + g * (.5f * g * (w - before));
    v = .5f * v + grown;
    w -= .25f * v;
    before = w;
  }
  return {w};
}

/// The same on a parameter server; with `moves` the state goes to another trainer after so many pushes.
std::vector<floats> served(const std::vector<int>& order, int ranks, const star& servers, int moves = -1) {
  return on(ranks, [&](auto& world) {
    floats w{4}, second{4};
    tutti::strategy strategy{world, tutti::sum{}, asynchronous{}, servers};
    auto trainer = strategy.bind(w, compensated), other = strategy.bind(second, compensated);
    for (int k = 0; k < int(order.size()); ++k) {
      if (k == moves) {
        auto saved = small_model::state_of(trainer);
        saved.begin_reading();
        other.state(saved);
      }
      const bool moved = moves >= 0 && k >= moves;
      if (order[std::size_t(k)] == world.rank()) {
        const float at = moved ? second[0] : w[0];
        moved ? other.step(floats{at + float(world.rank())}) : trainer.step(floats{at + float(world.rank())});
      }
      tutti::barrier(world);
    }
    trainer.finalize();
    other.finalize();
    return moves >= 0 ? second : w;
  });
}

} // namespace

BOOST_AUTO_TEST_CASE(it_is_as_by_hand_whoever_comes_when) {
  const std::vector<int> orders[] = {{0, 1, 2, 0, 1, 2}, {0, 0, 0, 1, 1, 2, 2, 0}, {2, 1, 0, 0, 1, 1, 2}};
  for (const auto& order : orders)
    expect_all("one server", served(order, 3, {}), by_hand(order, 3), 1e-6);
  BOOST_CHECK(by_hand(orders[0], 3) != by_hand({0, 0, 1, 1, 2, 2}, 3));
}

BOOST_AUTO_TEST_CASE(what_workers_had_pulled_goes_with_the_state) {
  const std::vector<int> order{0, 1, 0, 0, 1, 2, 2, 1};
  for (const int moves : {1, 3, 5}) expect_all("moved", served(order, 3, {}, moves), by_hand(order, 3), 1e-6);
}

BOOST_AUTO_TEST_CASE(where_nothing_is_late_it_is_the_inner_optimizer) {
  const auto trained = [](int ranks, auto optimizer, auto... parts) {
    return on(ranks, [&](auto& world) {
      floats w{1, -2, 3}, g(3);
      tutti::strategy strategy{world, parts...};
      auto trainer = strategy.bind(w, optimizer,
                                   tutti::training_options{.groups = {{.names = "val*", .rate = .5, .decay = .25}}});
      trainer.finalize();
      for (int k = 0; k < 5; ++k) {
        for (std::size_t i = 0; i < 3; ++i) g[i] = w[i] * float(i + 1) + float(world.rank());
        trainer.step(g);
      }
      trainer.finalize();
      return w;
    });
  };
  const tutti::adamw inner{.learning_rate = .01, .weight_decay = .1};
  const delay_compensated outer{inner, .9};
  expect_all("alone", trained(1, outer, asynchronous{}), trained(1, inner)[0]);
  expect_all("synchronous", trained(3, outer), trained(3, inner)[0]);
  expect_all("a quorum of all", trained(3, outer, tutti::quorum{.min = 3}), trained(3, inner, star{})[0]);
}

// The rate of whom it comes from counts, as with the inner optimizer.
BOOST_AUTO_TEST_CASE(a_push_has_the_rate_of_its_worker) {
  const auto got = on(2, [](auto& world) {
    floats w{0};
    tutti::strategy strategy{world, tutti::sum{}, asynchronous{}};
    auto trainer = strategy.bind(w, delay_compensated{tutti::sgd{.learning_rate = 1}, 0.});
    trainer.optimizer().inner.learning_rate = world.rank() == 1 ? 3 : 5;
    if (world.rank() == 1) trainer.step(floats{1});
    trainer.finalize();
    return w;
  });
  expect_all("three", got, {-3});
}

BOOST_AUTO_TEST_SUITE_END()
