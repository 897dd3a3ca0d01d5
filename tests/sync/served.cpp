// The parameter server: nothing lost, nobody too far ahead, the same parameters for all at the end.
#include "sync/model.hpp"

#include <boost/test/unit_test.hpp>

#include <atomic>
#include <cmath>
#include <limits>

BOOST_AUTO_TEST_SUITE(sync_policies)

namespace {

using trial::model;

/// Adds gradients up: after n pushes of ones every value is n.
struct counting {
  static constexpr std::array<std::string_view, 0> slots{};
  double learning_rate = 1;
  template <class T>
  auto at(std::int64_t) const {
    return [](const tutti::rounding&, T& p, T g, T*) { p += g; };
  }
};

/// The values of every rank after each worker has pushed `pushes` gradients of ones.
std::vector<std::vector<float>> counted_pushes(int ranks, tutti::star servers, int staleness,
                                               int pushes) {
  std::vector<std::vector<float>> out(static_cast<std::size_t>(ranks));
  tutti::threads::run(ranks, [&](auto& world) {
    std::vector<float> values(101), ones(101, 1.0f);
    tutti::strategy strategy{world, servers, tutti::sum{}, tutti::asynchronous{.staleness = staleness}};
    auto trainer = strategy.bind(values, counting{});
    if (trainer.role() == tutti::role::server) trainer.serve();
    for (int step = 0; step < pushes && trainer.role() != tutti::role::server; ++step)
      trainer.step(ones);
    trainer.finalize();
    out[std::size_t(world.rank())] = values;
  });
  return out;
}

} // namespace

BOOST_AUTO_TEST_CASE(every_push_is_applied_once_whatever_the_roles_and_the_bound) {
  struct layout {
    int ranks;
    tutti::star servers;
    int workers;
  };
  for (const layout& l : {layout{1, {}, 1}, layout{3, {}, 3}, layout{4, {.servers = 2}, 4},
                          layout{3, {.servers = 1, .dedicated = true}, 2},
                          layout{5, {.servers = 2, .dedicated = true}, 3}})
    for (const int staleness : {0, 1, 4, tutti::unbounded}) {
      const auto results = counted_pushes(l.ranks, l.servers, staleness, 20);
      bool right = true;
      for (const auto& values : results)
        for (const float v : values) right = right && v == float(20 * l.workers);
      BOOST_CHECK_MESSAGE(right, l.ranks << " ranks, " << l.servers.servers << " servers, dedicated "
                                         << l.servers.dedicated << ", staleness " << staleness
                                         << ": a value is " << results[0][0] << " instead of "
                                         << 20 * l.workers);
    }
}

BOOST_AUTO_TEST_CASE(no_worker_leads_by_more_than_the_bound) {
  for (const int bound : {0, 1, 3}) {
    std::atomic<int> steps[4] = {};
    std::atomic<int> worst{0};
    tutti::threads::run(4, [&](auto& world) {
      std::vector<float> values(8), ones(8, 1.0f);
      tutti::strategy strategy{world, tutti::star{.servers = 1, .dedicated = true}, tutti::sum{},
                               tutti::asynchronous{.staleness = bound}};
      auto trainer = strategy.bind(values, counting{});
      if (trainer.role() == tutti::role::server) trainer.serve();
      for (int step = 1; step <= 50 && trainer.role() != tutti::role::server; ++step) {
        steps[world.rank()] = step; // pushes begun
        trainer.step(ones);
        // An answer to push `step` means that everyone has pushed at least step - bound.
        for (int r = 1; r < 4; ++r) worst = std::max(int(worst), step - int(steps[r]));
      }
      trainer.finalize();
    });
    BOOST_CHECK_MESSAGE(worst <= bound, "a worker led by " << worst << ", the bound is " << bound);
  }
}

BOOST_AUTO_TEST_CASE(without_staleness_it_is_the_synchronous_step_in_pieces) {
  const auto asynchronous = trial::on_ranks(3, [](auto& world, model& m) {
    tutti::strategy strategy{world, tutti::asynchronous{.staleness = 0}};
    auto trainer = strategy.bind(m.parameters(), tutti::sgd{.learning_rate = 0.1});
    for (int step = 0; step < 10; ++step) trainer.step(m.gradients(world.rank()));
    trainer.finalize();
  });
  const auto synchronous = trial::on_ranks(3, [](auto& world, model& m) {
    tutti::strategy strategy{world};
    auto trainer = strategy.bind(m.parameters(), tutti::sgd{.learning_rate = 0.1});
    for (int step = 0; step < 10; ++step) trainer.step(m.gradients(world.rank()));
  });
  float worst = 0;
  for (std::size_t i = 0; i < synchronous[0].size(); ++i)
    worst = std::max(worst, std::abs(synchronous[0][i] - asynchronous[2][i]) /
                                (1 + std::abs(synchronous[0][i])));
  BOOST_CHECK_MESSAGE(worst < 1e-5f, "the worst relative difference is " << worst);
}

