// Clients that are not there, do not finish, or send nonsense: each is named with its reason, and the round is that of
// the others, the same bits on any number of ranks.
#include "sync/model.hpp"

#include <tutti/federated/cohort_roll.hpp>
#include <tutti/reducers/reproducible_sum.hpp>
#include <tutti/sync/correcting.hpp>

#include <boost/test/unit_test.hpp>

#include <algorithm>
#include <cmath>
#include <limits>
#include <string>
#include <utility>
#include <vector>

BOOST_AUTO_TEST_SUITE(federated_attendance)

namespace {

using tutti::absence;
constexpr double nan = std::numeric_limits<double>::quiet_NaN(), infinity = std::numeric_limits<double>::infinity();

/// Client c answers answers[c] in each of two tensors and says that it has used uses[c] of its five examples, where
/// that is given; it is there where away[c] is 0, and takes takes[c].
struct crowd {
  std::vector<double> answers;
  std::vector<double> uses = {};
  std::vector<int> away = {};
  std::vector<double> takes = {};

  template <class V>
  static auto at(const V& values, int client, typename V::value_type otherwise) {
    return std::size_t(client) < values.size() ? values[std::size_t(client)] : otherwise;
  }
  int clients() const { return int(answers.size()); }
  double examples(int) const { return 5; }
  bool available(int client, std::uint32_t) const { return at(away, client, 0) == 0; }
  double duration(int client, std::uint32_t) const { return at(takes, client, 1.0); }
  tutti::trained train(int client, tutti::local_training<double>& local, tutti::random_stream) const {
    const double answer = answers[std::size_t(client)];
    if (answer != 0) local.parameters()[0] = std::isfinite(answer) ? answer : 100;
    if (answer != 0) local.parameters()[1] = answer;
    const double loss = client;
    if (std::size_t(client) >= uses.size()) return {.metrics = {{"loss", loss}, {"odd", client % 2 ? 1. : nan}}};
    return {.examples = uses[std::size_t(client)], .metrics = {{"loss", loss}}};
  }
};

struct outcome {
  std::vector<double> values;
  tutti::round_report report;
};
outcome once(int ranks, const crowd& people, const tutti::federated& policy, int rounds = 1) {
  std::vector<outcome> out(static_cast<std::size_t>(ranks));
  tutti::threads::run(ranks, [&](auto& world) {
    crowd mine = people;
    std::vector<double> a(1), b(1);
    std::vector<tutti::tensor<double>> model{{"a", a}, {"b", b}};
    tutti::strategy strategy{world, tutti::reproducible_weighted_mean{}, policy};
    const auto report = strategy.run(model, mine, {.rounds = rounds, .seed = 3}).rounds.back();
    out[std::size_t(world.rank())] = {{a[0], b[0]}, report};
  });
  for (const outcome& one : out)
    BOOST_CHECK(one.values == out[0].values && one.report.left_out == out[0].report.left_out &&
                one.report.skipped == out[0].report.skipped && one.report.counted == out[0].report.counted);
  return out[0];
}
std::vector<int> sorted(std::vector<int> all) {
  std::sort(all.begin(), all.end());
  return all;
}

} // namespace

BOOST_AUTO_TEST_CASE(who_sends_nonsense_is_named_and_the_round_is_that_of_the_others) {
  const crowd people{{2, nan, infinity, 9, 9, 9, 0, 8}, {5, 5, 5, 6, nan, 0, 5, 1}};
  for (const int ranks : {1, 2, 3}) {
    const outcome got = once(ranks, people, {.fraction = 1});
    BOOST_CHECK((got.values == std::vector<double>{3, 3})); // (5 * 2 + 1 * 8) / 6
    BOOST_CHECK_EQUAL(got.report.clients, 8);
    BOOST_CHECK_EQUAL(got.report.counted, 2);
    BOOST_CHECK(sorted(got.report.who(absence::not_finite)) == (std::vector{1, 2}));
    BOOST_CHECK(sorted(got.report.who(absence::malformed)) == (std::vector{3, 4}));
    BOOST_CHECK(got.report.who(absence::no_examples) == std::vector{5});
    BOOST_CHECK(got.report.who(absence::silent) == std::vector{6});
    BOOST_CHECK_EQUAL(got.report.left_out.size(), 6u);
  }
}

