// Federated rounds, tried: weights by hand, shares of the cohort that are empty, ranks that
// disagree.
#include "sync/model.hpp"

#include <boost/test/unit_test.hpp>

#include <cmath>
#include <map>
#include <set>
#include <stdexcept>

BOOST_AUTO_TEST_SUITE(federated)

namespace {

/// Test problem Q: two parabolas of equal weight, two local steps of rate 0.1; .415, .68475,
/// .8600875.
struct problem_q {
  int clients() const { return 2; }
  double examples(int) const { return 5; }
  void train(int client, tutti::local_training<double>& local, tutti::random_stream) const {
    const double a = client == 0 ? 1 : 3, b = client == 0 ? -1 : 2;
    double& x = local.parameters()[0];
    for (int k = 0; k < local.epochs(); ++k) x -= 0.1 * a * (x - b);
  }
};

/// Client c answers c whatever it is sent, and holds c + 1 examples. Notes who was asked, and with
/// what.
struct constant_clients {
  int size = 4;
  std::vector<int> asked = {};
  std::vector<std::uint32_t> draws = {};

  int clients() const { return size; }
  double examples(int client) const { return client + 1; }
  void train(int client, tutti::local_training<double>& local, tutti::random_stream random) {
    asked.push_back(client);
    draws.push_back(random());
    for (double& x : local.parameters()) x = client;
  }
  tutti::score evaluate(std::span<const double> parameters, int part, int parts) const {
    // Ten examples, each worth the first parameter; dealt out to the ranks.
    tutti::score mine;
    for (int i = part; i < 10; i += parts) {
      mine.sum += parameters[0];
      mine.count += 1;
    }
    return mine;
  }
};

} // namespace

BOOST_AUTO_TEST_CASE(problem_q_on_every_topology_and_with_half_the_outer_rate) {
  const auto rounds = [](int ranks, int count, double rate, auto... parts) {
    double x = 0;
    tutti::threads::run(ranks, [&](auto& world) {
      std::vector<double> values(1, world.rank() == 0 ? 0.0 : 7.0); // rank 0's are the initial ones
      problem_q clients;
      tutti::strategy strategy{
          world, tutti::federated{.fraction = 1, .epochs = 2, .outer = {.learning_rate = rate}}, parts...};
      const auto report = strategy.run(values, clients, {.rounds = count});
      if (world.rank() == ranks - 1) x = values[0];
      if (int(report.rounds.size()) != count || report.rounds[0].clients != 2)
        throw std::runtime_error{"the report is wrong"};
    });
    return x;
  };
  const double expected[] = {.415, .68475, .8600875};
  for (const int ranks : {1, 2, 4}) {
    for (int n = 1; n <= 3; ++n) {
      for (const double x : {rounds(ranks, n, 1, tutti::ring{}), rounds(ranks, n, 1, tutti::star{}),
                             rounds(ranks, n, 1, tutti::mean{})})
        BOOST_CHECK_MESSAGE(std::abs(x - expected[n - 1]) < 1e-12,
                            ranks << " ranks, round " << n << ": " << x);
    }
    const double halved = rounds(ranks, 1, .5);
    BOOST_CHECK_MESSAGE(std::abs(halved - .2075) < 1e-12,
                        ranks << " ranks, half the rate: " << halved);
  }
}

BOOST_AUTO_TEST_CASE(clients_weigh_what_they_hold_or_all_alike) {
  for (const int ranks : {1, 2, 3, 6}) // with six ranks two have no client
    tutti::threads::run(ranks, [&](auto& world) {
      const auto mean_of_four = [&](auto reducer) {
        constant_clients clients;
        std::vector<double> values(3, 100.0);
        tutti::strategy strategy{world, reducer, tutti::federated{.fraction = 1}};
        const auto report = strategy.run(values, clients, {.rounds = 1});
        if (std::abs(report.rounds[0].metric - values[0]) > 1e-12)
          throw std::runtime_error{"the metric is not that of all shares"};
        return values[2];
      };
      // (0 * 1 + 1 * 2 + 2 * 3 + 3 * 4) / (1 + 2 + 3 + 4), and (0 + 1 + 2 + 3) / 4
      if (std::abs(mean_of_four(tutti::weighted_mean{}) - 2.0) > 1e-12)
        throw std::runtime_error{"the weighted mean of the clients is wrong"};
      if (std::abs(mean_of_four(tutti::mean{}) - 1.5) > 1e-12)
        throw std::runtime_error{"the mean of the clients is wrong"};
    });
  BOOST_CHECK(true); // what is wrong has been thrown
}

