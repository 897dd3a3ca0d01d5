// Parameter servers whose steps close for all workers at once: backup workers, and a quorum with grace.
#include "communicators/on_threads.hpp"
#include "communicators/own_clock.hpp"
#include "communicators/wait_until.hpp"
#include "training/small.hpp"

#include <atomic>
#include <chrono>
#include <cstdint>
#include <limits>
#include <thread>

BOOST_AUTO_TEST_SUITE(quorums)

namespace {

using small_model::by_one;
using small_model::expect_all;
using small_model::expect_texts;
using small_model::floats;
using small_model::must_equal;
using small_model::on;
using tutti::asynchronous;
using tutti::backup_workers;
using tutti::quorum;
using tutti::star;
using std::chrono::milliseconds;

void wait_for(const std::atomic<int>& count, int wanted) {
  wait_until([&] { return count >= wanted; });
}

/// Rank's values after `steps` steps of gradients that depend on rank, step and the values.
template <class World, class Optimizer, class... Parts>
floats trained(World& world, int steps, Optimizer optimizer, const Parts&... parts) {
  floats values{1, -2, 3, .5f, .1f, -7, 11}, gradient(values.size());
  tutti::strategy strategy{world, parts...};
  auto trainer = strategy.bind(values, optimizer);
  for (int k = 0; k < steps && trainer.role() != tutti::role::server; ++k) {
    for (std::size_t i = 0; i < values.size(); ++i)
      gradient[i] = values[i] * (1 + .37f * float(world.rank())) - .3f * float(i) - .11f * float(k);
    trainer.step(gradient);
  }
  if (trainer.role() == tutti::role::server) trainer.serve();
  trainer.finalize();
  return values;
}

const tutti::sgd heavy{.learning_rate = .1, .momentum = .9, .nesterov = true, .weight_decay = .01};

} // namespace

BOOST_AUTO_TEST_CASE(alone_it_is_the_plain_optimizer_bit_for_bit) {
  const auto same = [](auto policy) {
    const auto plain = [](auto optimizer) {
      return on(1, [&](auto& world) { return trained(world, 5, optimizer); });
    };
    const auto served = [&](auto optimizer) {
      return on(1, [&](auto& world) { return trained(world, 5, optimizer, policy); });
    };
    BOOST_CHECK(trial::same_bits(plain(heavy)[0], served(heavy)[0]));
    BOOST_CHECK(trial::same_bits(plain(tutti::adam{})[0], served(tutti::adam{})[0]));
  };
  same(asynchronous{.staleness = 0});
  same(asynchronous{});
  same(backup_workers{.spare = 0});
  same(quorum{.min = 1, .grace = milliseconds{5}});
}

// Folded in rank order, so who comes first makes no difference.
BOOST_AUTO_TEST_CASE(with_all_workers_it_is_the_synchronous_step_bit_for_bit) {
  for (const int ranks : {2, 3, 5}) {
    const auto wanted = on(ranks, [](auto& world) { return trained(world, 6, heavy, star{}); });
    for (const int servers : {1, 2}) {
      const star placed{.servers = servers};
      const auto backup = on(ranks, [&](auto& world) {
        return trained(world, 6, heavy, placed, backup_workers{.spare = 0});
      });
      const auto all = on(ranks, [&](auto& world) { return trained(world, 6, heavy, placed, quorum{.min = ranks}); });
      for (std::size_t r = 0; r < wanted.size(); ++r)
        BOOST_CHECK_MESSAGE(trial::same_bits(backup[r], wanted[0]) && trial::same_bits(all[r], wanted[0]),
                            ranks << " ranks, " << servers << " servers: rank " << r);
    }
  }
}

