// Policies whose replicas train by themselves: against plain references, and where theory has
// identities.
#include "training/small.hpp"

#include <algorithm>

BOOST_AUTO_TEST_SUITE(local_policies)

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

/// The gradient of element i on rank r in a step, at p: something that depends on all of it.
template <class T> T pull(T p, std::size_t i, int rank, int step) {
  return p - T(i % 13) - T(rank) + T(step % 3) / 4;
}

/// Trained on every rank: `steps` steps, and what every rank has after each.
template <class Optimizer, class... Parts>
std::vector<floats> trained(int ranks, std::size_t n, int steps, const Optimizer& optimizer,
                            const Parts&... parts) {
  return on(ranks, [&](auto& world) {
    floats w(n), g(n), out;
    tutti::strategy strategy{world, parts...};
    auto trainer = strategy.bind(w, optimizer, training_options{.bucket_bytes = 64});
    for (int step = 0; step < steps; ++step) {
      for (std::size_t i = 0; i < n; ++i) g[i] = pull(w[i], i, world.rank(), step);
      trainer.step(g);
      out.insert(out.end(), w.begin(), w.end());
    }
    return out;
  });
}

/// The same in double, plainly: replicas, their means, and an outer optimizer with Nesterov's
/// momentum.
struct reference {
  double inner_rate, outer_rate, momentum;
  int period;
  bool averages_parameters;

  std::vector<floats> operator()(int ranks, std::size_t n, int steps) const {
    std::vector<std::vector<double>> w(static_cast<std::size_t>(ranks), std::vector<double>(n));
    std::vector<double> agreed(n), velocity(n);
    std::vector<floats> out(static_cast<std::size_t>(ranks));
    for (int step = 0; step < steps; ++step) {
      for (int r = 0; r < ranks; ++r)
        for (std::size_t i = 0; i < n; ++i) w[r][i] -= inner_rate * pull(w[r][i], i, r, step);
      if ((step + 1) % period == 0)
        for (std::size_t i = 0; i < n; ++i) {
          double mean = 0;
          for (const auto& v : w) mean += v[i] / ranks;
          if (averages_parameters) {
            agreed[i] = mean;
          } else {
            const double slope = agreed[i] - mean;
            velocity[i] = momentum * velocity[i] + slope;
            agreed[i] -= outer_rate * (slope + momentum * velocity[i]);
          }
          for (auto& v : w) v[i] = agreed[i];
        }
      for (int r = 0; r < ranks; ++r)
        for (std::size_t i = 0; i < n; ++i) out[r].push_back(float(w[r][i]));
    }
    return out;
  }
};

void expect_near(const std::string& what, const std::vector<floats>& got,
                 const std::vector<floats>& wanted, float tolerance) {
  float most = 0;
  for (std::size_t r = 0; r < got.size(); ++r)
    for (std::size_t i = 0; i < got[r].size(); ++i)
      most = std::max(most, std::abs(got[r][i] - wanted[r][i]) / (1 + std::abs(wanted[r][i])));
  BOOST_CHECK_MESSAGE(most <= tolerance, what << ": " << most << " away");
}

/// A user's own: averages in every step at first, and seldom later (post-local SGD, arXiv
/// 1808.07217).
struct post_local {
  using part = tutti::sync_part;
  static constexpr tutti::contributes contribution = tutti::contributes::parameters;
  int switches_at = 3, later = 4;
  int period(std::int64_t step) const { return step <= switches_at ? 1 : later; }
};

/// Another: differences under plain outer SGD, and a period of its own.
struct reptile {
  using part = tutti::sync_part;
  static constexpr tutti::contributes contribution = tutti::contributes::difference;
  int period = 2;
  tutti::sgd outer = {.learning_rate = .5};
};

} // namespace

// Gradients 1 and 3: every replica comes 4 away on average in two steps, in every round.
BOOST_AUTO_TEST_CASE(the_outer_gradient_is_agreed_before_minus_trained) {
  const auto run = [](const auto& policy) {
    return on(2, [&](auto& world) {
      floats x{0}, out;
      tutti::strategy strategy{world, policy};
      auto trainer = strategy.bind(x, by_one);
      for (int round = 0; round < 3; ++round) {
        const float from = x[0], g = world.rank() == 0 ? 1.f : 3.f;
        trainer.step(floats{g});
        must_equal(x[0], from - g, "a local step, from what was agreed");
        trainer.step(floats{g});
        out.push_back(x[0]);
      }
      return out;
    });
  };
  const floats wanted{-5.32f, -12.908f, -22.5372f};
  expect_all("diloco", run(tutti::diloco{.period = 2}), wanted, 1e-6);
  expect_all("sharded_diloco", run(tutti::sharded_diloco{.period = 2}), wanted, 1e-6);
}