BOOST_AUTO_TEST_CASE(
    each_client_of_a_cohort_is_asked_once_with_its_own_numbers_whatever_the_ranks) {
  std::map<int, std::set<std::pair<int, std::uint32_t>>> asked; // by rank count
  for (const int ranks : {1, 2, 5}) {
    std::mutex guard;
    std::size_t calls = 0;
    tutti::threads::run(ranks, [&](auto& world) {
      constant_clients clients{.size = 40};
      std::vector<double> values(1);
      tutti::strategy{world, tutti::federated{.fraction = .2}}.run(values, clients, {.rounds = 3});
      std::scoped_lock lock{guard};
      calls += clients.asked.size();
      for (std::size_t k = 0; k < clients.asked.size(); ++k)
        asked[ranks].insert({clients.asked[k], clients.draws[k]});
    });
    BOOST_CHECK_EQUAL(calls, 3 * 8u);
  }
  BOOST_CHECK(asked[1] == asked[2] && asked[1] == asked[5]);
  BOOST_CHECK(asked[1].size() > 8); // not the same eight in every round
}

BOOST_AUTO_TEST_CASE(every_pair_of_clients_meets_alike_often) {
  std::vector<int> together(36);
  for (std::uint32_t round = 0; round < 6000; ++round) {
    const auto cohort = tutti::draw_cohort(6, 2, 11, round);
    ++together[std::size_t(std::min(cohort[0], cohort[1]) * 6 + std::max(cohort[0], cohort[1]))];
  }
  // 15 pairs, 400 expected of each, standard deviation 19.
  for (int a = 0; a < 6; ++a)
    for (int b = a + 1; b < 6; ++b)
      BOOST_CHECK_MESSAGE(std::abs(together[std::size_t(a * 6 + b)] - 400) < 100,
                          a << " and " << b << " met " << together[std::size_t(a * 6 + b)]
                            << " times");
}

BOOST_AUTO_TEST_CASE(a_cohort_is_at_least_one_client_and_at_most_all) {
  for (const auto& [fraction, expected] :
       {std::pair{0.0, 1}, {0.001, 1}, {0.25, 1}, {0.5, 2}, {1.0, 4}, {7.0, 4}})
    tutti::threads::run(2, [&, f = fraction, n = expected](auto& world) {
      constant_clients clients;
      std::vector<double> values(1);
      tutti::strategy strategy{world, tutti::federated{.fraction = f}};
      if (strategy.run(values, clients, {.rounds = 1}).rounds[0].clients != n)
        throw std::runtime_error{"fraction " + std::to_string(f) +
                                 " draws another number of clients"};
    });
  BOOST_CHECK(true);
}

BOOST_AUTO_TEST_CASE(the_callback_ends_the_run_on_every_rank) {
  tutti::threads::run(3, [](auto& world) {
    constant_clients clients;
    std::vector<double> values(1);
    tutti::strategy strategy{world, tutti::federated{}};
    const auto report = strategy.run(values, clients, {.rounds = 50},
                                     [](const tutti::round_report& r) { return r.round < 4; });
    if (report.rounds.size() != 4 || !report.stopped) throw std::runtime_error{"it went on"};
  });
  BOOST_CHECK(true);
}

BOOST_AUTO_TEST_CASE(ranks_that_disagree_about_the_run_are_told_so_on_every_rank) {
  const auto texts = [](tutti::run_options odd, int odd_size, tutti::federated odd_policy) {
    return trial::errors_on_ranks(3, [=](auto& world) {
      const bool other = world.rank() == 1;
      constant_clients clients{.size = other ? odd_size : 4};
      std::vector<double> values(1);
      tutti::strategy strategy{world, other ? odd_policy : tutti::federated{}};
      strategy.run(values, clients, other ? odd : tutti::run_options{});
    });
  };
  const auto expect = [](const char* what, const std::vector<std::string>& got) {
    BOOST_CHECK_MESSAGE(trial::all_contain(got, "ranks 0 and 1 plan different runs"),
                        what << trial::joined(got));
  };
  expect("seed", texts({.seed = 2}, 4, {}));
  expect("rounds", texts({.rounds = 99}, 4, {}));
  expect("clients", texts({}, 5, {}));
  expect("fraction", texts({}, 4, {.fraction = .2}));
  expect("epochs", texts({}, 4, {.epochs = 3}));
  expect("outer", texts({}, 4, {.outer = {.learning_rate = .3}}));
  const auto nobody = trial::errors_on_ranks(2, [](auto& world) {
    constant_clients clients{.size = 0};
    std::vector<double> values(1);
    tutti::strategy{world, tutti::federated{}}.run(values, clients);
  });
  BOOST_CHECK_MESSAGE(trial::all_contain(nobody, "the population has no clients"),
                      trial::joined(nobody));
}

