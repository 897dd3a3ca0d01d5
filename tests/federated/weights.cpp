// What clients count for: next to nothing, nothing at all, or nothing because they wrote nothing.
#include "sync/model.hpp"

#include <boost/test/unit_test.hpp>

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <limits>
#include <span>
#include <string>
#include <vector>

BOOST_AUTO_TEST_SUITE(federated_weights)

namespace {

/// Client c answers what is in `answers`, and holds as many examples as are in `holds`. Of those
/// that are in `silent`, nothing is written.
template <class T> struct given_clients {
  std::vector<double> holds;
  std::vector<T> answers;
  std::vector<int> silent = {};
  int trained = 0;

  int clients() const { return int(holds.size()); }
  double examples(int client) const { return holds[std::size_t(client)]; }
  void train(int client, tutti::local_training<T>& local, tutti::random_stream) {
    ++trained;
    if (std::find(silent.begin(), silent.end(), client) != silent.end()) return;
    for (T& x : local.parameters()) x = answers[std::size_t(client)];
  }
};

template <class T> struct outcome {
  std::vector<T> values;
  tutti::federated_report report;
  std::vector<tutti::round_report> seen; ///< by the callback
};

/// What is left on every rank of rounds in which all clients take part, beginning at `start`.
template <class T, class... Parts>
std::vector<outcome<T>> after(int ranks, int rounds, const given_clients<T>& people, T start,
                              Parts... parts) {
  std::vector<outcome<T>> out(static_cast<std::size_t>(ranks));
  tutti::threads::run(ranks, [&](auto& world) {
    given_clients<T> mine = people;
    outcome<T>& here = out[std::size_t(world.rank())];
    here.values.assign(100, start);
    tutti::strategy strategy{world, tutti::federated{.fraction = 1}, parts...};
    here.report = strategy.run(here.values, mine, {.rounds = rounds}, [&](const auto& round) {
      here.seen.push_back(round);
      return true;
    });
  });
  return out;
}

/// All values on all ranks are `expected`, and no round was skipped.
template <class T>
void check_values(const std::vector<outcome<T>>& got, double expected, const std::string& what) {
  for (const auto& one : got)
    for (const T x : one.values)
      if (!(std::abs(double(x) - expected) < 1e-5)) {
        BOOST_CHECK_MESSAGE(false, what << ", " << got.size() << " ranks: a value is " << x
                                        << " instead of " << expected);
        return;
      }
}

} // namespace

BOOST_AUTO_TEST_CASE(only_the_ratios_of_examples_count) {
  for (const int ranks : {1, 2, 3, 5})
    for (const double unit : {5e-324, 1e-300, 1e-50, 1e-3, 1.0, 1e38, 4e307}) {
      const std::string what = "units of " + std::to_string(std::log10(unit)) + " (log10) examples";
      check_values(after<float>(ranks, 1, {{unit, 3 * unit, 0}, {1, 5, 9}}, 0), 4, what);
      check_values(after<double>(ranks, 1, {{unit, 3 * unit, 0}, {1, 5, 9}}, 0), 4, what);
    }
  check_values(after<float>(2, 1, {{1e308, 1e308, 1e308, 1e308}, {1, 2, 3, 4}}, 0), 2.5,
               "a sum of examples that is no number");
}

// What weighs next to nothing beside a client that wrote nothing is all there is; in any order.
BOOST_AUTO_TEST_CASE(the_heaviest_client_may_write_nothing) {
  for (const int ranks : {1, 2}) {
    const std::string what = "the heaviest is silent";
    check_values(after<float>(ranks, 1, {{1, 1e-50, 0}, {9, 3, 7}, {0}}, 1), 3, what);
    check_values(after<float>(ranks, 1, {{1e-50, 1, 1e-50}, {3, 9, 3}, {1}}, 1), 3, what);
    check_values(after<double>(ranks, 1, {{1, 4, 16}, {21, 0, 0}}, 1), 1, "each heavier than the last");
  }
}

BOOST_AUTO_TEST_CASE(a_client_of_no_examples_contributes_nothing_and_is_not_run) {
  const float bad = std::numeric_limits<float>::quiet_NaN();
  for (const int ranks : {1, 2, 3}) {
    const auto got = after<float>(ranks, 1, {{0, 2, 0, 2}, {bad, 1, bad, 3}}, 0);
    check_values(got, 2, "NaN of clients without examples");
    BOOST_CHECK_EQUAL(got[0].report.rounds[0].clients, 4);
    BOOST_CHECK_EQUAL(got[0].report.rounds[0].skipped, "");
  }
}

// Client k holds examples in every other round of one client: those of nobody are skipped.
BOOST_AUTO_TEST_CASE(a_cohort_without_examples_is_a_round_that_is_skipped_and_named) {
  for (const int ranks : {1, 2, 3}) {
    std::vector<outcome<float>> out(static_cast<std::size_t>(ranks));
    tutti::threads::run(ranks, [&](auto& world) {
      given_clients<float> mine{{0, 1, 0, 0}, {9, 1, 9, 9}};
      auto& here = out[std::size_t(world.rank())];
      here.values.assign(10, 3.0f);
      tutti::strategy strategy{world, tutti::federated{.fraction = .25, .outer = {.learning_rate = .5}}};
      here.report = strategy.run(here.values, mine, {.rounds = 12, .seed = 3}, [&](const auto& r) {
        here.seen.push_back(r);
        return true;
      });
    });
    float expected = 3;
    int skipped = 0;
    for (std::uint32_t r = 1; r <= 12; ++r) {
      const bool counts = tutti::draw_cohort(4, 1, 3, r)[0] == 1;
      if (counts) expected += .5f * (1 - expected);
      skipped += !counts;
      const std::string text =
          "round " + std::to_string(r) + " was skipped: none of its 1 clients counts: 1 without examples";
      for (const auto& one : out)
        for (const auto* told : {&one.report.rounds, &one.seen})
          BOOST_CHECK_MESSAGE((*told)[r - 1].round == int(r) &&
                                  (counts ? (*told)[r - 1].skipped.empty()
                                          : (*told)[r - 1].skipped.find(text) == 0),
                              ranks << " ranks, round " << r << ": " << (*told)[r - 1].skipped);
    }
    BOOST_CHECK_MESSAGE(skipped > 0 && skipped < 12, "the draw shows nothing");
    for (const auto& one : out) BOOST_CHECK_EQUAL(one.values[9], expected);
  }
}