// bind makes replicas equal where no step ever would, and what was agreed on is made after it.
BOOST_AUTO_TEST_CASE(replicas_start_together) {
  const auto run = [](const auto& policy) {
    return on(2, [&](auto& world) {
      floats x{10.f * float(world.rank())}, out;
      tutti::strategy strategy{world, policy};
      auto trainer = strategy.bind(x, by_one);
      out.push_back(x[0]);
      for (int k = 0; k < 2; ++k) trainer.step(floats{0});
      out.push_back(x[0]);
      return out;
    });
  };
  expect_all("diloco", run(tutti::diloco{.period = 2}), {0, 0});
  expect_all("sharded_diloco", run(tutti::sharded_diloco{.period = 2}), {0, 0});
  expect_all("local_sgd", run(tutti::local_sgd{2}), {0, 0});
}

BOOST_AUTO_TEST_CASE(diloco_follows_a_plain_reference) {
  const tutti::sgd inner{.learning_rate = .05},
      outer{.learning_rate = .7, .momentum = .9, .nesterov = true};
  for (const int ranks : {1, 2, 3, 5}) {
    const std::string on = " on " + std::to_string(ranks) + " ranks";
    const auto wanted = reference{.05, .7, .9, 4, false}(ranks, 37, 21);
    const auto everywhere = trained(ranks, 37, 21, inner, tutti::diloco{4, outer});
    const auto sharded = trained(ranks, 37, 21, inner, tutti::sharded_diloco{4, outer});
    expect_near("diloco" + on, everywhere, wanted, 2e-6f);
    expect_near("sharded_diloco" + on, sharded, wanted, 2e-6f);
    expect_near("local_sgd" + on, trained(ranks, 37, 21, inner, tutti::local_sgd{4}),
                reference{.05, 0, 0, 4, true}(ranks, 37, 21), 2e-6f);
    // Behind an agreement, that is 20 steps, all ranks have the same bits.
    for (const auto* all : {&everywhere, &sharded})
      for (const floats& v : *all)
        BOOST_CHECK(
            std::equal(v.begin() + 19 * 37, v.begin() + 20 * 37, (*all)[0].begin() + 19 * 37));
  }
}

// An outer rate of 1 without momentum takes the mean of replicas that made one step each.
BOOST_AUTO_TEST_CASE(diloco_of_period_1_is_synchronous) {
  const tutti::sgd inner{.learning_rate = .05};
  for (const int ranks : {1, 2, 3, 5}) {
    const auto wanted = trained(ranks, 37, 12, inner, tutti::synchronous{});
    expect_near("diloco", trained(ranks, 37, 12, inner, tutti::diloco{1, by_one}), wanted, 1e-6f);
    expect_near("sharded_diloco", trained(ranks, 37, 12, inner, tutti::sharded_diloco{1, by_one}),
                wanted, 1e-6f);
    expect_near("local_sgd", trained(ranks, 37, 12, inner, tutti::local_sgd{1}), wanted, 1e-6f);
  }
}

// The plain reference: the optimizer's own loop on every rank, and an all_reduce of its parameters.
BOOST_AUTO_TEST_CASE(local_sgd_of_period_1_averages_parameters_bit_for_bit) {
  const auto compare = [](int ranks, const char* what, const auto& topology) {
    const tutti::adam inner{.learning_rate = .1};
    const auto got = trained(ranks, 37, 9, inner, tutti::local_sgd{1}, topology);
    const auto wanted = on(ranks, [&](auto& world) {
      floats w(37), g(37), m(37), v(37), out;
      for (int step = 0; step < 9; ++step) {
        for (std::size_t i = 0; i < 37; ++i) g[i] = pull(w[i], i, world.rank(), step);
        tutti::update<float>(inner, step + 1, std::span{w}, std::span<const float>{g},
                             {std::span{m}, std::span{v}});
        tutti::all_reduce(world, w, topology, tutti::mean{});
        out.insert(out.end(), w.begin(), w.end());
      }
      return out;
    });
    for (std::size_t r = 0; r < got.size(); ++r)
      BOOST_CHECK_MESSAGE(trial::same_bits(got[r], wanted[r]),
                          what << " on " << ranks << ", rank " << r);
  };
  for (const int ranks : {1, 2, 3, 5}) {
    compare(ranks, "ring", tutti::ring{});
    compare(ranks, "direct", tutti::direct{});
  }
}