BOOST_AUTO_TEST_CASE(a_nan_in_a_push_is_everybodys_error_or_nobodys_update) {
  const auto errors = trial::errors_on_ranks(3, [](auto& world) {
    std::vector<float> values(50), gradient(50, 1.0f);
    tutti::strategy strategy{world, tutti::asynchronous{.staleness = 0}};
    auto trainer = strategy.bind(values, tutti::sgd{});
    for (int step = 1; step <= 3; ++step) {
      if (step == 2 && world.rank() == 2) gradient[7] = std::numeric_limits<float>::quiet_NaN();
      trainer.step(gradient);
    }
    trainer.finalize();
  });
  BOOST_CHECK_MESSAGE(trial::all_contain(errors, "step 2: the gradient of \"values\" on rank 2"),
                      trial::joined(errors));

  std::vector<std::vector<float>> results(2);
  tutti::threads::run(2, [&](auto& world) {
    std::vector<float> values(3), gradient(3, world.rank() == 0 ? 1.0f : INFINITY);
    tutti::strategy strategy{world, tutti::sum{}, tutti::asynchronous{}};
    auto trainer = strategy.bind(values, counting{},
                                 tutti::training_options{.non_finite = tutti::non_finite::skip});
    for (int step = 0; step < 5; ++step) trainer.step(gradient);
    trainer.finalize();
    results[std::size_t(world.rank())] = values;
  });
  BOOST_CHECK(results[0] == results[1] && results[0][0] == 5.0f);
}

BOOST_AUTO_TEST_CASE(roles_that_leave_no_one_to_work_and_misuse_are_refused) {
  const auto refused = [](int ranks, tutti::star servers) {
    return trial::errors_on_ranks(ranks, [&](auto& world) {
      std::vector<float> values(3);
      tutti::strategy strategy{world, servers, tutti::asynchronous{}};
      strategy.bind(values, tutti::sgd{});
    });
  };
  BOOST_CHECK(trial::all_contain(refused(2, {.servers = 2, .dedicated = true}),
                                 "all 2 ranks are dedicated servers and none is left to work"));
  BOOST_CHECK(trial::all_contain(refused(2, {.servers = 0}), "there are 0 servers for 2 ranks"));
  // A gradient of a server is nobody's: it is refused, and serves on.
  const auto misuse = [](auto&& call) {
    return trial::errors_on_ranks(2, [&](auto& world) {
      std::vector<float> values(3);
      tutti::strategy strategy{world, tutti::star{.dedicated = true}, tutti::asynchronous{}};
      auto trainer = strategy.bind(values, tutti::sgd{.learning_rate = 1});
      if (trainer.role() == tutti::role::worker) trainer.step(std::vector<float>(3, 1));
      std::string said;
      try {
        if (trainer.role() == tutti::role::server) call(trainer);
      } catch (const tutti::error& e) {
        said = e.what();
      }
      trainer.finalize();
      if (values[0] != -1) throw tutti::error{{.detail = "the worker's push is not there"}};
      if (trainer.role() == tutti::role::worker) said = "is a dedicated server";
      throw tutti::error{{.detail = said}};
    });
  };
  const std::vector<float> ones(3, 1);
  for (const auto& said : {misuse([&](auto& t) { t.step(ones); }), misuse([&](auto& t) { t.begin(ones); }),
                           misuse([&](auto& t) { t.accumulate(ones); })})
    BOOST_CHECK_MESSAGE(trial::all_contain(said, "is a dedicated server"), trial::joined(said));
}

BOOST_AUTO_TEST_CASE(a_staleness_that_is_wrong_on_one_rank_is_told_to_all) {
  const auto errors = trial::errors_on_ranks(3, [](auto& world) {
    std::vector<float> values(3);
    const int lead = world.rank() == 1 ? -2 : 4;
    tutti::strategy strategy{world, tutti::asynchronous{.staleness = lead}};
    strategy.bind(values, tutti::sgd{});
  });
  BOOST_CHECK_MESSAGE(trial::all_contain(errors, "rank 1: the staleness of the sync policy is -2"),
                      trial::joined(errors));
}