// The second client's first tensor is a number and its other one is not.
BOOST_AUTO_TEST_CASE(nothing_of_who_is_left_out_is_in_the_sum) {
  const auto check = [](const auto& reducer, double clip) {
    tutti::self world;
    crowd people{{2, nan}};
    std::vector<double> a(1, 1.0), b(1, 1.0);
    std::vector<tutti::tensor<double>> model{{"a", a}, {"b", b}};
    tutti::strategy strategy{world, reducer, tutti::federated{.fraction = 1, .clip = clip}};
    for (const double wanted : {2.0, 2.0}) {
      strategy.run(model, people, {.rounds = 1});
      BOOST_CHECK_SMALL(a[0] - wanted, 1e-12);
      BOOST_CHECK_SMALL(b[0] - wanted, 1e-12);
    }
  };
  check(tutti::weighted_mean{}, 0.0);
  check(tutti::reproducible_mean{}, 0.0);
  check(tutti::reproducible_mean{}, 9.0);
}

BOOST_AUTO_TEST_CASE(faults_are_raised_where_that_is_asked_for) {
  const auto told = [](crowd people) {
    return trial::errors_on_ranks(2, [&](auto& world) {
      crowd mine = people;
      std::vector<double> x(2);
      const tutti::federated raises{.fraction = 1, .attendance = {.faults = tutti::client_faults::raise}};
      tutti::strategy{world, raises}.run(x, mine);
    });
  };
  const auto number = told({{1, nan, 1}}), word = told({{1, 1, 1}, {5, 7, 5}});
  BOOST_CHECK_MESSAGE(trial::all_contain(number, "round 1: client 1 on rank") &&
                          trial::all_contain(number, "returned a NaN or an infinity") &&
                          trial::all_contain(number, "non_finite"),
                      trial::joined(number));
  BOOST_CHECK_MESSAGE(trial::all_contain(word, "client 1 on rank") && trial::all_contain(word, "bad_data") &&
                          trial::all_contain(word, "told of a number of examples that it does not hold"),
                      trial::joined(word));
}

BOOST_AUTO_TEST_CASE(metrics_are_means_over_examples_that_were_used) {
  for (const int ranks : {1, 2, 3}) {
    const auto used = once(ranks, {{1, 1, 1, nan}, {1, 2, 5, 5}}, {.fraction = 1}).report.metrics;
    BOOST_REQUIRE_EQUAL(used.size(), 1u);
    BOOST_CHECK_EQUAL(used[0].name, "loss");
    BOOST_CHECK_SMALL(used[0].value - (0 * 1 + 1 * 2 + 2 * 5) / 8., 1e-14); // not of the fourth, who does not count
    BOOST_CHECK_EQUAL(used[0].examples, 8);
    const auto held = once(ranks, {{1, 1, 1, 1}}, {.fraction = 1}).report.metrics;
    BOOST_REQUIRE_EQUAL(held.size(), 2u);
    BOOST_CHECK_EQUAL(held[0].value, 1.5);
    BOOST_CHECK_EQUAL(held[1].name, "odd"); // half of them say that it is no number
    BOOST_CHECK(held[1].value == 1 && held[1].examples == 10);
  }
  tutti::client_metrics many;
  for (std::size_t k = 0; k < many.most; ++k) many.add({"loss", 1});
  BOOST_CHECK_THROW(many.add({"loss", 1}), tutti::error);
}

BOOST_AUTO_TEST_CASE(of_those_who_are_there_as_many_as_asked_or_all) {
  crowd people{std::vector<double>(10, 4.0), {}, {1, 1, 0, 1, 1, 0, 1, 1, 1, 0}};
  for (const int ranks : {1, 2}) {
    const auto some = once(ranks, people, {.fraction = .5, .attendance = {.least = 2}}); // 5 asked, 3 there
    BOOST_CHECK(some.report.clients == 3 && some.report.counted == 3 && some.report.skipped.empty());
    BOOST_CHECK(sorted(some.report.who(absence::unavailable)) == (std::vector{0, 1, 3, 4, 6, 7, 8}));
    const auto two = once(ranks, people, {.fraction = .2});
    BOOST_CHECK(two.report.clients == 2 && two.report.counted == 2);
  }
  people.away[2] = people.away[5] = 1;
  const auto one = once(2, people, {.fraction = .5, .attendance = {.least = 2}});
  BOOST_CHECK_EQUAL(one.report.skipped,
                    "round 1 was skipped: 1 of its 1 clients count, and attendance needs at least 2: 9 not there");
  BOOST_CHECK((one.values == std::vector<double>{0, 0}));
  people.away[9] = 1;
  BOOST_CHECK_EQUAL(once(2, people, {.fraction = .5}).report.skipped,
                    "round 1 was skipped: nobody who was drawn was there");
}