BOOST_AUTO_TEST_CASE(a_client_that_writes_nothing_is_counted_and_left_out) {
  for (const int ranks : {1, 2, 3}) {
    const given_clients<double> people{{1, 2, 5, 1}, {4, 8, 0, 12}, {2}};
    const auto weighed = after<double>(ranks, 1, people, 100);
    check_values(weighed, (4 + 2 * 8 + 12) / 4., "a silent client among those that weigh");
    const auto alike = after<double>(ranks, 1, people, 100, tutti::mean{});
    check_values(alike, (4 + 8 + 12) / 3., "a silent client among equals");
    for (const auto& one : weighed) {
      BOOST_CHECK_EQUAL(one.report.rounds[0].count(tutti::absence::silent), 1);
      BOOST_CHECK_EQUAL(one.report.rounds[0].clients, 4);
      BOOST_CHECK_EQUAL(one.seen[0].who(tutti::absence::silent).size(), 1u);
    }

    const auto nobody = after<double>(ranks, 2, {{1, 2, 0}, {4, 8, 5}, {0, 1}}, 7);
    check_values(nobody, 7, "only silent clients");
    for (const auto& one : nobody)
      BOOST_CHECK_MESSAGE(one.report.rounds[1].count(tutti::absence::silent) == 2 &&
                              one.report.rounds[1].skipped.find(
                                  "round 2 was skipped: none of its 3 clients counts: 1 without "
                                  "examples, 2 wrote no parameters (call local.step(), or write "
                                  "local.parameters())") == 0,
                          one.report.rounds[1].skipped);
  }
}

BOOST_AUTO_TEST_CASE(a_mean_that_overflows_is_everybodys_error_or_its_round_is_left_out) {
  const auto got = after<float>(1, 1, {{1, 1, 1}, {-3e38f, -3e38f, -3e38f}}, 0,
                                tutti::training_options{.non_finite = tutti::non_finite::skip});
  check_values(got, 0, "a sum that overflows");
  for (const auto& one : got)
    BOOST_CHECK_EQUAL(one.report.rounds[0].skipped,
                      "round 1 was skipped: the mean of the clients holds a NaN or an infinity");
  const auto told = trial::errors_on_ranks(2, [&](auto& world) {
    given_clients<float> mine{{1, 1, 1, 1}, {-3e38f, -3e38f, -3e38f, -3e38f}};
    std::vector<float> values(3);
    tutti::strategy{world, tutti::federated{.fraction = 1}}.run(values, mine);
  });
  BOOST_CHECK_MESSAGE(trial::all_contain(told, "round 1: the mean of the clients overflowed"), trial::joined(told));
}

BOOST_AUTO_TEST_CASE(a_model_of_no_values_is_averaged) {
  tutti::threads::run(2, [](auto& world) {
    given_clients<float> people{{1, 1}, {1, 2}};
    std::vector<float> nothing;
    tutti::strategy strategy{world, tutti::federated{.fraction = 1}};
    const auto report = strategy.run(nothing, people, {.rounds = 2});
    if (report.rounds.size() != 2 || !report.rounds[1].left_out.empty())
      throw std::runtime_error{"the report is wrong"};
  });
  BOOST_CHECK(true);
}

BOOST_AUTO_TEST_CASE(a_weight_among_the_options_is_refused_on_every_rank) {
  const auto told = trial::errors_on_ranks(2, [](auto& world) {
    given_clients<float> people{{1, 1}, {1, 2}};
    std::vector<float> values(3);
    tutti::strategy strategy{world, tutti::federated{},
                             tutti::options{.weight = world.rank() == 1 ? 600.0 : 1.0}};
    strategy.run(values, people);
  });
  BOOST_CHECK_MESSAGE(trial::all_contain(told, "say it in examples(client) of the population"),
                      trial::joined(told));
}

BOOST_AUTO_TEST_CASE(a_cohort_larger_than_its_clients_cannot_be_drawn) {
  for (const auto& [clients, count] : {std::pair{5, 10}, {0, 1}, {5, -1}, {-3, 0}, {-3, -3}}) {
    std::string told = "nothing";
    try {
      (void)tutti::draw_cohort(clients, count, 1, 1);
    } catch (const tutti::error& e) {
      told = e.what();
      BOOST_CHECK(e.code() == tutti::error_code::invalid_argument);
    }
    BOOST_CHECK_MESSAGE(told.find("draw_cohort: invalid_argument: " + std::to_string(count) +
                                  " of " + std::to_string(clients) +
                                  " clients were asked for - draw") != std::string::npos,
                        told);
  }
  BOOST_CHECK(tutti::draw_cohort(0, 0, 1, 1).empty() && tutti::draw_cohort(5, 5, 1, 1).size() == 5);
}

BOOST_AUTO_TEST_SUITE_END()