// Ranks 1 and 2 of three make steps of 1; rank 3 comes with 100 when two of them have closed, and is dropped. Then it
// has the newest parameters, and its next gradient counts when the step waits for it.
BOOST_AUTO_TEST_CASE(who_is_late_is_dropped_counted_and_goes_on_with_the_newest) {
  const auto late = [](auto policy, const char* what) {
    std::atomic<int> made{0}, told{0};
    const auto got = on(4, [&](auto& world) {
      floats w(3);
      tutti::strategy strategy{world, star{.servers = 1, .dedicated = true}, tutti::mean{}, policy};
      auto trainer = strategy.bind(w, by_one);
      if (world.rank() == 0) trainer.serve();
      if (world.rank() == 1 || world.rank() == 2) {
        for (int k = 0; k < 2; ++k) trainer.step(floats(3, 1)), ++made;
        wait_for(told, 1);
        if (world.rank() == 2) trainer.step(floats(3, 4));
        must_equal(trainer.dropped(), 0, "dropped");
      } else if (world.rank() == 3) {
        wait_for(made, 4);
        trainer.step(floats(3, 100));
        must_equal(w[0], -2.f, "what the late one goes on with");
        must_equal(trainer.dropped(), 1, "dropped");
        ++told;
        trainer.step(floats(3, 8));
        must_equal(trainer.dropped(), 1, "dropped");
      }
      trainer.finalize();
      return w;
    });
    expect_all(what, got, floats(3, -8));
  };
  late(backup_workers{.spare = 1}, "backup workers");
  late(quorum{.min = 2}, "quorum");
}

// Each step is of ones, so it moves the parameters by one, whoever it is made of.
BOOST_AUTO_TEST_CASE(workers_have_unlike_numbers_of_steps) {
  const int steps[] = {10, 10, 9, 1};
  const auto run = [&](const star& placed, auto policy) {
    return on(placed.dedicated ? 5 : 4, [&](auto& world) {
      floats w(5);
      tutti::strategy strategy{world, placed, tutti::mean{}, policy};
      auto trainer = strategy.bind(w, by_one);
      const int worker = placed.dedicated ? world.rank() - 1 : world.rank();
      if (worker < 0) trainer.serve();
      for (int k = 0; worker >= 0 && k < steps[worker]; ++k) trainer.step(floats(5, 1));
      trainer.finalize();
      return w;
    });
  };
  for (const star& placed : {star{}, star{.servers = 3}, star{.servers = 1, .dedicated = true}}) {
    expect_all("quorum of all", run(placed, quorum{.min = 4}), floats(5, -10));
    expect_all("backup workers, none", run(placed, backup_workers{.spare = 0}), floats(5, -10));
    for (const int staleness : {0, 3, tutti::unbounded})
      expect_all("asynchronous", run(placed, asynchronous{.staleness = staleness}), floats(5, -7.5f));
    const auto some = run(placed, quorum{.min = 2});
    const auto spare = run(placed, backup_workers{.spare = 1});
    for (const auto& all : {some, spare})
      for (const floats& w : all)
        for (const float v : w) BOOST_CHECK_MESSAGE(v <= -7 && v >= -30 && v == std::floor(v), "a value is " << v);
  }
}

BOOST_AUTO_TEST_CASE(contributions_are_weighted_by_examples) {
  const auto weighed = [](const floats& weights, auto... parts) {
    return on(3, [&](auto& world) {
      const auto r = std::size_t(world.rank());
      floats w(4);
      tutti::strategy strategy{world, quorum{.min = 3}, star{.servers = 2}, parts...};
      auto trainer = strategy.bind(w, by_one);
      for (int k = 0; k < 3; ++k) trainer.step(floats(4, float(r + 1)), weights[r]);
      trainer.finalize();
      return w;
    });
  };
  expect_all("1, 2, 5", weighed({1, 2, 5}), floats(4, -3 * 20.f / 8));
  expect_all("one weighs nothing", weighed({1, 0, 3}), floats(4, -3 * 10.f / 4));
  expect_all("none weighs anything", weighed({0, 0, 0}), floats(4, 0));
  // Micro-batches are weights too, where a mean is of them.
  const auto pieces = on(2, [](auto& world) {
    floats w(2);
    tutti::strategy strategy{world, tutti::mean{}, quorum{.min = 2}};
    auto trainer = strategy.bind(w, by_one);
    for (int k = 0; k < 3 * world.rank(); ++k) trainer.accumulate(floats(2, 8));
    trainer.step(floats(2, world.rank() == 1 ? 8.f : 3.f));
    trainer.finalize();
    return w;
  });
  expect_all("one against four micro-batches", pieces, floats(2, -7));
}

