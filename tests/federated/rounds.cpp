// Federated averaging: published values, who is drawn, and what does not depend on the ranks.
#include "federated/parabolas.hpp"

#include <tutti/tutti.hpp>

#include <boost/test/unit_test.hpp>

#include <cmath>
#include <cstring>
#include <vector>

BOOST_AUTO_TEST_SUITE(federated)

namespace {

using trial::two_parabolas;

/// Each client pulls towards its own number; its weight is that number plus one.
struct crowd {
  int size = 50;
  int clients() const { return size; }
  double examples(int client) const { return client + 1; }
  void train(int client, tutti::local_training<float>& local, tutti::random_stream random) const {
    const auto from = local.received();
    const auto to = local.parameters();
    for (std::size_t i = 0; i < from.size(); ++i)
      to[i] = from[i] + 0.5f * (float(client) - from[i]) + 0.01f * random.uniform();
  }
};

template <class Population, class T>
std::vector<std::vector<T>> after(int ranks, int rounds, Population people, std::vector<T> start,
                                  tutti::federated policy) {
  std::vector<std::vector<T>> out(static_cast<std::size_t>(ranks));
  tutti::threads::run(ranks, [&](auto& world) {
    Population mine = people;
    std::vector<T> values = start;
    tutti::strategy strategy{world, policy};
    strategy.run(values, mine, {.rounds = rounds, .seed = 7});
    out[std::size_t(world.rank())] = values;
  });
  return out;
}

} // namespace

BOOST_AUTO_TEST_CASE(averaging_two_parabolas_gives_the_published_values) {
  const double expected[] = {.415, .68475, .8600875};
  for (const int ranks : {1, 2, 3})
    for (int rounds = 1; rounds <= 3; ++rounds) {
      const auto x = after<two_parabolas, double>(ranks, rounds, {}, {0.0},
                                                  {.fraction = 1, .epochs = 2});
      for (const auto& mine : x)
        BOOST_CHECK_MESSAGE(std::abs(mine[0] - expected[rounds - 1]) < 1e-12,
                            ranks << " ranks, round " << rounds << ": " << mine[0]);
    }
}

BOOST_AUTO_TEST_CASE(every_rank_ends_with_the_same_bits_in_every_run) {
  const tutti::federated policy{.fraction = 0.3};
  const auto first = after<crowd, float>(3, 5, {}, std::vector<float>(40), policy);
  const auto again = after<crowd, float>(3, 5, {}, std::vector<float>(40), policy);
  for (const auto& other : {first[1], first[2], again[0], again[2]})
    BOOST_CHECK(std::memcmp(other.data(), first[0].data(), 40 * sizeof(float)) == 0);
}

BOOST_AUTO_TEST_CASE(the_number_of_ranks_changes_only_rounding) {
  const tutti::federated policy{.fraction = 0.1};
  const auto alone = after<crowd, float>(1, 6, {}, std::vector<float>(40), policy);
  for (const int ranks : {2, 5, 7}) { // seven ranks, five clients a round: some have none
    const auto many = after<crowd, float>(ranks, 6, {}, std::vector<float>(40), policy);
    float worst = 0;
    for (std::size_t i = 0; i < 40; ++i)
      worst = std::max(worst, std::abs(many[0][i] - alone[0][i]) / (1 + std::abs(alone[0][i])));
    BOOST_CHECK_MESSAGE(worst < 1e-5f, ranks << " ranks differ by " << worst);
  }
}

BOOST_AUTO_TEST_CASE(cohorts_are_distinct_clients_drawn_alike_often) {
  std::vector<int> drawn(20);
  for (std::uint32_t round = 1; round <= 4000; ++round) {
    const auto cohort = tutti::draw_cohort(20, 5, 3, round);
    std::vector<int> seen(20);
    for (const int c : cohort) {
      ++drawn[std::size_t(c)];
      ++seen[std::size_t(c)];
    }
    for (const int s : seen) BOOST_REQUIRE(s <= 1);
  }
  // Binomial: 1,000 expected, standard deviation 27.
  for (std::size_t c = 0; c < 20; ++c)
    BOOST_CHECK_MESSAGE(std::abs(drawn[c] - 1000) < 140, "client " << c << ": " << drawn[c]);
  BOOST_CHECK(tutti::draw_cohort(20, 5, 3, 1) == tutti::draw_cohort(20, 5, 3, 1));
  BOOST_CHECK(tutti::draw_cohort(20, 5, 3, 1) != tutti::draw_cohort(20, 5, 3, 2));
}

BOOST_AUTO_TEST_SUITE_END()
