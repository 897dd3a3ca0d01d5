// The C++ of docs/federated.md.
#include "sync/model.hpp"

#include <tutti/federated/attacks.hpp>

#include <boost/test/unit_test.hpp>

#include <cmath>
#include <span>
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

BOOST_AUTO_TEST_SUITE_END()