// Rank 1 is away: rank 0 goes on when the grace is over, by the clock of the communicator, and no sooner.
BOOST_AUTO_TEST_CASE(a_quorum_waits_for_its_grace_and_no_longer) {
  std::atomic<int> over{0};
  on_threads(2, [&](auto& world, report& r) {
    own_time time;
    on_own_clock comm{world, time};
    floats w(2);
    tutti::strategy strategy{comm, tutti::mean{}, quorum{.min = 1, .grace = milliseconds{70}}};
    auto trainer = strategy.bind(w, by_one);
    if (world.rank() == 1) {
      wait_for(over, 1);
    } else {
      const tutti::deadline begin = time.now;
      time.last = (tutti::deadline::max)();
      for (int k = 1; k <= 3; ++k) {
        trainer.step(floats(2, 1));
        r.check(time.now == begin + k * milliseconds{70}, "the step has not ended with the grace");
      }
      time.last = time.now;
      ++over;
    }
    trainer.finalize();
    r.check(w[0] == -3, "the values");
  });
}

// Rank 0 serves, and waits in an all_reduce for rank 1, which waits for the grace of rank 0's server.
BOOST_AUTO_TEST_CASE(a_grace_ends_while_its_server_waits_for_something_else) {
  for (const bool in_memory : {true, false}) {
    const auto errors = trial::errors_on_ranks(3, [&](auto& world) {
      floats w(2), met(3, 1);
      tutti::strategy strategy{world, tutti::mean{}, star{.servers = 1, .dedicated = true},
                               quorum{.min = 1, .grace = milliseconds{20}}};
      auto trainer = strategy.bind(w, by_one);
      if (world.rank() == 1) trainer.step(floats(2, 1));
      if (in_memory)
        tutti::all_reduce(world, met);
      else
        tutti::all_reduce(world, met, tutti::ring{});
      must_equal(met[0], 3.f, "the sum");
      if (world.rank() == 0) trainer.serve();
      trainer.finalize();
      must_equal(w[1], -1.f, "the values");
    });
    expect_texts("nobody waits for ever", errors, "none");
  }
}

BOOST_AUTO_TEST_CASE(a_step_that_is_left_out_holds_nobody_up) {
  const auto got = on(3, [](auto& world) {
    floats w(6);
    tutti::strategy strategy{world, tutti::mean{}, star{.servers = 2}, backup_workers{.spare = 0},
                             tutti::training_options{.non_finite = tutti::non_finite::skip}};
    auto trainer = strategy.bind(w, by_one);
    for (int k = 0; k < 4; ++k) {
      const bool spoilt = k == 3 || (k == world.rank() && k > 0);
      trainer.step(floats(6, spoilt ? std::numeric_limits<float>::quiet_NaN() : float(1 + world.rank())));
    }
    trainer.finalize();
    must_equal(trainer.skipped(), world.rank() == 0 ? 1 : 2, "skipped");
    return w;
  });
  expect_all("means of 1 2 3, of 1 3, of 1 2, and of none", got, floats(6, -2 - 2 - 1.5f));
}

// A tensor that one worker has no gradient of is a zero of that worker; one that nobody has stays as it is.
BOOST_AUTO_TEST_CASE(absent_gradients_are_zeros_beside_others) {
  const auto got = on(2, [](auto& world) {
    small_model::tensors<> m{{"a", "b", "c"}, {{4}, {4}, {4}}};
    tutti::strategy strategy{world, tutti::mean{}, quorum{.min = 2}};
    auto trainer = strategy.bind(m.parameters(), tutti::sgd{.learning_rate = 1, .weight_decay = .5});
    std::vector<floats> g{{2}, {2}, {}};
    if (world.rank() == 1) g[1].clear();
    trainer.step(small_model::gradients(g));
    trainer.finalize();
    return m.flat();
  });
  expect_all("a, b, c", got, {0, 1, 4});
}