BOOST_AUTO_TEST_CASE(the_first_that_come_are_taken_and_none_that_is_late) {
  const crowd people{{1, 2, 3, 4, 5, 6, 7, 8}, {}, {}, {8, 7, 6, 5, 4, 3, 2, 1}};
  for (const int ranks : {1, 3}) {
    const auto two = once(ranks, people, {.fraction = .25, .attendance = {.over_select = 4}});
    BOOST_CHECK_EQUAL(two.report.clients, 8);
    BOOST_CHECK_EQUAL(two.values[0], 7.5);
    BOOST_CHECK(sorted(two.report.who(absence::surplus)) == (std::vector{0, 1, 2, 3, 4, 5}));
    const auto late = once(ranks, people, {.fraction = 1, .attendance = {.deadline = 2}});
    BOOST_CHECK_EQUAL(late.values[0], 7.5);
    BOOST_CHECK_EQUAL(late.report.count(absence::late), 6);
    const auto nobody = once(ranks, people, {.fraction = 1, .attendance = {.deadline = .5}});
    BOOST_CHECK_EQUAL(nobody.report.skipped, "round 1 was skipped: none of its 8 clients counts: 8 late");
  }
  const auto never = once(1, {{1, 2}, {}, {}, {nan, -1}}, {.fraction = 1, .attendance = {.deadline = 9}});
  BOOST_CHECK_EQUAL(never.report.count(absence::late), 2); // who says no duration takes for ever
}

namespace {

/// Float models, fractions of examples, NaNs, nobody there for whole rounds: all that there is.
struct motley {
  int clients() const { return 40; }
  double examples(int client) const { return client % 9 == 0 ? 0 : client % 5 + .3; }
  bool available(int client, std::uint32_t round) const { return (client + int(round)) % 6 != 0 && round != 4; }
  double duration(int client, std::uint32_t round) const { return (client * 7 + int(round) * 3) % 11; }
  tutti::trained train(int client, tutti::local_training<float>& local, tutti::random_stream random) const {
    std::vector<float> gradient(local.parameters().size());
    for (int k = 0; k < 2; ++k) {
      for (float& g : gradient) g = std::ldexp(random.uniform() - .5f, int(random.below(20)) - 10);
      local.step(gradient);
    }
    if ((client + local.round()) % 8 == 1) local.parameters()[2] = std::numeric_limits<float>::infinity();
    return {.examples = examples(client) / 2, .metrics = {{"loss", double(random.uniform())}}};
  }
};

template <class Policy>
std::pair<std::vector<float>, std::string> twenty_rounds(int ranks, const Policy& policy) {
  std::vector<std::pair<std::vector<float>, std::string>> out(static_cast<std::size_t>(ranks));
  tutti::threads::run(ranks, [&](auto& world) {
    trial::model m{1};
    motley people;
    tutti::strategy strategy{world, tutti::reproducible_weighted_mean{}, policy};
    std::string told;
    strategy.run(m.parameters(), people, {.rounds = 20, .seed = 9}, [&](const tutti::round_report& r) {
      told += std::to_string(r.counted) + r.skipped;
      for (const auto& one : r.left_out) told += " " + std::to_string(one.client) + "/" + std::to_string(int(one.why));
      for (const auto& mean : r.metrics) told += mean.name + std::to_string(std::bit_cast<std::uint64_t>(mean.value));
      return true;
    });
    out[std::size_t(world.rank())] = {m.flat(), told};
  });
  for (const auto& one : out) BOOST_CHECK(trial::same_bits(one.first, out[0].first) && one.second == out[0].second);
  return out[0];
}

} // namespace

BOOST_AUTO_TEST_CASE(bits_and_reports_are_the_same_on_any_number_of_ranks) {
  const tutti::attendance stands{.over_select = 1.5, .deadline = 8, .drop_out = .15, .least = 3};
  const auto check = [](const char* name, const auto& policy) {
    const auto alone = twenty_rounds(1, policy);
    for (const char* reason : {"/0", "/1", "/2", "/3", "/4", "/6"})
      BOOST_CHECK_MESSAGE(alone.second.find(reason) != std::string::npos, name << ": nobody is " << reason);
    for (const int ranks : {2, 3, 4}) {
      const auto many = twenty_rounds(ranks, policy);
      BOOST_CHECK_MESSAGE(trial::same_bits(many.first, alone.first), name << " on " << ranks);
      BOOST_CHECK_MESSAGE(many.second == alone.second, many.second << " and " << alone.second);
    }
  };
  check("federated", tutti::federated{.fraction = .3, .normalized = true, .attendance = stands});
  check("scaffold", tutti::scaffold{{.fraction = .3, .attendance = stands}});
}