// Rank 1 pushes only when the sum is there, to which rank 0 contributes while it serves.
BOOST_AUTO_TEST_CASE(what_is_in_flight_goes_on_while_a_server_waits_for_pushes) {
  const auto errors = trial::errors_on_ranks(2, [](auto& world) {
    std::vector<float> values(5), gradient(5, 1.0f), x(3000, 1.0f);
    tutti::strategy strategy{world, tutti::star{}, tutti::asynchronous{.staleness = 0}};
    auto trainer = strategy.bind(values, tutti::sgd{});
    tutti::request sum = tutti::async_all_reduce(world, x, tutti::ring{}, tutti::sum{});
    if (world.rank() == 1) sum.wait();
    trainer.step(gradient);
    sum.wait();
    trainer.finalize();
    if (x[2999] != 2) throw std::runtime_error{"a result is wrong"};
  });
  BOOST_CHECK_MESSAGE(trial::all_contain(errors, "none"),
                      trial::joined(errors));
}

// A collective between two steps, of ranks that have made unlike numbers of them: servers answer within it.
BOOST_AUTO_TEST_CASE(evaluation_between_steps) {
  for (const tutti::star servers :
       {tutti::star{}, tutti::star{.servers = 2}, tutti::star{.servers = 1, .dedicated = true}}) {
    const auto errors = trial::errors_on_ranks(3, [&](auto& world) {
      std::vector<float> values(50), ones(50, 1.0f);
      tutti::strategy strategy{world, servers, tutti::sum{}, tutti::asynchronous{}};
      auto trainer = strategy.bind(values, counting{});
      float steps = 0;
      for (int epoch = 0; epoch < 4; ++epoch) {
        for (int k = 0; trainer.role() != tutti::role::server && k < 5 * world.rank() + epoch; ++k, ++steps)
          trainer.step(ones);
        std::vector<float> loss(2, 1.0f);
        tutti::all_reduce(world, loss);
        if (loss[1] != 3) throw std::runtime_error{"a sum is wrong"};
      }
      std::vector<float> all{steps};
      tutti::all_reduce(world, all, tutti::ring{});
      trainer.finalize();
      if (values[49] != all[0]) throw std::runtime_error{"a push was lost"};
    });
    BOOST_CHECK_MESSAGE(trial::all_contain(errors, "none"), servers.servers << " servers, dedicated "
                                                                            << servers.dedicated
                                                                            << trial::joined(errors));
  }
}

// With the same trainer, with another after it, and with another while it is still there.
BOOST_AUTO_TEST_CASE(training_goes_on_after_finalize) {
  for (const tutti::star servers :
       {tutti::star{}, tutti::star{.servers = 2}, tutti::star{.servers = 1, .dedicated = true},
        tutti::star{.servers = 2, .dedicated = true}})
    for (const int staleness : {0, 3, tutti::unbounded}) {
      const int workers = servers.dedicated ? 4 - servers.servers : 4;
      const auto errors = trial::errors_on_ranks(4, [&](auto& world) {
        std::vector<float> values(50), ones(50, 1.0f);
        tutti::strategy strategy{world, servers, tutti::sum{}, tutti::asynchronous{.staleness = staleness}};
        const auto train = [&](auto& trainer, int steps, float wanted) {
          if (trainer.role() == tutti::role::server)
            trainer.serve();
          else
            for (int k = 0; k < steps; ++k) trainer.step(ones);
          trainer.finalize();
          if (values[0] != wanted || values[49] != wanted) throw std::runtime_error{"a push was lost"};
        };
        {
          auto first = strategy.bind(values, counting{});
          train(first, 5, float(5 * workers));
          train(first, 3, float(8 * workers));
        }
        auto second = strategy.bind(values, counting{});
        train(second, 2, float(10 * workers));
        auto third = strategy.bind(values, counting{});
        train(third, 7, float(17 * workers));
        tutti::strategy reduced{world, tutti::sum{}};
        auto fourth = reduced.bind(values, counting{});
        fourth.step(ones);
        if (values[49] != float(17 * workers + 4)) throw std::runtime_error{"a synchronous step is wrong"};
      });
      BOOST_CHECK_MESSAGE(trial::all_contain(errors, "none"),
                          servers.servers << " servers, dedicated " << servers.dedicated << ", staleness "
                                          << staleness << trial::joined(errors));
    }
}

BOOST_AUTO_TEST_CASE(a_worker_that_throws_is_named_to_the_others) {
  const auto errors = trial::errors_on_ranks(3, [](auto& world) {
    std::vector<float> values(50), gradient(50, 1.0f);
    tutti::strategy strategy{world, tutti::asynchronous{.staleness = 0}};
    auto trainer = strategy.bind(values, tutti::sgd{});
    for (int step = 1; step <= 3; ++step) {
      if (step == 2 && world.rank() == 2) throw std::runtime_error("out of coffee");
      trainer.step(gradient);
    }
  });
  BOOST_CHECK_MESSAGE(trial::all_contain({errors[0], errors[1]}, "peer_lost") &&
                          trial::all_contain({errors[0], errors[1]}, "(peer 2)"),
                      trial::joined(errors));
}

BOOST_AUTO_TEST_SUITE_END()
