// q-FedAvg: rounds by hand, FedAvg where q is 0, and what it does not go with.
#include "sync/model.hpp"

#include <tutti/reducers/order_statistics.hpp>
#include <tutti/reducers/reproducible_sum.hpp>
#include <tutti/sync/q_fair.hpp>

#include <boost/test/unit_test.hpp>

#include <cmath>
#include <limits>
#include <string>
#include <vector>

BOOST_AUTO_TEST_SUITE(federated_fairness)

namespace {

constexpr double a[] = {1, 3}, b[] = {-1, 2}; // problem Q

struct telling_parabolas {
  double factor = 1; ///< of the loss that the second tells
  bool tells = true;
  int clients() const { return 2; }
  double examples(int client) const { return client + 1; }
  static double loss(int client, double x) { return a[client] / 2 * (x - b[client]) * (x - b[client]); }
  void train(int client, tutti::local_training<double>& local, tutti::random_stream) const {
    if (tells) local.tell_loss(loss(client, local.received()[0]) * (client == 1 ? factor : 1));
    for (int k = 0; k < local.epochs(); ++k)
      local.step(std::vector<double>{a[client] * (local.parameters()[0] - b[client])});
  }
};

/// The paper's sums.
double by_hand(double x, double q, bool weighted) {
  double over = 0, under = 0;
  for (int k = 0; k < 2; ++k) {
    const double p = weighted ? k + 1 : 1, loss = telling_parabolas::loss(k, x);
    double y = x;
    for (int step = 0; step < 2; ++step) y -= .1 * a[k] * (y - b[k]);
    const double far = 10 * (x - y);
    over += p * std::pow(loss, q) * far;
    under += p * (q * std::pow(loss, q - 1) * far * far + 10 * std::pow(loss, q));
  }
  return x - over / under;
}

template <class Reducer>
void check(const Reducer& reducer, double q, bool weighted) {
  for (const int ranks : {1, 2}) {
    std::vector<double> got;
    tutti::threads::run(ranks, [&](auto& world) {
      telling_parabolas clients;
      std::vector<double> x(1);
      tutti::strategy strategy{world, reducer, tutti::q_fair{{.fraction = 1, .epochs = 2}, q}};
      auto rounds = strategy.rounds(x, tutti::sgd{.learning_rate = .1}, clients);
      for (int k = 0; k < 3; ++k) {
        (void)rounds.next();
        if (world.rank() == 0) got.push_back(x[0]);
      }
    });
    double wanted = 0;
    for (std::size_t k = 0; k < 3; ++k) {
      wanted = by_hand(wanted, q, weighted);
      BOOST_CHECK_MESSAGE(std::abs(got.at(k) - wanted) < 1e-12, "q " << q << ", round " << k + 1 << ": " << got[k]);
    }
  }
}

} // namespace

BOOST_AUTO_TEST_CASE(rounds_are_those_of_the_paper) {
  BOOST_CHECK_SMALL(by_hand(0, 1, false) - 6.025 / 17.265, 1e-12);
  check(tutti::mean{}, 1, false);
  check(tutti::reproducible_weighted_mean{}, 1, true);
  check(tutti::weighted_mean{}, 2.5, true);
  BOOST_CHECK_SMALL(by_hand(0, 0, false) - .415, 1e-12); // FedAvg
  check(tutti::mean{}, 0, false);
}

BOOST_AUTO_TEST_CASE(a_loss_that_cannot_be_is_malformed) {
  for (const double factor : {-1.0, std::numeric_limits<double>::quiet_NaN(), 1e31}) {
    tutti::self world;
    telling_parabolas clients{factor};
    std::vector<double> x(1);
    tutti::strategy strategy{world, tutti::mean{}, tutti::q_fair{{.fraction = 1, .epochs = 2}}};
    auto rounds = strategy.rounds(x, tutti::sgd{.learning_rate = .1}, clients);
    const auto report = rounds.next();
    BOOST_CHECK(report.who(tutti::absence::malformed) == std::vector{1});
    BOOST_CHECK_EQUAL(report.counted, 1);
  }
}

BOOST_AUTO_TEST_CASE(what_fairness_does_not_go_with_is_refused) {
  const auto refused = [](const auto& policy, const auto& reducer, bool tells, const char* why) {
    const auto errors = trial::errors_on_ranks(2, [&](auto& world) {
      telling_parabolas clients{1, tells};
      std::vector<double> x(1);
      tutti::strategy{world, reducer, policy}.run(x, clients);
    });
    BOOST_CHECK_MESSAGE(trial::joined(errors).find(why) != std::string::npos, trial::joined(errors));
  };
  for (const double q : {-1.0, std::numeric_limits<double>::infinity()})
    refused(tutti::q_fair{{}, q}, tutti::mean{}, true, "q of the sync policy is negative or not finite");
  refused(tutti::q_fair{{.clip = 1}}, tutti::mean{}, true, "leave clip and normalized out");
  refused(tutti::q_fair{{.normalized = true}}, tutti::mean{}, true, "leave clip and normalized out");
  refused(tutti::q_fair{}, tutti::median{}, true, "give a mean");
  refused(tutti::q_fair{}, tutti::mean{}, false, "told no loss, and q_fair asks for the one at what was sent out");
}

BOOST_AUTO_TEST_SUITE_END()
