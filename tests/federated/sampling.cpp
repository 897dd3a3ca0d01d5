// Samplers: who is asked how often, by themselves and in rounds.
#include "sync/model.hpp"

#include <tutti/sync/sampling.hpp>

#include <boost/test/unit_test.hpp>

#include <algorithm>
#include <cmath>
#include <set>
#include <string>
#include <vector>

BOOST_AUTO_TEST_SUITE(federated_sampling)

namespace {

double one_each(int) { return 1; }

template <class Sampler>
std::vector<int> counts(const Sampler& sampler, int clients, int rounds) {
  std::vector<int> out(static_cast<std::size_t>(clients));
  for (int r = 1; r <= rounds; ++r) {
    const auto drawn = sampler.draw(clients, 5, std::uint32_t(r), one_each);
    BOOST_CHECK(drawn == sampler.draw(clients, 5, std::uint32_t(r), one_each));
    BOOST_CHECK_EQUAL(std::set<int>(drawn.begin(), drawn.end()).size(), drawn.size());
    for (const int c : drawn) ++out[std::size_t(c)];
  }
  return out;
}

/// Answers its number and a hundred for each round; holds one example more than its number.
struct numbered {
  int size = 6;
  std::vector<int> asked = {};
  int clients() const { return size; }
  double examples(int client) const { return client + 1; }
  void train(int client, tutti::local_training<double>& local, tutti::random_stream) {
    asked.push_back(client);
    local.parameters()[0] = client + 100. * double(local.round());
  }
};

template <class Sampler>
using sampled = tutti::federated_by<tutti::sgd, Sampler>;

} // namespace

BOOST_AUTO_TEST_CASE(poisson_draws_each_client_by_itself) {
  const auto count = counts(tutti::poisson_sampling{.1}, 50, 2000);
  for (const int c : count) BOOST_CHECK_MESSAGE(std::abs(c - 200) < 70, c); // deviation 13.4
  int together = 0, sizes = 0, squares = 0;
  for (std::uint32_t r = 1; r <= 4000; ++r) {
    const auto drawn = tutti::poisson_sampling{.3}.draw(10, 5, r, one_each);
    together += std::count(drawn.begin(), drawn.end(), 2) > 0 && std::count(drawn.begin(), drawn.end(), 7) > 0;
    sizes += int(drawn.size()), squares += int(drawn.size() * drawn.size());
  }
  BOOST_CHECK_MESSAGE(std::abs(together - 360) < 90, together); // .09 of 4000, deviation 18
  const double mean = sizes / 4000., variance = squares / 4000. - mean * mean;
  BOOST_CHECK_MESSAGE(std::abs(mean - 3) < .12 && std::abs(variance - 2.1) < .25, mean << ", " << variance);
  BOOST_CHECK(tutti::poisson_sampling{0}.draw(10, 5, 1, one_each).empty());
  BOOST_CHECK_EQUAL(tutti::poisson_sampling{1}.draw(10, 5, 1, one_each).size(), 10u);
}

BOOST_AUTO_TEST_CASE(truncated_poisson_is_poisson_up_to_its_bound) {
  const tutti::truncated_poisson_sampling sampler{.rate = .3, .most = 3};
  bool cut = false;
  for (std::uint32_t r = 1; r <= 200; ++r) {
    const auto all = tutti::poisson_sampling{.3}.draw(10, 5, r, one_each), drawn = sampler.draw(10, 5, r, one_each);
    cut = cut || all.size() > 3;
    if (all.size() <= 3) BOOST_CHECK(drawn == all);
    else BOOST_CHECK(drawn.size() == 3 && std::includes(all.begin(), all.end(), drawn.begin(), drawn.end()));
  }
  BOOST_CHECK(cut);
  const auto count = counts(sampler, 10, 3000);
  for (const int c : count) BOOST_CHECK_MESSAGE(std::abs(c - count[0]) < 150, c << " and " << count[0]);
}

