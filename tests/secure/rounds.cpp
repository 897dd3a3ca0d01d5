// Rounds over a secure sum: the bits of rounds without one, and what is refused or left out.
#include "sync/model.hpp"

#include <tutti/federated/secure/secure_sum.hpp>
#include <tutti/reducers/reproducible_sum.hpp>
#include <tutti/sync/sampling.hpp>

#include <boost/test/unit_test.hpp>

#include <cmath>
#include <cstdint>
#include <limits>
#include <string>
#include <vector>

BOOST_AUTO_TEST_SUITE(secure_rounds)

namespace {

bool names(const std::string& text, const std::string& what) { return text.find(what) != std::string::npos; }

/// Answers of very different sizes; one in seven writes nothing, one in eleven holds nothing.
struct unlike_people {
  int bad = -1;
  int silent_from = 100;
  bool alike = false; // in what they hold
  bool heavy = false; // who writes nothing

  int clients() const { return 23; }
  double examples(int client) const { 
    if (heavy) return client % 7 == 3 ? 1e9 : 1;
    return alike ? 3 : client % 11 == 5 ? 0 : client + 1;
  }
  void train(int client, tutti::local_training<float>& local, tutti::random_stream random) const {
    if (client % 7 == 3 || client >= silent_from) return;
    for (float& x : local.parameters()) x += std::ldexp(random.uniform() - .5f, int(random.below(40)) - 30);
    if (client == bad) local.parameters()[1] = std::numeric_limits<float>::quiet_NaN();
  }
};

struct outcome {
  std::vector<float> model;
  tutti::federated_report report;
};

/// Of three rounds on so many ranks.
template <class Reducer, class Accumulator>
outcome after(int ranks, Reducer reducer, Accumulator accumulator, unlike_people people = {},
              tutti::training_options training = {}, double fraction = .6) {
  std::vector<std::vector<float>> out(static_cast<std::size_t>(ranks));
  outcome one;
  tutti::threads::run(ranks, [&](auto& world) {
    trial::model m{1};
    unlike_people mine = people;
    const tutti::federated policy{.fraction = fraction, .outer = {.learning_rate = .7, .momentum = .9}, .clip = .5};
    tutti::strategy strategy{world, reducer, training, policy, accumulator};
    const auto report = strategy.run(m.parameters(), mine, {.rounds = 3});
    out[std::size_t(world.rank())] = m.flat();
    if (world.rank() == ranks - 1) one.report = report;
  });
  BOOST_CHECK(trial::all_same(out));
  one.model = out[0];
  return one;
}

} // namespace

BOOST_AUTO_TEST_CASE(the_bits_are_those_of_rounds_without_it) {
  const auto weighted = after(1, tutti::reproducible_weighted_mean{}, tutti::as_reduced{});
  const auto alike = after(1, tutti::reproducible_weighted_mean{}, tutti::as_reduced{}, {.alike = true});
  for (const int ranks : {1, 3}) {
    const auto hidden = after(ranks, tutti::reproducible_weighted_mean{}, tutti::secure_sum{.threshold = 5});
    BOOST_CHECK_MESSAGE(trial::same_bits(hidden.model, weighted.model), ranks << " ranks");
    const auto hidden_alike = after(ranks, tutti::reproducible_mean{}, tutti::secure_sum{.threshold = 5});
    BOOST_CHECK(trial::same_bits(hidden_alike.model, alike.model));
    for (std::size_t k = 0; k < 3; ++k) {
      BOOST_CHECK(hidden.report.rounds[k].left_out == weighted.report.rounds[k].left_out);
      BOOST_CHECK_EQUAL(hidden.report.rounds[k].skipped, "");
    }
  }
}

BOOST_AUTO_TEST_CASE(graph_words_and_assumption_are_in_the_report) {
  const auto hidden = after(2, tutti::reproducible_weighted_mean{},
                            tutti::secure_sum{.neighbours = 8, .threshold = 3}, {.alike = true});
  const std::string told = hidden.report.rounds[0].secure;
  BOOST_CHECK_MESSAGE(names(told, " of 14 clients: 51-bit values in 64-bit words, 8 neighbours each, 3 of them to take "
                                  "masks away, "),
                      told);
  BOOST_CHECK(names(told, "from a server that follows the protocol while fewer than 3 neighbours"));
  const int silent = hidden.report.rounds[0].count(tutti::absence::silent);
  BOOST_CHECK(silent > 0);
  BOOST_CHECK_MESSAGE(names(told, "drop-outs recovered: " + std::to_string(silent) + ";"), told);
  BOOST_CHECK_EQUAL(after(1, tutti::reproducible_weighted_mean{}, tutti::as_reduced{}).report.rounds[0].secure, "");
}

