// Policies that a graph carries: beside plain loops over matrices, with ranks that have fewer batches, alone, and
// where they cannot work.
#include "training/scratch.hpp"
#include "training/small.hpp"

#include <tutti/communicators/counted.hpp>
#include <tutti/topologies/mixing_proof.hpp>
#include <tutti/training/checkpoint.hpp>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <limits>
#include <string>
#include <vector>

BOOST_AUTO_TEST_SUITE(mixing_policies)

namespace {

using small_model::expect_texts;
using small_model::floats;
using small_model::on;
using doubles = std::vector<double>;

constexpr std::size_t n = 7;

/// The gradient of element i on a rank: a parabola of its own, so that means differ from minima.
double slope(double x, std::size_t i, int rank) { return (1 + .3 * rank) * (x - double(rank) - double(i % 3)); }

/// Every rank's parameters after each of its steps, and at the end those after finalize().
template <class Policy, class Graph>
std::vector<doubles> trained(int ranks, const std::vector<int>& steps, const Policy& policy, const Graph& graph,
                             const tutti::sgd& optimizer) {
  return on(ranks, [&](auto& world) {
    doubles x(n, world.rank() == 0 ? 1.0 : 9.0), g(n), out;
    tutti::strategy strategy{world, policy, graph};
    auto trainer = strategy.bind(x, optimizer);
    for (int step = 0; step < steps[std::size_t(world.rank())]; ++step) {
      for (std::size_t i = 0; i < n; ++i) g[i] = slope(x[i], i, world.rank());
      trainer.step(g);
      out.insert(out.end(), x.begin(), x.end());
    }
    trainer.finalize();
    out.insert(out.end(), x.begin(), x.end());
    return out;
  });
}

/// The same, plainly: what is mixed, and in what order.
struct plain {
  bool first = false, tracks = false, ratios = false;
  int period = 1;

