// The C++ of docs/federated.md.
#include "sync/model.hpp"
#include "training/scratch.hpp"

#include <tutti/federated/attacks.hpp>
#include <tutti/federated/round_client.hpp>
#include <tutti/federated/round_server.hpp>
#include <tutti/training/checkpoint.hpp>

#include <boost/test/unit_test.hpp>

#include <cmath>
#include <span>
#include <string>
#include <vector>

BOOST_AUTO_TEST_SUITE(federated_page)

namespace {

// example-begin population
/// A hundred phones, each with some points on a line that all of them are looking for.
struct phones {
  int clients() const { return 100; }
  double examples(int client) const { return 5 + client % 4; }
  void train(int client, tutti::local_training<double>& local, tutti::random_stream random) {
    for (int k = 0; k < local.epochs() * int(examples(client)); ++k) {
      const double x = random.uniform(), off = predicted(local.parameters(), x) - (2 * x + 1);
      local.step(std::vector{off * x, off});
    }
  }
  tutti::score evaluate(std::span<const double> w, int part, int) { // optional: a share of a test set
    return part == 0 ? tutti::score{std::abs(predicted(w, .5) - 2), 1} : tutti::score{};
  }
  static double predicted(std::span<const double> w, double x) { return w[0] * x + w[1]; }
};
// example-end population

} // namespace

BOOST_AUTO_TEST_CASE(the_page_holds) {
  std::vector<double> errors(3);
  tutti::threads::run(2, [&](auto& world) {
    phones people;
    std::vector<double> model(2);
    // example-begin rounds
    tutti::strategy averaging{world, tutti::federated{.fraction = .1}};
    auto rounds = averaging.rounds(model, tutti::sgd{.learning_rate = .3}, people);
    while (rounds.made() < 30) {
      const tutti::round_report report = rounds.next(); // the same on every rank
      if (world.rank() == 0) errors[0] = report.metric;
    }
    // example-end rounds
    std::vector<double> other(2);
    // example-begin robust
    tutti::attacked hostile{people, 10, tutti::attacks::sign_flip{10}};
    tutti::strategy robust{world, tutti::bucketing{tutti::median{}, 2}, tutti::federated{.fraction = .5}};
    robust.run(other, tutti::sgd{.learning_rate = .3}, hostile, {.rounds = 30}, [&](const auto& round) {
      if (world.rank() == 0) errors[1] = round.metric;
      return true;
    });
    // example-end robust
    std::vector<double> third(2);
    // example-begin heterogeneous
    tutti::strategy corrected{world, tutti::reproducible_weighted_mean{},
                              tutti::at_least<tutti::determinism::rank_count_invariant>{},
                              tutti::scaffold{{.fraction = .1, .epochs = 2}}};
    // example-end heterogeneous
    corrected.run(third, tutti::sgd{.learning_rate = .3}, people, {.rounds = 30}, [&](const auto& round) {
      if (world.rank() == 0) errors[2] = round.metric;
      return true;
    });
  });
  for (const double off : errors) BOOST_CHECK_MESSAGE(off < .1, off);
}

BOOST_AUTO_TEST_CASE(the_page_holds_of_servers) {
  const scratch here;
  const std::string folder = here / "latest";
  std::vector<double> model(2);
  tutti::threads::run(3, [&](auto& world) {
    phones people;
    std::vector<double> parameters(2);
    // example-begin roles
    if (world.rank() == 0) {
      tutti::round_server server{world, parameters, tutti::federated{.fraction = .1}, {.clients = 100}};
      while (server.made() < 20) (void)server.next();
      server.save(folder);
      server.finish();
    } else {
      std::vector<int> mine;
      for (int c = world.rank() - 1; c < 100; c += world.size() - 1) mine.push_back(c);
      tutti::round_client client{world, parameters, tutti::sgd{.learning_rate = .3}};
      client.serve(people, mine);
    }
    // example-end roles
  });
  tutti::threads::run(3, [&](auto& world) {
    phones people;
    std::vector<double> parameters(2);
    if (world.rank() == 0) {
      // example-begin buffer
      tutti::round_server server{world, parameters, tutti::federated{}, {.buffer = 10, .clients = 100}};
      // example-end buffer
      BOOST_CHECK(!server.load(folder).empty()); // of rounds of cohorts
      while (server.made() < 50) (void)server.next();
      server.finish();
      model = parameters;
    } else {
      std::vector<int> mine;
      for (int c = world.rank() - 1; c < 100; c += world.size() - 1) mine.push_back(c);
      tutti::round_client client{world, parameters, tutti::sgd{.learning_rate = .3}};
      client.serve(people, mine);
    }
  });
  BOOST_CHECK_SMALL(phones::predicted(model, .5) - 2, .1);
}

BOOST_AUTO_TEST_SUITE_END()