BOOST_AUTO_TEST_CASE(training_goes_on_after_the_end) {
  const auto got = on(4, [](auto& world) {
    floats w(9);
    tutti::strategy strategy{world, tutti::mean{}, star{.servers = 2}, backup_workers{.spare = 0}};
    auto trainer = strategy.bind(w, by_one);
    for (int epoch = 1; epoch <= 3; ++epoch) {
      for (int k = 0; k < 4; ++k) trainer.step(floats(9, 1));
      trainer.finalize();
      must_equal(w[8], float(-4 * epoch), "a value");
    }
    return w;
  });
  expect_all("values", got, floats(9, -12));
}

BOOST_AUTO_TEST_CASE(numbers_that_cannot_be_are_refused_on_every_rank) {
  const auto refused = [](auto policy, const star& placed = {}) {
    return trial::errors_on_ranks(3, [&](auto& world) {
      floats w(4);
      tutti::strategy strategy{world, policy, placed};
      strategy.bind(w, by_one);
    });
  };
  const star dedicated{.servers = 1, .dedicated = true};
  expect_texts("spare", refused(backup_workers{.spare = 3}),
               "the sync policy has 3 spare workers of 3 - give at least 0, and fewer than there are");
  expect_texts("spare", refused(backup_workers{.spare = 2}, dedicated), "has 2 spare workers of 2");
  expect_texts("spare", refused(backup_workers{.spare = -1}), "has -1 spare workers of 3");
  expect_texts("min", refused(quorum{.min = 0}),
               "the quorum of the sync policy is 0 of 3 workers - give at least 1, and no more than there are");
  expect_texts("min", refused(quorum{.min = 3}, dedicated), "the quorum of the sync policy is 3 of 2 workers");
  expect_texts("grace", refused(quorum{.min = 2, .grace = milliseconds{-4}}),
               "the grace of the sync policy is -4 ms - give at least 0");
  expect_texts("servers", refused(quorum{.min = 2}, star{.servers = 0}), "there are 0 servers for 3 ranks");
  const auto unlike = trial::errors_on_ranks(2, [](auto& world) {
    floats w(4);
    tutti::strategy strategy{world, quorum{.min = 1, .grace = milliseconds{world.rank()}}};
    strategy.bind(w, by_one);
  });
  expect_texts("grace", unlike, "tutti::quorum is 0 on rank 0 and 1 on rank 1");
}

// Rank 1 has parameters of a step that has closed, and is dropped after the load as it would have been.
BOOST_AUTO_TEST_CASE(a_state_knows_who_is_behind) {
  std::atomic<int> made{0}, loaded{0}, dropped{0};
  const auto got = on(3, [&](auto& world) {
    floats first(2), second(2);
    tutti::strategy strategy{world, tutti::mean{}, quorum{.min = 2}};
    auto trainer = strategy.bind(first, by_one);
    if (world.rank() != 1) trainer.step(floats(2, 1)), ++made;
    wait_for(made, 2);
    auto saved = small_model::state_of(trainer);
    saved.begin_reading();
    auto other = strategy.bind(second, by_one);
    other.state(saved);
    must_equal(second[0], world.rank() == 1 ? 0.f : -1.f, "what each has pulled");
    if (world.rank() == 1) {
      other.step(floats(2, 100));
      must_equal(other.dropped(), 1, "dropped");
      ++dropped;
      trainer.step(floats(2, 100));
      must_equal(trainer.dropped(), 1, "dropped without the detour");
      ++dropped;
    } else {
      tutti::operations& all = world.in_flight(); // a server among them
      wait_until([&] { return all.step(), dropped >= 2; });
    }
    other.step(floats(2, 2));
    other.finalize();
    trainer.finalize();
    return floats{first[0], second[0], second[1]};
  });
  expect_all("values", got, {-1, -3, -3});
}

BOOST_AUTO_TEST_SUITE_END()