BOOST_AUTO_TEST_CASE(who_drops_out_is_drawn_by_itself) {
  const crowd people{std::vector<double>(50, 1.0)};
  std::vector<int> dropped(50);
  int both = 0;
  tutti::self world;
  crowd mine = people;
  std::vector<double> x(2);
  tutti::federated_by<tutti::sgd, tutti::poisson_sampling> policy{.sampler = {.rate = .4},
                                                                  .attendance = {.drop_out = .3}};
  tutti::strategy strategy{world, policy};
  strategy.run(x, mine, {.rounds = 400, .seed = 5}, [&](const tutti::round_report& r) {
    both += r.clients;
    for (const int c : r.who(absence::dropped_out)) ++dropped[std::size_t(c)];
    return true;
  });
  int all = 0;
  for (const int d : dropped) {
    all += d;
    BOOST_CHECK_MESSAGE(std::abs(d - 48) < 32, d); // 400 * .4 * .3, deviation 6.5
  }
  BOOST_CHECK_MESSAGE(std::abs(double(all) / both - .3) < .03, double(all) / both); // not the same draw
}

BOOST_AUTO_TEST_CASE(examples_are_dealt_out_so_that_ranks_have_as_much_to_do) {
  tutti::detail::cohort_roll roll{tutti::attendance{}};
  const auto homes = [&](const std::vector<double>& holds, int size) {
    roll.begin(1);
    for (std::size_t c = 0; c < holds.size(); ++c) roll.add(int(c), {});
    roll.count_examples([&](int c) { return holds[std::size_t(c)]; });
    roll.place(size);
    std::vector<int> out;
    for (const auto& one : roll.all()) out.push_back(one.home);
    return out;
  };
  BOOST_CHECK((homes({1, 10, 1, 7, 2}, 2) == std::vector{1, 0, 0, 1, 1}));
  BOOST_CHECK((homes({3, 3, 3, 3, 3}, 3) == std::vector{0, 1, 2, 0, 1})); // equal ones go round
  BOOST_CHECK((homes({nan, 0, -1, 0}, 2) == std::vector{0, 1, 0, 1}));
  BOOST_CHECK_EQUAL(roll.most_of_a_rank(), 2u);
}

BOOST_AUTO_TEST_CASE(numbers_of_attendance_that_cannot_be_are_refused_on_every_rank) {
  const auto refused = [](tutti::attendance stands, const char* why) {
    const auto errors = trial::errors_on_ranks(2, [&](auto& world) {
      crowd people{{1, 2}};
      std::vector<double> x(2);
      tutti::strategy{world, tutti::federated{.attendance = stands}}.run(x, people);
    });
    BOOST_CHECK_MESSAGE(trial::all_contain(errors, why), trial::joined(errors));
  };
  for (const double bad : {.5, -1.0, nan, infinity})
    refused({.over_select = bad}, "over_select of attendance is less than 1 or not finite");
  for (const double bad : {-1.0, nan, infinity}) refused({.deadline = bad}, "the deadline of attendance is negative");
  for (const double bad : {-.1, 1.1, nan}) refused({.drop_out = bad}, "drop_out of attendance is no probability");
  refused({.least = 0}, "least of attendance is less than 1");
  struct timeless {
    int clients() const { return 2; }
    double examples(int) const { return 1; }
    void train(int, tutti::local_training<double>&, tutti::random_stream) const {}
  };
  const auto errors = trial::errors_on_ranks(2, [&](auto& world) {
    timeless people;
    std::vector<double> x(2);
    tutti::strategy{world, tutti::federated{.attendance = {.deadline = 1}}}.run(x, people);
  });
  BOOST_CHECK_MESSAGE(trial::all_contain(errors, "the population says no durations"), trial::joined(errors));
  const auto sampled = trial::errors_on_ranks(2, [&](auto& world) {
    crowd people{{1, 2}};
    std::vector<double> x(2);
    const tutti::federated_by<tutti::sgd, tutti::poisson_sampling> policy{.attendance = {.over_select = 2}};
    tutti::strategy{world, policy}.run(x, people);
  });
  BOOST_CHECK_MESSAGE(trial::all_contain(sampled, "the sampler says itself who is asked"), trial::joined(sampled));
}

BOOST_AUTO_TEST_SUITE_END()
