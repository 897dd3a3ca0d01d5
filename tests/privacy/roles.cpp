// A privacy plan at a server of rounds: the bits of rounds over a population, and what is spent.
#include "privacy/runs.hpp"
#include "training/scratch.hpp"

#include <tutti/federated/round_client.hpp>
#include <tutti/federated/round_server.hpp>
#include <tutti/training/checkpoint.hpp>

#include <boost/test/unit_test.hpp>

#include <string>
#include <vector>

BOOST_AUTO_TEST_SUITE(private_roles)

namespace private_roles_tests {

using trial::movers;
using tutti::privacy_plan;

const movers twelve{12, {1, .3, .2, 5, .1, 1, 1, .4, 2, 1, 3, .7}};

/// A server and clients on so many ranks, which `here` says are there; of them so many are none of the population.
template <class Plan>
trial::outcome at_a_server(int ranks, int until, const Plan& plan, const std::vector<int>& here,
                           const std::string& from = "", const std::string& to = "", int absent = 0) {
  trial::outcome out{std::vector<double>(3), {}};
  tutti::threads::run(ranks, [&](auto& world) {
    if (world.rank() == 0) {
      tutti::round_server server{world, out.values, tutti::federated{}, plan,
                                 {.clients = int(here.size()) - absent, .population = 12}};
      if (!from.empty()) (void)server.load(from);
      while (server.made() < until) out.rounds.push_back(server.next());
      if (!to.empty()) server.save(to);
      server.finish();
    } else {
      movers people = twelve;
      std::vector<int> mine;
      for (const int c : here)
        if (c % (ranks - 1) == world.rank() - 1) mine.push_back(c);
      std::vector<double> model(3);
      tutti::round_client client{world, model, tutti::sgd{}};
      client.serve(people, mine);
    }
  });
  return out;
}
const std::vector<int> all{0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11};

} // namespace private_roles_tests

using namespace private_roles_tests;

BOOST_AUTO_TEST_CASE(a_plan_at_a_server_has_the_bits_of_rounds_over_a_population) {
  const auto check = [](const auto& plan) {
    const auto wanted = trial::private_rounds(1, 6, twelve, plan, std::vector<double>(3));
    for (const int ranks : {2, 4}) {
      const auto got = at_a_server(ranks, 6, plan, all);
      BOOST_CHECK_MESSAGE(got.values == wanted.values, ranks << " ranks: " << got.values[0]);
      for (std::size_t k = 0; k < 6; ++k) {
        BOOST_CHECK_EQUAL(got.rounds[k].clients, wanted.rounds[k].clients);
        BOOST_CHECK_EQUAL(got.rounds[k].epsilon, wanted.rounds[k].epsilon);
        BOOST_CHECK_EQUAL(got.rounds[k].clip, wanted.rounds[k].clip);
      }
    }
  };
  check(privacy_plan{tutti::poisson_sampling{.3}, tutti::expected_clients{}, tutti::adaptive_clip{},
                     trial::known(tutti::gaussian_noise{1}), tutti::renyi_accountant{}, 1e-5});
  check(privacy_plan{tutti::cyclic_sampling{3}, tutti::expected_weight{}, tutti::fixed_clip{},
                     trial::known(tutti::correlated_noise{1, 3}), tutti::renyi_accountant{}, 1e-5});
}

// Five of twelve are there, and the sum is divided by all twelve: how many there are is nobody's business.
BOOST_AUTO_TEST_CASE(who_is_not_there_is_not_asked_and_changes_no_divisor) {
  const privacy_plan plan{trial::all_of_them, tutti::expected_clients{}, tutti::fixed_clip{2},
                          trial::known(trial::next_to_no_noise), tutti::renyi_accountant{}, 1e-5};
  const auto got = at_a_server(3, 1, plan, {0, 5, 6, 9, 77}, "", "", 1);
  BOOST_CHECK_SMALL(got.values[0] - 4. / 12, 1e-5);
  BOOST_CHECK_EQUAL(got.rounds[0].count(tutti::absence::unavailable), 8);
  BOOST_CHECK((got.rounds[0].joined.size() == 4)); // 77 is nobody
}

BOOST_AUTO_TEST_CASE(what_a_server_has_spent_is_spent_after_a_resume) {
  const scratch here;
  const privacy_plan plan{tutti::poisson_sampling{.5}, tutti::expected_clients{}, tutti::fixed_clip{1},
                          trial::known(tutti::gaussian_noise{1}), tutti::renyi_accountant{}, 1e-5};
  const auto whole = at_a_server(2, 6, plan, all), half = at_a_server(2, 3, plan, all, "", here / "half");
  const auto resumed = at_a_server(3, 6, plan, all, here / "half");
  BOOST_CHECK_EQUAL(resumed.rounds.size(), 3u);
  BOOST_CHECK_EQUAL(resumed.rounds.back().epsilon, plan.epsilon(6));
  BOOST_CHECK_EQUAL(half.rounds.back().epsilon, plan.epsilon(3));
  BOOST_CHECK(resumed.values != whole.values); // no noise is drawn twice
}

BOOST_AUTO_TEST_CASE(what_a_server_cannot_account_for_is_refused) {
  const privacy_plan plan{tutti::poisson_sampling{.5}, tutti::expected_clients{}, tutti::fixed_clip{1},
                          trial::known(tutti::gaussian_noise{1}), tutti::renyi_accountant{}, 1e-5};
  const auto refused = [&](const auto& policy, const tutti::serving_options& how, const char* why) {
    tutti::self world;
    std::vector<double> x(1);
    std::string said;
    try {
      tutti::round_server server{world, x, policy, plan, how};
    } catch (const tutti::error& e) {
      said = e.what();
    }
    BOOST_CHECK_MESSAGE(said.find(why) != std::string::npos, said);
  };
  using tutti::federated, tutti::scaffold;
  refused(federated{}, {}, "or none where a privacy plan draws from it");
  refused(federated{}, {.buffer = 3, .population = 9}, "a buffer takes whoever is ready, and a privacy plan accounts for who");
  refused(federated{.clip = 1}, {.population = 9}, "the clip of the sync policy is given beside a privacy plan");
  refused(federated{.attendance = {.least = 2}}, {.population = 9}, "leave over_select and least of attendance out");
  refused(scaffold{}, {.population = 9}, "SCAFFOLD's variates leave clients beside what a privacy plan hides");
}

BOOST_AUTO_TEST_SUITE_END()