  template <class Graph>
  std::vector<doubles> operator()(int ranks, const std::vector<int>& steps, const Graph& graph,
                                  const tutti::sgd& optimizer) const {
    const auto p = std::size_t(ranks);
    std::vector<doubles> x(p, doubles(n, 1.0)), v(p, doubles(n)), y(p, doubles(n)), last(p, doubles(n)), out(p);
    doubles w(p, 1.0);
    std::int64_t round = 0;
    const auto mix = [&](std::vector<doubles>& of, std::int64_t at) {
      std::vector<doubles> next(p, doubles(n));
      for (int r = 0; r < ranks; ++r)
        graph.mix(at, r, ranks, [&](tutti::share s) {
          if (s.to == r)
            for (std::size_t i = 0; i < n; ++i) next[std::size_t(r)][i] += s.weight * of[std::size_t(s.from)][i];
        });
      of = next;
    };
    for (int step = 0; step < *std::max_element(steps.begin(), steps.end()); ++step) {
      const std::vector<doubles> before = x;
      if (first) mix(x, round++);
      for (int r = 0; r < ranks; ++r) {
        if (step >= steps[std::size_t(r)]) continue;
        for (std::size_t i = 0; i < n; ++i) {
          const double z = ratios ? before[std::size_t(r)][i] / w[std::size_t(r)] : before[std::size_t(r)][i];
          double g = slope(z, i, r);
          if (tracks) {
            y[std::size_t(r)][i] += g - last[std::size_t(r)][i];
            last[std::size_t(r)][i] = g;
            g = y[std::size_t(r)][i];
          }
          double& velocity = v[std::size_t(r)][i];
          velocity = optimizer.momentum * velocity + g;
          x[std::size_t(r)][i] -= optimizer.learning_rate * (optimizer.momentum != 0 ? velocity : g);
        }
      }
      if (!first && (step + 1) % period == 0) {
        mix(x, round);
        if (tracks) mix(y, round);
        if (ratios) {
          std::vector<doubles> weights(p, doubles(n));
          for (std::size_t r = 0; r < p; ++r) weights[r].assign(n, w[r]);
          mix(weights, round);
          for (std::size_t r = 0; r < p; ++r) w[r] = weights[r][0];
        }
        ++round;
      }
      for (int r = 0; r < ranks; ++r)
        if (step < steps[std::size_t(r)])
          for (std::size_t i = 0; i < n; ++i)
            out[std::size_t(r)].push_back(x[std::size_t(r)][i] / (ratios ? w[std::size_t(r)] : 1));
    }
    if (first) mix(x, round); // what was offered at the beginning of the step that nobody makes
    for (std::size_t i = 0; i < n; ++i) {
      double mean = 0;
      for (const doubles& one : x) mean += one[i] / ranks;
      for (doubles& one : out) one.push_back(mean);
    }
    return out;
  }
};

void expect_near(const std::string& what, const std::vector<doubles>& got, const std::vector<doubles>& wanted) {
  double most = 0;
  for (std::size_t r = 0; r < got.size(); ++r) {
    BOOST_REQUIRE_MESSAGE(got[r].size() == wanted[r].size(), what << ", rank " << r << ": " << got[r].size()
                                                                  << " values, wanted " << wanted[r].size());
    for (std::size_t i = 0; i < got[r].size(); ++i) most = std::max(most, std::abs(got[r][i] - wanted[r][i]));
  }
  BOOST_CHECK_MESSAGE(most < 1e-11, what << ": " << most << " away");
}

constexpr tutti::sgd heavy{.learning_rate = .05, .momentum = .9}, plainly{.learning_rate = .1};

template <class Policy>
void expect_plain(const char* what, const Policy& policy, const plain& reference) {
  for (const int ranks : {1, 2, 3, 4, 5, 8})
    for (const bool uneven : {false, true}) {
      std::vector<int> steps(std::size_t(ranks), 10);
      if (uneven) steps.back() = 1, steps[std::size_t(ranks) / 2] = 9;
      const auto check = [&](const char* name, const auto& graph) {
        const std::string all = std::string{what} + " on " + std::to_string(ranks) + " ranks, " + name +
                                (uneven ? ", uneven" : "");
        expect_near(all, trained(ranks, steps, policy, graph, heavy), reference(ranks, steps, graph, heavy));
        expect_near(all + ", sgd", trained(ranks, steps, policy, graph, plainly), reference(ranks, steps, graph, plainly));
      };
      check("ring_graph", tutti::ring_graph{});
      check("one_peer_exponential", tutti::one_peer_exponential{});
      check("random_pairs", tutti::random_pairs{.seed = 4});
    }
}

/// A user's own: mixed late.
struct late {
  using part = tutti::sync_part;
  static constexpr auto contribution = tutti::contributes::parameters;
  static constexpr auto carrier = tutti::carried_by::mixing;
  int period = 1, delay = 0;
  double keep = .5;
};

/// A graph whose columns alone add up to one.
const tutti::mixing_matrix directed{{1. / 3, 0, .5, 1. / 3, .5, 0, 1. / 3, .5, .5}};

} // namespace

BOOST_AUTO_TEST_CASE(gossip_mixes_after_each_step_or_every_period) {
  expect_plain("gossip", tutti::gossip{}, {});
  expect_plain("gossip, period 3", tutti::gossip{.period = 3}, {.period = 3});
}
BOOST_AUTO_TEST_CASE(overlapped_gossip_mixes_what_the_gradient_is_taken_at) {
  expect_plain("overlapped_gossip", tutti::overlapped_gossip{}, {.first = true});
}
BOOST_AUTO_TEST_CASE(gradient_tracking_mixes_gradients_as_well) {
  expect_plain("gradient_tracking", tutti::gradient_tracking{}, {.tracks = true});
}
BOOST_AUTO_TEST_CASE(push_sum_trains_ratios) {
  expect_plain("push_sum", tutti::push_sum{}, {.ratios = true});
  const std::vector<int> steps{10, 9, 4};
  expect_near("push_sum, directed", trained(3, steps, tutti::push_sum{}, directed, heavy),
              plain{.ratios = true}(3, steps, directed, heavy));
}

