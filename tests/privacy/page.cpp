// The C++ of docs/privacy.md.
#include "privacy/runs.hpp"

#include <tutti/federated/accountants/noise_for.hpp>

#include <boost/test/unit_test.hpp>

#include <cmath>
#include <string>
#include <vector>

BOOST_AUTO_TEST_SUITE(privacy_page)

BOOST_AUTO_TEST_CASE(the_page_holds) {
  // example-begin noise
  const tutti::privacy_target wanted{.epsilon = 2, .delta = 1e-6, .rate = .01, .times = 200};
  const double multiplier = tutti::noise_multiplier_for(wanted, tutti::renyi_accountant{});
  // example-end noise
  BOOST_CHECK(multiplier > .5 && multiplier < 1);

  trial::movers phones{300, {.1}};
  std::vector<double> model(4);
  std::vector<std::string> log;
  tutti::threads::run(2, [&](auto& world) {
    auto parameters = model;
    // example-begin plan
    const tutti::privacy_plan privacy{tutti::poisson_sampling{.rate = .01},
                                      tutti::expected_clients{},
                                      tutti::fixed_clip{.length = 1},
                                      tutti::gaussian_noise{.multiplier = multiplier},
                                      tutti::privacy_loss_accountant{},
                                      1e-6};
    tutti::strategy strategy{world, tutti::federated{.epochs = 1}, privacy};
    auto rounds = strategy.rounds(parameters, tutti::sgd{.learning_rate = .1}, phones);
    while (rounds.made() < 5) {
      const tutti::round_report report = rounds.next();
      if (world.rank() == 0) log.push_back("spent " + std::to_string(report.epsilon));
    }
    // example-end plan
    if (world.rank() == 0) BOOST_CHECK_LT(privacy.epsilon(200), 2);
  });
  BOOST_CHECK_EQUAL(log.size(), 5u);

  // example-begin adaptive
  const tutti::privacy_plan adaptive{tutti::poisson_sampling{.rate = .01},
                                     tutti::expected_weight{.each = 40, .most = 100},
                                     tutti::adaptive_clip{.length = .1, .quantile = .5, .deviation = 5},
                                     tutti::gaussian_noise{.multiplier = multiplier},
                                     tutti::renyi_accountant{},
                                     1e-6};
  // example-end adaptive
  BOOST_CHECK_LE(adaptive.epsilon(200), 2);

  // example-begin in-turn
  const tutti::privacy_plan in_turn{tutti::cyclic_sampling{.cycle = 50},
                                    tutti::expected_clients{},
                                    tutti::fixed_clip{.length = 1},
                                    tutti::correlated_noise{.multiplier = 3, .width = 8},
                                    tutti::privacy_loss_accountant{},
                                    1e-6};
  const double all_rounds = in_turn.epsilon(200);
  // example-end in-turn
  BOOST_CHECK(std::isfinite(all_rounds));
  BOOST_CHECK_GT(all_rounds, in_turn.epsilon(50));
}

BOOST_AUTO_TEST_SUITE_END()
