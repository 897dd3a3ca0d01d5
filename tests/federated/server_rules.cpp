// What servers make of the mean of their clients: three rounds of each rule, computed independently.
#include "federated/parabolas.hpp"
#include "sync/model.hpp"

#include <tutti/optimizers/fed_opt.hpp>
#include <tutti/optimizers/laws.hpp>

#include <boost/test/unit_test.hpp>

#include <cmath>
#include <vector>

BOOST_AUTO_TEST_SUITE(federated_server_rules)

namespace {

template <class Outer>
std::vector<double> three_rounds(int ranks, Outer outer) {
  std::vector<double> got;
  tutti::threads::run(ranks, [&](auto& world) {
    trial::two_parabolas clients;
    std::vector<double> x(1);
    tutti::strategy strategy{world, tutti::federated_by<Outer>{.fraction = 1, .epochs = 2, .outer = outer}};
    auto rounds = strategy.rounds(x, tutti::sgd{.learning_rate = .1}, clients);
    for (int k = 0; k < 3; ++k) {
      (void)rounds.next();
      if (world.rank() == ranks - 1) got.push_back(x[0]);
    }
  });
  return got;
}
template <class Outer>
void check(const char* name, Outer outer, const std::vector<double>& wanted) {
  for (const int ranks : {1, 2}) {
    const auto got = three_rounds(ranks, outer);
    for (std::size_t k = 0; k < 3; ++k)
      BOOST_CHECK_MESSAGE(std::abs(got.at(k) - wanted[k]) < 1e-12, name << ", round " << k + 1 << ": " << got[k]);
  }
}

} // namespace

// FedAdam with D in the place of m would give .976470588235 in the first round.
BOOST_AUTO_TEST_CASE(three_rounds_of_every_rule_have_the_published_values) {
  check("FedAvg", tutti::sgd{.learning_rate = 1}, {.415, .68475, .8600875});
  check("FedAvgM", tutti::sgd{.learning_rate = 1, .momentum = .9}, {.415, 1.05825, 1.6817875});
  check("FedAdagrad", tutti::fed_adagrad{}, {.099759615385, .167180157085, .220613492989});
  check("FedAdam", tutti::fed_adam{}, {.097647058824, .229586397242, .382820425520});
  check("FedYogi", tutti::fed_yogi{}, {.097647058824, .229234038951, .381612196448});
}

BOOST_AUTO_TEST_CASE(they_keep_the_laws_of_optimizers) {
  const auto lawful = [](const tutti::law_report& report) { BOOST_CHECK_MESSAGE(report, report.text()); };
  lawful(tutti::check_optimizer<float>(tutti::fed_adagrad{}));
  lawful(tutti::check_optimizer<double>(tutti::fed_adam{}));
  lawful(tutti::check_optimizer<float>(tutti::fed_yogi{}));
}

// D = g throughout: after many rounds v is D^2, so that a step is the rate.
BOOST_AUTO_TEST_CASE(yogi_comes_to_rest_at_the_square) {
  double p = 0;
  double state[2] = {0, 0};
  for (int step = 1; step <= 2000; ++step) tutti::fed_yogi{}.at<double>(step)(tutti::rounding{}, p, -2., state);
  BOOST_CHECK_SMALL(state[1] - 4, 4 * .02);
  state[1] = 9; // from above as well
  for (int step = 1; step <= 2000; ++step) tutti::fed_yogi{}.at<double>(step)(tutti::rounding{}, p, -2., state);
  BOOST_CHECK_SMALL(state[1] - 4, 4 * .02);
}

BOOST_AUTO_TEST_SUITE_END()