// Theory: on the complete graph gossip is averaging of parameters.
BOOST_AUTO_TEST_CASE(gossip_on_the_complete_graph_is_averaging) {
  for (const int ranks : {2, 3, 5}) {
    const std::vector<int> steps(std::size_t(ranks), 12);
    expect_near("gossip on " + std::to_string(ranks),
                trained(ranks, steps, tutti::gossip{.period = 4}, tutti::complete_graph{}, heavy),
                trained(ranks, steps, tutti::local_sgd{.period = 4}, tutti::ring{}, heavy));
  }
}

// Without progress push-sum ends at the mean of what ranks have, and plain gossip elsewhere.
BOOST_AUTO_TEST_CASE(push_sum_is_unbiased_where_gossip_is_not) {
  const auto far = [](const auto& policy, const tutti::mixing_matrix& graph) {
    return on(3, [&](auto& world) {
      doubles x(1);
      tutti::strategy strategy{world, policy, graph};
      auto trainer = strategy.bind(x, small_model::by_one);
      trainer.step(doubles{world.rank() == 0 ? -3.0 : 0.0}); // 3, 0, 0; and then nothing happens
      for (int k = 0; k < 60; ++k) trainer.step(doubles{0});
      return doubles{x};
    });
  };
  for (const doubles& x : far(tutti::push_sum{}, directed)) BOOST_CHECK_SMALL(x[0] - 1, 1e-12);
  // The weights that gossip would take there: those of who hears, alike. Its columns do not add up.
  const tutti::mixing_matrix by_rows{{.5, 0, .5, .5, .5, 0, 1. / 3, 1. / 3, 1. / 3}};
  const auto said = trial::errors_on_ranks(3, [&](auto& world) {
    doubles x(1);
    tutti::strategy strategy{world, tutti::gossip{}, by_rows};
    (void)strategy.bind(x, small_model::by_one);
  });
  expect_texts("gossip by rows", said, "the graph of these 3 ranks does not lead to their mean - round 0, rank 0: the "
                                       "weights of what is heard of a rank do not add up to 1 but to 1.33333333");
}

// With a constant rate gossip stays apart where ranks have unlike data, gradient tracking does not.
BOOST_AUTO_TEST_CASE(gradient_tracking_ends_at_the_optimum_of_the_whole) {
  const std::vector<int> steps(5, 400);
  double best = 0, curvature = 0;
  for (int r = 0; r < 5; ++r) curvature += 1 + .3 * r, best += (1 + .3 * r) * r;
  best /= curvature;
  const auto last = [](const doubles& all) { return all[all.size() - 2 * n]; };
  for (const doubles& one : trained(5, steps, tutti::gradient_tracking{}, tutti::ring_graph{}, plainly))
    BOOST_CHECK_SMALL(last(one) - best, 1e-9);
  const auto apart = trained(5, steps, tutti::gossip{}, tutti::ring_graph{}, plainly);
  BOOST_CHECK_GT(std::abs(last(apart[0]) - last(apart[3])), .1);
}

// NoLoCo beside a plain loop over pairs: the outer gradient, momentum, and the pull towards the other.
BOOST_AUTO_TEST_CASE(no_loco_follows_differences_in_pairs) {
  constexpr int steps = 12, period = 3;
  const tutti::random_pairs graph{.seed = 9};
  for (const int ranks : {1, 2, 5}) {
    const tutti::no_loco policy{.period = period, .pull = .8};
    const auto p = std::size_t(ranks);
    std::vector<doubles> x(p, doubles(n, 1.0)), agreed = x, velocity(p, doubles(n)), out(p);
    for (int step = 0; step < steps; ++step) {
      for (int r = 0; r < ranks; ++r)
        for (std::size_t i = 0; i < n; ++i) x[std::size_t(r)][i] -= .1 * slope(x[std::size_t(r)][i], i, r);
      if ((step + 1) % period == 0) {
        const std::vector<doubles> old = agreed, trained_to = x;
        for (int r = 0; r < ranks; ++r) {
          const auto me = std::size_t(r), other = std::size_t(graph.partner(step / period, r, ranks));
          for (std::size_t i = 0; i < n; ++i) {
            const double difference = ((old[me][i] - trained_to[me][i]) + (old[other][i] - trained_to[other][i])) / 2;
            const double g = difference + .8 * (old[me][i] - (old[me][i] + old[other][i]) / 2);
            velocity[me][i] = .5 * velocity[me][i] + g;
            agreed[me][i] = old[me][i] - .7 * velocity[me][i];
            x[me][i] = agreed[me][i];
          }
        }
      }
      for (std::size_t r = 0; r < p; ++r) out[r].insert(out[r].end(), x[r].begin(), x[r].end());
    }
    for (std::size_t i = 0; i < n; ++i) {
      double mean = 0;
      for (const doubles& one : x) mean += one[i] / ranks;
      for (doubles& one : out) one.push_back(mean);
    }
    expect_near("no_loco on " + std::to_string(ranks),
                trained(ranks, std::vector<int>(p, steps), policy, graph, plainly), out);
  }
}