// Twenty bits: each difference is half of a 2^18th of twice the clip away at most.
BOOST_AUTO_TEST_CASE(shorter_words_round_more) {
  using short_sum = tutti::secure_sum_in<20, 1024, std::uint32_t>;
  const auto whole = after(1, tutti::reproducible_weighted_mean{}, tutti::as_reduced{});
  const auto rounded = after(2, tutti::reproducible_weighted_mean{}, short_sum{.threshold = 5});
  BOOST_CHECK(!trial::same_bits(whole.model, rounded.model));
  for (std::size_t i = 0; i < whole.model.size(); ++i)
    BOOST_REQUIRE_SMALL(double(whole.model[i] - rounded.model[i]), 1e-4);
  BOOST_CHECK(trial::same_bits(rounded.model,
                               after(3, tutti::reproducible_weighted_mean{}, short_sum{.threshold = 5}).model));
  BOOST_CHECK(names(rounded.report.rounds[0].secure, "20-bit values in 32-bit words"));
}

BOOST_AUTO_TEST_CASE(a_round_of_too_few_is_skipped_and_says_so) {
  const auto kept = after(1, tutti::reproducible_weighted_mean{}, tutti::as_reduced{}, {.silent_from = 0});
  const auto few = after(2, tutti::reproducible_weighted_mean{}, tutti::secure_sum{.threshold = 13},
                         {.silent_from = 9, .alike = true});
  BOOST_CHECK(trial::same_bits(few.model, kept.model));
  for (const auto& report : few.report.rounds) {
    BOOST_CHECK_MESSAGE(names(report.skipped, "was skipped: ") && names(report.skipped, "neighbours of client") &&
                            names(report.skipped, "are left, and 13 are needed"),
                        report.skipped);
    BOOST_CHECK_EQUAL(report.secure, "");
  }
  const auto none =
      after(2, tutti::reproducible_weighted_mean{}, tutti::secure_sum{}, {.silent_from = 0, .alike = true});
  BOOST_CHECK_MESSAGE(names(none.report.rounds[0].skipped, "none of its 14 clients counts: 14 wrote no parameters"),
                      none.report.rounds[0].skipped);
}

// A billionth of the greatest weight is none of twenty bits.
BOOST_AUTO_TEST_CASE(a_round_of_those_who_weigh_next_to_nothing_is_skipped) {
  const auto light = after(2, tutti::reproducible_weighted_mean{},
                           tutti::secure_sum_in<20, 1024, std::uint32_t>{.threshold = 5}, {.heavy = true}, {}, 1);
  BOOST_CHECK_MESSAGE(names(light.report.rounds[0].skipped, "weigh next to nothing beside the heaviest"),
                      light.report.rounds[0].skipped);
}

BOOST_AUTO_TEST_CASE(a_round_in_which_too_few_or_too_many_are_drawn_is_skipped) {
  const auto drawn = [](double rate) {
    trial::model m{1};
    tutti::self world;
    unlike_people people{.alike = true};
    tutti::strategy strategy{world, tutti::secure_sum_in<20, 8, std::uint32_t>{.threshold = 2},
                             tutti::federated_by<tutti::sgd, tutti::poisson_sampling>{.clip = 1, .sampler = {rate}}};
    return strategy.run(m.parameters(), people, {.rounds = 12}).rounds;
  };
  for (const auto& report : drawn(0)) BOOST_CHECK(names(report.skipped, "nobody was drawn"));
  for (const auto& report : drawn(1))
    BOOST_CHECK_MESSAGE(names(report.skipped, "23 clients were drawn, and the words of the secure sum have room for 8"),
                        report.skipped);
  int few = 0, enough = 0;
  for (const auto& report : drawn(.15)) {
    if (report.clients == 1 || report.clients == 2)
      few += names(report.skipped, "a secure sum of " + std::to_string(report.clients) + " clients hides nobody");
    enough += report.skipped.empty() && names(report.secure, " of " + std::to_string(report.clients) + " clients");
  }
  BOOST_CHECK(few > 0 && enough > 0);
}