// Also where the sum of a rank's clients would hide it.
BOOST_AUTO_TEST_CASE(a_client_of_fewer_than_no_examples_is_everybodys_error) {
  struct odd_clients : constant_clients {
    double examples(int client) const { return client == 2 ? -1.0 : 10.0; }
  };
  const auto errors = trial::errors_on_ranks(2, [](auto& world) {
    odd_clients clients;
    std::vector<double> values(1);
    tutti::strategy{world, tutti::federated{.fraction = 1}}.run(values, clients);
  });
  BOOST_CHECK_MESSAGE(trial::all_contain(errors, "client 2 has -1.000000 examples") &&
                          trial::all_contain(errors, "invalid_argument"),
                      trial::joined(errors));
}

BOOST_AUTO_TEST_CASE(answers_that_rounds_do_not_carry_out_are_refused) {
  struct nobody_asked : tutti::federated {
    constexpr int cohort(int) const noexcept { return 0; }
  };
  const auto refused = [](const char* why, auto policy) {
    const auto errors = trial::errors_on_ranks(2, [&](auto& world) {
      constant_clients clients;
      std::vector<double> values(1);
      tutti::strategy{world, policy}.run(values, clients);
    });
    BOOST_CHECK_MESSAGE(trial::all_contain(errors, why), trial::joined(errors));
  };
  refused("the cohort of the sync policy is not between one client and all", nobody_asked{});
  refused("the sync policy asks for a negative number of epochs", tutti::federated{.epochs = -1});
  refused("the outer learning rate of the sync policy is not finite",
          tutti::federated{.outer = {.learning_rate = std::numeric_limits<double>::infinity()}});
}

namespace {

/// As many clients every time, whoever there is.
struct fixed_cohort {
  using part = tutti::sync_part;
  static constexpr bool over_population = true;

  int asked = 3;
  int epochs = 1;
  tutti::sgd outer = {.learning_rate = 0.5};
  constexpr int cohort(int clients) const noexcept { return asked < clients ? asked : clients; }
};

} // namespace

BOOST_AUTO_TEST_CASE(a_policy_of_a_users_own_says_who_is_asked) {
  std::vector<std::vector<double>> got(2);
  tutti::threads::run(2, [&](auto& world) {
    constant_clients clients;
    std::vector<double> values(1, 10.0);
    tutti::strategy strategy{world, tutti::mean{}, fixed_cohort{.asked = 4}};
    const auto report = strategy.run(values, clients, {.rounds = 1});
    got[std::size_t(world.rank())] = {values[0], double(report.rounds.at(0).clients)};
  });
  for (const auto& mine : got)
    BOOST_CHECK((mine == std::vector<double>{10 + 0.5 * ((0 + 1 + 2 + 3) / 4.0 - 10), 4}));
}

BOOST_AUTO_TEST_CASE(a_client_that_throws_ends_the_run_everywhere) {
  struct faulty_clients : constant_clients {
    void train(int client, tutti::local_training<double>&, tutti::random_stream) {
      if (client == 2) throw std::runtime_error{"the client's battery is empty"};
    }
  };
  std::vector<std::string> texts(3, "none");
  BOOST_CHECK_THROW(
      tutti::threads::run(
          3,
          [&](auto& world) {
            faulty_clients clients;
            std::vector<double> values(1);
            try {
              tutti::strategy{world, tutti::federated{.fraction = 1}}.run(values, clients);
            } catch (const std::exception& e) {
              texts[std::size_t(world.rank())] = e.what();
              throw;
            }
          }),
      std::runtime_error);
  int told = 0, own = 0;
  for (const std::string& t : texts) {
    told += t.find("peer_lost") != std::string::npos;
    own += t == "the client's battery is empty";
  }
  BOOST_CHECK_MESSAGE(told == 2 && own == 1, trial::joined(texts));
}

BOOST_AUTO_TEST_SUITE_END()