// Alone every policy is its optimizer, bit for bit.
BOOST_AUTO_TEST_CASE(one_rank_is_the_plain_optimizer) {
  const auto run = [](const auto& policy) {
    floats x(n, 3), g(n), out;
    tutti::self world;
    tutti::strategy strategy{world, policy};
    auto trainer = strategy.bind(x, tutti::sgd{.learning_rate = .7f, .momentum = .9f});
    for (int step = 0; step < 8; ++step) {
      for (std::size_t i = 0; i < n; ++i) g[i] = float(slope(x[i], i, 2)) / 3;
      trainer.step(g);
      out.insert(out.end(), x.begin(), x.end());
    }
    trainer.finalize();
    out.insert(out.end(), x.begin(), x.end());
    return out;
  };
  const floats wanted = run(tutti::synchronous{});
  BOOST_CHECK(run(tutti::gossip{}) == wanted);
  BOOST_CHECK(run(tutti::overlapped_gossip{}) == wanted);
  BOOST_CHECK(run(tutti::push_sum{}) == wanted);
  BOOST_CHECK(run(tutti::post_local_sgd{.first = 3, .later = 2}) == wanted);
  BOOST_CHECK(run(tutti::local_sgd{.period = 2}) == wanted);
}

// A neighbour gets one message a round, whatever the number of ranks.
BOOST_AUTO_TEST_CASE(what_is_sent_is_what_the_graph_says) {
  const auto sent = [](const auto& policy, const auto& graph) {
    return on(8, [&](auto& world) {
      tutti::counted counted{world};
      floats x(1000), g(1000);
      tutti::strategy strategy{counted, policy, graph};
      auto trainer = strategy.bind(x, small_model::by_one);
      const auto before = counted.sent().bytes;
      for (int k = 0; k < 6; ++k) trainer.step(g);
      const auto words = 6 * 7 * 32; // the roll call, as if by messages: 7 others hear four words
      return double(counted.sent().bytes - before) - words;
    });
  };
  for (const double bytes : sent(tutti::gossip{}, tutti::one_peer_exponential{})) BOOST_CHECK_EQUAL(bytes, 6 * 4000);
  for (const double bytes : sent(tutti::gossip{}, tutti::ring_graph{})) BOOST_CHECK_EQUAL(bytes, 6 * 8000);
  for (const double bytes : sent(tutti::push_sum{}, tutti::one_peer_exponential{})) BOOST_CHECK_EQUAL(bytes, 6 * 4004);
  for (const double bytes : sent(tutti::gradient_tracking{}, tutti::one_peer_exponential{})) BOOST_CHECK_EQUAL(bytes, 6 * 8000);
}