BOOST_AUTO_TEST_CASE(a_client_of_a_nan_is_named_and_recovered_as_one_who_dropped_out) {
  const auto without = after(1, tutti::reproducible_weighted_mean{}, tutti::as_reduced{}, {.bad = 2}, {}, 1);
  const auto hidden = after(2, tutti::reproducible_weighted_mean{}, tutti::secure_sum{.threshold = 5}, {.bad = 2}, {}, 1);
  BOOST_CHECK(trial::same_bits(hidden.model, without.model));
  for (const auto& round : hidden.report.rounds) {
    BOOST_CHECK((round.who(tutti::absence::not_finite) == std::vector<int>{2}));
    BOOST_CHECK_EQUAL(round.skipped, "");
    BOOST_CHECK_MESSAGE(names(round.secure, "recovered: " + std::to_string(1 + round.count(tutti::absence::silent))),
                        round.secure);
  }
  const auto errors = trial::errors_on_ranks(2, [&](auto& world) {
    trial::model m{1};
    unlike_people people{2};
    tutti::strategy strategy{
        world, tutti::secure_sum{},
        tutti::federated{.fraction = 1, .clip = .5, .attendance = {.faults = tutti::client_faults::raise}}};
    strategy.run(m.parameters(), people, {.rounds = 1});
  });
  BOOST_CHECK_MESSAGE(trial::all_contain(errors, "round 1: client 2 on rank"), trial::joined(errors));
}

// They have shared their keys when they are lost, and what others masked for them is taken away.
BOOST_AUTO_TEST_CASE(who_drops_out_or_is_surplus_is_recovered) {
  const auto rounds_of = [](int ranks, auto accumulator) {
    outcome one;
    tutti::threads::run(ranks, [&](auto& world) {
      trial::model m{1};
      unlike_people mine{.alike = true};
      const tutti::federated policy{.fraction = .4, .clip = .5, .attendance = {.over_select = 1.5, .drop_out = .2}};
      tutti::strategy strategy{world, tutti::reproducible_weighted_mean{}, policy, accumulator};
      const auto report = strategy.run(m.parameters(), mine, {.rounds = 3, .seed = 2});
      if (world.rank() == 0) one = {m.flat(), report};
    });
    return one;
  };
  const auto plain = rounds_of(1, tutti::as_reduced{}), hidden = rounds_of(2, tutti::secure_sum{.threshold = 3});
  BOOST_CHECK(trial::same_bits(hidden.model, plain.model));
  int lost = 0;
  for (std::size_t k = 0; k < 3; ++k) {
    const auto& round = hidden.report.rounds[k];
    BOOST_CHECK(round.left_out == plain.report.rounds[k].left_out && round.skipped.empty());
    BOOST_CHECK_EQUAL(round.clients, 14);
    lost += round.count(tutti::absence::dropped_out);
    BOOST_CHECK_MESSAGE(names(round.secure, "secure sum of " + std::to_string(round.counted) + " of 14 clients") &&
                            names(round.secure, "recovered: " + std::to_string(14 - round.counted) + ";"),
                        round.secure);
  }
  BOOST_CHECK_GT(lost, 0);
}

BOOST_AUTO_TEST_CASE(numbers_that_cannot_work_are_refused_on_every_rank) {
  const auto refused = [](auto accumulator, tutti::federated policy, const char* why) {
    const auto errors = trial::errors_on_ranks(2, [&](auto& world) {
      trial::model m{1};
      unlike_people people;
      tutti::strategy strategy{world, accumulator, policy};
      strategy.run(m.parameters(), people);
    });
    BOOST_CHECK_MESSAGE(trial::all_contain(errors, why), trial::joined(errors));
  };
  refused(tutti::secure_sum{}, {.fraction = .5}, "differences are not clipped");
  refused(tutti::secure_sum{}, {.fraction = .5, .clip = 1, .normalized = true}, "steps would be added up in the open");
  refused(tutti::secure_sum_in<20, 8, std::uint32_t>{}, {.fraction = .5, .clip = 1},
          "12 clients are drawn, and the words of the secure sum have room for 8");
  refused(tutti::secure_sum{}, {.fraction = 0, .clip = 1}, "a secure sum of 1 clients hides nobody");
  refused(tutti::secure_sum{.neighbours = 3}, {.fraction = .5, .clip = 1}, "an even number of clients");
  refused(tutti::secure_sum{.threshold = 12}, {.fraction = .5, .clip = 1}, "12 of 11 neighbours");
}

BOOST_AUTO_TEST_CASE(ranks_that_ask_for_other_graphs_are_told) {
  const auto errors = trial::errors_on_ranks(2, [&](auto& world) {
    trial::model m{1};
    unlike_people people;
    tutti::strategy strategy{world, tutti::secure_sum{.neighbours = 4 + 2 * world.rank()},
                             tutti::federated{.fraction = .5, .clip = 1}};
    strategy.run(m.parameters(), people);
  });
  BOOST_CHECK_MESSAGE(trial::all_contain(errors, "mismatch"), trial::joined(errors));
}

BOOST_AUTO_TEST_SUITE_END()