BOOST_AUTO_TEST_CASE(who_holds_more_is_drawn_more_often) {
  std::vector<int> first(4);
  for (std::uint32_t r = 1; r <= 4000; ++r)
    ++first[std::size_t(tutti::weighted_sampling{.count = 1}.draw(4, 5, r, [](int c) { return double(c); })[0])];
  BOOST_CHECK_EQUAL(first[0], 0);
  for (int c = 1; c < 4; ++c) // c / 6 of 4000
    BOOST_CHECK_MESSAGE(std::abs(first[std::size_t(c)] - 4000 * c / 6) < 160, c << ": " << first[std::size_t(c)]);
  const auto all = tutti::weighted_sampling{.count = 9}.draw(4, 5, 1, [](int c) { return double(c); });
  BOOST_CHECK_EQUAL(std::set<int>(all.begin(), all.end()).size(), 3u); // nobody who holds nothing
}

BOOST_AUTO_TEST_CASE(rounds_ask_whom_the_sampler_says) {
  const auto check = [](const auto& sampler) {
    for (const int ranks : {1, 3}) {
      std::vector<std::vector<int>> asked(static_cast<std::size_t>(ranks));
      std::vector<tutti::round_report> reports;
      std::vector<double> values;
      tutti::threads::run(ranks, [&](auto& world) {
        numbered clients;
        std::vector<double> x(1, 9.0);
        tutti::strategy strategy{world, sampled<std::remove_cvref_t<decltype(sampler)>>{.sampler = sampler}};
        const auto report = strategy.run(x, clients, {.rounds = 6, .seed = 5});
        asked[std::size_t(world.rank())] = clients.asked;
        if (world.rank() == 0) reports = report.rounds, values = x;
      });
      std::vector<int> expected, got;
      double value = 9;
      for (std::uint32_t r = 1; r <= 6; ++r) {
        const auto drawn = sampler.draw(6, 5, r, [](int c) { return c + 1.0; });
        BOOST_CHECK_EQUAL(reports.at(r - 1).clients, int(drawn.size()));
        BOOST_CHECK_EQUAL(reports[r - 1].round, int(r));
        double sum = 0, total = 0;
        for (const int c : drawn) expected.push_back(c), sum += (c + 100.0 * r) * (c + 1.0), total += c + 1;
        if (!drawn.empty()) value = sum / total;
        BOOST_CHECK_EQUAL(reports[r - 1].skipped,
                          drawn.empty() ? "round " + std::to_string(r) + " was skipped: nobody was drawn" : "");
      }
      for (const auto& one : asked) got.insert(got.end(), one.begin(), one.end());
      std::sort(got.begin(), got.end());
      std::sort(expected.begin(), expected.end());
      BOOST_CHECK(got == expected);
      BOOST_CHECK_SMALL(values[0] - value, 1e-10);
    }
  };
  check(tutti::poisson_sampling{.15}); // nobody in a third of the rounds
  check(tutti::truncated_poisson_sampling{.5, 2});
  check(tutti::fixed_cohort{{4, 1}});
  check(tutti::weighted_sampling{2});
}

BOOST_AUTO_TEST_CASE(numbers_that_no_sampler_has_are_refused_on_every_rank) {
  const auto refused = [](const auto& sampler, const char* why) {
    const auto errors = trial::errors_on_ranks(2, [&](auto& world) {
      numbered clients;
      std::vector<double> x(1);
      tutti::strategy{world, sampled<std::remove_cvref_t<decltype(sampler)>>{.sampler = sampler}}.run(x, clients);
    });
    BOOST_CHECK_MESSAGE(trial::all_contain(errors, why), trial::joined(errors));
  };
  for (const double rate : {-.1, 1.1, double(NAN), double(INFINITY)}) {
    refused(tutti::poisson_sampling{rate}, "the rate of poisson_sampling is no probability");
    refused(tutti::truncated_poisson_sampling{rate, 2}, "the rate of truncated_poisson_sampling is no probability");
  }
  refused(tutti::truncated_poisson_sampling{.1, 0}, "most of truncated_poisson_sampling is less than 1");
  refused(tutti::fixed_cohort{}, "a fixed_cohort has no members");
  refused(tutti::fixed_cohort{{1, 1}}, "a member is named twice, or is no client - name clients 0 to 5");
  refused(tutti::fixed_cohort{{6}}, "a member is named twice, or is no client");
  refused(tutti::weighted_sampling{0}, "count of weighted_sampling is less than 1");
}

BOOST_AUTO_TEST_SUITE_END()
