// What was spent goes through checkpoints, and noise does not; numbers that no plan has are refused.
#include "privacy/runs.hpp"
#include "training/scratch.hpp"

#include <tutti/training/checkpoint.hpp>

#include <boost/test/unit_test.hpp>

#include <cmath>
#include <limits>
#include <string>
#include <vector>

BOOST_AUTO_TEST_SUITE(private_checkpoints)

namespace private_checkpoint_tests {

using trial::known;
using trial::movers;
using tutti::privacy_plan;

const tutti::renyi_accountant usual{};
constexpr tutti::expected_clients alike{};

struct ended {
  double epsilon = 0, clip = 0;
  std::vector<double> values;
  std::string refused;
};

/// Rounds on two ranks until there are so many.
template <class Plan>
ended rounds_to(int until, const Plan& plan, const std::string& from, const std::string& to, int ranks = 2) {
  ended out;
  tutti::threads::run(ranks, [&](auto& world) {
    movers clients{4, {0}};
    std::vector<double> x(3);
    tutti::strategy strategy{world, tutti::federated{}, plan};
    try {
      auto rounds = strategy.rounds(x, tutti::sgd{}, clients);
      if (!from.empty()) rounds.load(from);
      tutti::round_report last;
      while (rounds.made() < until) last = rounds.next();
      if (!to.empty()) rounds.save(to);
      if (world.rank() == 0) out = {last.epsilon, last.clip, x, {}};
    } catch (const tutti::error& e) {
      if (world.rank() == 0) out.refused = e.what();
    }
  });
  return out;
}
template <class Plan>
void refuses(const Plan& plan, const char* why) {
  const ended got = rounds_to(1, plan, "", "");
  BOOST_CHECK_MESSAGE(got.refused.find(why) != std::string::npos, got.refused << " for " << why);
}
bool says(const std::string& text, const char* part) { return text.find(part) != std::string::npos; }

} // namespace private_checkpoint_tests

using namespace private_checkpoint_tests;

BOOST_AUTO_TEST_CASE(what_was_spent_is_spent_after_a_resume) {
  const scratch here;
  const privacy_plan plan{tutti::poisson_sampling{.5}, alike, tutti::adaptive_clip{.rate = .01},
                          known(tutti::gaussian_noise{1}), usual, 1e-5};
  const ended half = rounds_to(100, plan, "", here / "half");
  const ended resumed = rounds_to(200, plan, here / "half", "", 3);
  const ended straight = rounds_to(200, plan, "", "");
  BOOST_CHECK_EQUAL(resumed.epsilon, straight.epsilon);
  BOOST_CHECK_EQUAL(resumed.epsilon, plan.epsilon(200));
  BOOST_CHECK_GT(resumed.epsilon, half.epsilon);
  BOOST_CHECK(resumed.values != straight.values); // another key
  BOOST_CHECK_GT(std::abs(half.clip - .1), .001);
  BOOST_CHECK_CLOSE(rounds_to(101, plan, here / "half", "").clip, half.clip, 25); // it goes on from there

  // With other noise from there on every release counts as it was.
  const privacy_plan louder{tutti::poisson_sampling{.2}, alike, tutti::adaptive_clip{}, known(tutti::gaussian_noise{2}),
                            usual, 1e-5};
  const std::vector<tutti::noisy_release> both{{.5, 1, 100}, {.2, 2, 50}};
  BOOST_CHECK_EQUAL(rounds_to(150, louder, here / "half", "").epsilon, usual.epsilon(both, 1e-5));
}

BOOST_AUTO_TEST_CASE(going_back_in_one_run_makes_other_noise) {
  const scratch here;
  const privacy_plan plan{tutti::poisson_sampling{1}, alike, tutti::adaptive_clip{}, known(tutti::gaussian_noise{1}), usual,
                          1e-5};
  tutti::threads::run(2, [&](auto& world) {
    movers clients{4, {0}};
    std::vector<double> x(3);
    tutti::strategy strategy{world, tutti::federated{}, plan};
    auto rounds = strategy.rounds(x, tutti::sgd{}, clients);
    (void)rounds.next();
    rounds.save(here / "first");
    (void)rounds.next();
    const std::vector<double> second = x;
    rounds.load(here / "first");
    (void)rounds.next();
    if (world.rank() == 0) BOOST_CHECK(x != second);
  });
}