BOOST_AUTO_TEST_CASE(a_nan_is_everybodys_error_and_changes_nothing) {
  const auto run = [](const auto& policy) {
    const auto told = on(4, [&](auto& world) {
      floats x(n, 1), out;
      std::string said = "nothing";
      tutti::strategy strategy{world, policy, tutti::ring_graph{}};
      auto trainer = strategy.bind(x, tutti::sgd{.learning_rate = 3e38f},
                                   tutti::training_options{.non_finite = tutti::non_finite::error});
      trainer.step(floats(n, 0.f));
      const floats before = x;
      try { // finite, and what it moves the parameters to is not
        trainer.step(floats(n, world.rank() == 2 ? 100.f : 0.f));
        trainer.step(floats(n, 0.f)); // where mixing comes first
      } catch (const tutti::error& e) {
        said = e.what();
      }
      return std::pair{said, x == before};
    });
    for (const auto& [said, same] : told) {
      BOOST_CHECK_MESSAGE(has(said, "rank 2 has learnt of \"values\" holds a NaN or an infinity"), said);
      if (!tutti::answers_of(policy).offers_first) BOOST_CHECK(same);
    }
  };
  run(tutti::gossip{});
  run(tutti::overlapped_gossip{});
  run(tutti::push_sum{});
  run(tutti::gradient_tracking{});
  run(tutti::no_loco{.period = 1});
}

BOOST_AUTO_TEST_CASE(graphs_that_cannot_work_are_one_error_on_every_rank) {
  const auto said = [](const auto& policy, const auto& graph) {
    return trial::errors_on_ranks(4, [&](auto& world) {
      floats x(n);
      tutti::strategy strategy{world, policy, graph};
      (void)strategy.bind(x, small_model::by_one);
    });
  };
  expect_texts("size", said(tutti::gossip{}, directed), "the mixing matrix has 9 weights for 4 ranks - give 16");
  expect_texts("not connected", said(tutti::gossip{}, tutti::random_graph{.probability = 0}),
               "does not lead to their mean - rank 0 and rank 1: the graph is not connected");
  const tutti::mixing_matrix stays{{1, 0, 0, 0, 0, 1, 0, 0, 0, 0, 1, 0, 0, 0, 0, 1}};
  expect_texts("each alone", said(tutti::push_sum{}, stays), "the graph is not connected");
  tutti::mixing_matrix negative{doubles(16, .25)};
  negative.weights[1] = -.25, negative.weights[0] = .75;
  expect_texts("negative", said(tutti::gossip{}, negative), "a weight is not positive and finite");
  expect_texts("period", said(tutti::gossip{.period = 0}, tutti::ring_graph{}), "the period of the sync policy is 0");
  expect_texts("pull", said(tutti::no_loco{.pull = -1}, tutti::ring_graph{}), "the pull of the sync policy is negative");
  // Of another matrix on one rank.
  expect_texts("unlike", trial::errors_on_ranks(4, [&](auto& world) {
                 floats x(n);
                 tutti::strategy strategy{world, tutti::gossip{}, tutti::random_graph{.probability = .9, .seed = world.rank() == 3 ? 2u : 1u}};
                 (void)strategy.bind(x, small_model::by_one);
               }),
               "number 2 in tutti::random_graph is 1 on rank 0 and 2 on rank 3");
}

// What is on its way is mixed when it is due, and of what was learnt meanwhile a part is kept.
BOOST_AUTO_TEST_CASE(a_policy_of_your_own_may_mix_late) {
  const auto got = on(2, [](auto& world) {
    doubles x(1), out;
    tutti::strategy strategy{world, tutti::complete_graph{}, late{.period = 3, .delay = 2}};
    auto trainer = strategy.bind(x, small_model::by_one);
    for (int k = 0; k < 6; ++k) trainer.step(doubles{world.rank() == 0 ? 1. : 3.}), out.push_back(x[0]);
    return out;
  });
  // Offered at step 3 as -3 and -9, mean -6; applied at step 5, at -5 and -15: -6 + (-5 + 6) / 2 and -6 + (-15 + 6) / 2.
  BOOST_CHECK((got[0] == doubles{-1, -2, -3, -4, -5.5, -6.5}));
  BOOST_CHECK((got[1] == doubles{-3, -6, -9, -12, -10.5, -13.5}));
}

BOOST_AUTO_TEST_SUITE_END()
