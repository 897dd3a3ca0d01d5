// The accountant against an attacker: what canaries tell is less than it says, and more where noise is halved.
#include "privacy/audit.hpp"
#include "training/arguments.hpp"

#include <boost/test/unit_test.hpp>

#include <cmath>
#include <string>

BOOST_AUTO_TEST_SUITE(privacy_audit)

BOOST_AUTO_TEST_CASE(bounds_of_probabilities_are_those_of_clopper_and_pearson) {
  BOOST_CHECK_EQUAL(trial::least_probability(0, 10, .025), 0);
  BOOST_CHECK_SMALL(trial::least_probability(5, 10, .025) - .1870860, 1e-6);
  BOOST_CHECK_SMALL(trial::least_probability(10, 10, .025) - std::pow(.025, .1), 1e-9);
}

BOOST_AUTO_TEST_CASE(canaries_stay_below_the_accountant_and_above_it_where_noise_is_halved) {
  const int canaries = std::stoi(argument("--canaries", "20000"));
  const auto with = [](double multiplier) {
    return tutti::privacy_plan{trial::all_of_them, tutti::expected_clients{}, tutti::fixed_clip{1},
                               trial::known(tutti::gaussian_noise{multiplier}, 11), tutti::renyi_accountant{}, 1e-5};
  };
  const tutti::noisy_release said{1, 2, 1};
  const double claimed = tutti::privacy_loss_accountant{}.epsilon({&said, 1}, 1e-5);
  const double honest = trial::audited_epsilon(with(2), canaries, 3), halved = trial::audited_epsilon(with(1), canaries, 3);
  BOOST_TEST_MESSAGE("claimed " << claimed << ", canaries tell " << honest << ", and " << halved << " of half the noise");
  BOOST_CHECK_GT(honest, .5);
  BOOST_CHECK_LT(honest, claimed);
  BOOST_CHECK_GT(halved, claimed);
}

BOOST_AUTO_TEST_SUITE_END()