BOOST_AUTO_TEST_CASE(the_history_of_another_sampler_is_refused) {
  const scratch here;
  const privacy_plan drawn{tutti::poisson_sampling{.5}, alike, tutti::adaptive_clip{}, known(tutti::gaussian_noise{1}),
                           usual, 1e-5};
  const privacy_plan in_turn{tutti::cyclic_sampling{2}, alike, tutti::fixed_clip{}, known(tutti::correlated_noise{2, 3}),
                             usual, 1e-5};
  rounds_to(3, drawn, "", here / "drawn");
  rounds_to(3, in_turn, "", here / "in turn");
  BOOST_CHECK(says(rounds_to(4, in_turn, here / "drawn", "").refused, "privacy was spent under another kind of sampler"));
  BOOST_CHECK(says(rounds_to(4, drawn, here / "in turn", "").refused, "privacy was spent under another kind of sampler"));

  // Correlated noise begins anew, and two beginnings are paid.
  tutti::detail::private_rounds part = in_turn.one_round();
  std::vector<tutti::noisy_release> parts;
  for (const std::int64_t rounds : {3, 5}) part.rounds = rounds, parts.push_back(part.released());
  BOOST_CHECK_EQUAL(rounds_to(8, in_turn, here / "in turn", "").epsilon, usual.epsilon(parts, 1e-5));
}

BOOST_AUTO_TEST_CASE(numbers_that_no_plan_has_are_refused) {
  const double nan = std::numeric_limits<double>::quiet_NaN(), infinity = std::numeric_limits<double>::infinity();
  const tutti::poisson_sampling drawn{.5};
  const tutti::gaussian_noise noise{1};
  using clip = tutti::adaptive_clip;
  for (const double bad : {nan, infinity, 0.0, -0.0, -1.0}) {
    refuses(privacy_plan{drawn, alike, clip{.length = bad}, known(noise), usual, 1e-5},
            "the length of the clip is not a positive number");
    refuses(privacy_plan{drawn, alike, clip{}, known(tutti::gaussian_noise{bad}), usual, 1e-5},
            "the multiplier of the noise is not a positive number");
    refuses(privacy_plan{drawn, alike, clip{}, known(noise), usual, bad}, "the delta of the privacy plan is not between");
    refuses(privacy_plan{drawn, alike, clip{.rate = bad}, known(noise), usual, 1e-5}, "the rate of adaptive_clip");
    refuses(privacy_plan{drawn, alike, clip{.quantile = bad}, known(noise), usual, 1e-5}, "the quantile of adaptive_clip");
    BOOST_CHECK(says(tutti::fixed_clip{bad}.wrong(1), "the length of the clip"));
    BOOST_CHECK(says((tutti::expected_weight{bad, 1}.wrong()), "each and most of expected_weight"));
    BOOST_CHECK(says((tutti::expected_weight{1, bad}.wrong()), "each and most of expected_weight"));
  }
  refuses(privacy_plan{drawn, alike, clip{.deviation = .5}, known(noise), usual, 1e-5},
          "the share alone spends more than all");
  refuses(privacy_plan{drawn, alike, clip{.deviation = nan}, known(noise), usual, 1e-5}, "the deviation of adaptive_clip");
  refuses(privacy_plan{tutti::poisson_sampling{0}, alike, clip{}, known(noise), usual, 1e-5}, "expects nobody");
  refuses(privacy_plan{tutti::poisson_sampling{nan}, alike, clip{}, known(noise), usual, 1e-5}, "is no probability");
  refuses(privacy_plan{drawn, alike, clip{}, known(noise), tutti::renyi_accountant{{1}}, 1e-5}, "an order of renyi");
  BOOST_CHECK(says(tutti::cyclic_sampling{0}.wrong(), "the cycle of cyclic_sampling is less than 1"));
  BOOST_CHECK(says((tutti::correlated_noise{1, 1}.wrong()), "the width of correlated_noise is less than 2"));
  BOOST_CHECK(says(tutti::correlated_noise{nan}.wrong(), "the multiplier of the noise"));
}

BOOST_AUTO_TEST_CASE(what_a_plan_cannot_hide_is_refused_beside_it) {
  const privacy_plan plan{tutti::poisson_sampling{.5}, alike, tutti::adaptive_clip{}, known(tutti::gaussian_noise{1}),
                          usual, 1e-5};
  const auto refusal = [&](const tutti::federated& policy) {
    std::string why;
    tutti::threads::run(1, [&](auto& world) {
      movers clients;
      std::vector<double> x(1);
      try {
        tutti::strategy{world, policy, plan}.run(x, clients);
      } catch (const tutti::error& e) {
        why = e.what();
      }
    });
    return why;
  };
  BOOST_CHECK(says(refusal({.clip = 1}), "the clip of the sync policy is given beside a privacy plan"));
  BOOST_CHECK(says(refusal({.normalized = true}), "a privacy plan hides no numbers of steps"));
  BOOST_CHECK(says(refusal({.attendance = {.least = 2}}), "leave over_select and least of attendance out"));
}

BOOST_AUTO_TEST_SUITE_END()