BOOST_AUTO_TEST_CASE(a_policy_of_ones_own_has_a_period_that_depends_on_the_step) {
  const auto got = on(2, [](auto& world) {
    floats w{0}, out;
    tutti::strategy strategy{world, post_local{}};
    auto trainer = strategy.bind(w, by_one);
    for (int step = 0; step < 11; ++step) {
      trainer.step(floats{float(2 * world.rank())});
      out.push_back(w[0]);
    }
    return out;
  });
  const floats together{-1, -2, -3};
  for (const floats& v : got) BOOST_CHECK(std::equal(together.begin(), together.end(), v.begin()));
  expect_all("rank 0", {got[0]}, {-1, -2, -3, -3, -3, -3, -7, -7, -7, -7, -11});
  expect_all("rank 1", {got[1]}, {-1, -2, -3, -5, -7, -9, -7, -9, -11, -13, -11});

  const auto own = on(2, [](auto& world) {
    floats w{0}, out;
    tutti::strategy strategy{world, reptile{}};
    auto trainer = strategy.bind(w, by_one);
    for (int step = 0; step < 4; ++step) {
      trainer.step(floats{float(2 * world.rank())});
      out.push_back(w[0]);
    }
    return floats{out[1], out[3]};
  });
  expect_all("half of what was learnt", own, {-1, -2});
}

// Saved after 6 of 12 steps, in the middle of a period of 4: parameters that differ, inner and
// outer slots, what was agreed on, and how far the period is. (Files, other numbers of ranks and
// what is said about them are tests of checkpoints.)
BOOST_AUTO_TEST_CASE(a_state_in_the_middle_of_a_period_goes_on_with_the_same_bits) {
  const auto run = [](const char* what, auto value, const auto&... parts) {
    using V = decltype(value);
    const auto ends = on(3, [&](auto& world) -> std::string {
      std::vector<V> whole(11, V(1.f)), first = whole, second(11, V(5.f));
      tutti::strategy strategy{world, parts...};
      const auto bind = [&](auto& w) {
        return strategy.bind(w, tutti::adamw{.learning_rate = .1});
      };
      const auto train = [&](auto& trainer, auto& w, int from, int to) {
        for (int step = from; step < to; ++step) {
          floats g(11);
          for (std::size_t i = 0; i < 11; ++i) g[i] = pull(float(w[i]), i, world.rank(), step);
          trainer.step(g);
        }
      };
      auto a = bind(whole);
      train(a, whole, 0, 12);
      memory saved;
      {
        auto b = bind(first);
        train(b, first, 0, 6);
        b.state(saved);
      }
      auto c = bind(second);
      saved.begin_reading();
      c.state(saved);
      // Masters are read; the first step rounds them into the short copies, whose gradient is taken
      // from them.
      second = first;
      train(c, second, 6, 12);
      must_equal(c.steps(), 12, "steps");
      return state_of(a).difference(state_of(c)) +
             (std::memcmp(whole.data(), second.data(), 11 * sizeof(V)) == 0 ? "" : "parameters");
    });
    for (const std::string& t : ends) BOOST_CHECK_MESSAGE(t.empty(), what << ": " << t);
  };
  run("local_sgd", 0.f, tutti::local_sgd{4});
  run("diloco", 0.f, tutti::diloco{.period = 4});
  run("sharded_diloco", 0.f, tutti::sharded_diloco{.period = 4});
  run("diloco of bfloat16", tutti::bfloat16{}, tutti::diloco{.period = 4});
  run("synchronous", 0.f, tutti::synchronous{});
  run("sharded", 0.0, tutti::sharded{});
}

// A replica that was lost - its parameters overflow - spoils what would be agreed on: nobody goes
// on without a word.
BOOST_AUTO_TEST_CASE(a_lost_replica_is_an_error_on_every_rank) {
  const auto errors = [](const auto& policy) {
    return trial::errors_on_ranks(3, [&](auto& world) {
      tensors<> m{{"a", "b"}, {{0}, {0}}};
      tutti::strategy strategy{world, policy};
      auto trainer = strategy.bind(m.parameters(), by_one,
                                   training_options{.non_finite = tutti::non_finite::skip});
      const std::vector<floats> g{{1}, {world.rank() == 1 ? 3e38f : 1.f}};
      for (int k = 0; k < 2; ++k) trainer.step(gradients(g));
    });
  };
  for (const auto& texts : {errors(tutti::local_sgd{2}), errors(tutti::diloco{.period = 2}),
                            errors(tutti::sharded_diloco{.period = 2})})
    small_model::expect_texts("lost", texts, "step 2: what rank 1 has learnt of \"b\" holds a NaN");
}

BOOST_AUTO_TEST_SUITE_END()
