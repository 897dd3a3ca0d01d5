// Rules over clients: the values of the rules, who is left out and named, and what is left of a training that is
// attacked.
#include "sync/model.hpp"

#include <tutti/federated/attacks.hpp>
#include <tutti/reducers/bucketing.hpp>
#include <tutti/reducers/bulyan.hpp>
#include <tutti/reducers/geometric_median.hpp>

#include <boost/test/unit_test.hpp>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <limits>
#include <span>
#include <string>
#include <type_traits>
#include <vector>

BOOST_AUTO_TEST_SUITE(federated_robust)

namespace {

using rows = std::vector<std::vector<double>>;
const rows crowd{{.9, 2.3, 3}, {1.4, 1.7, 3.6}, {.5, 2, 2.6}, {1.1, 2.8, 3.1}, {.7, 1.2, 3.9}, {6, -5, 8}, {-4, 9, -3}};

/// Client k answers what was sent and answers[k]; those without an answer write nothing.
struct answering {
  rows answers;
  int clients() const { return int(answers.size()); }
  double examples(int) const { return 1; }
  void train(int client, tutti::local_training<double>& local, tutti::random_stream) const {
    const auto& mine = answers[std::size_t(client)];
    for (std::size_t i = 0; i < mine.size(); ++i) local.parameters()[i] += mine[i];
  }
};

struct told {
  std::vector<double> values;
  tutti::round_report report;
};
template <class Rule>
told once(int ranks, const rows& answers, Rule rule, double clip = 0) {
  std::vector<told> out(static_cast<std::size_t>(ranks));
  tutti::threads::run(ranks, [&](auto& world) {
    answering clients{answers};
    std::vector<double> x(3);
    tutti::strategy strategy{world, rule, tutti::federated{.fraction = 1, .clip = clip}};
    const auto report = strategy.run(x, clients, {.rounds = 1}).rounds[0];
    out[std::size_t(world.rank())] = {x, report};
  });
  for (const auto& one : out) BOOST_CHECK(one.values == out[0].values && one.report.skipped == out[0].report.skipped);
  return out[0];
}
bool near(const std::vector<double>& got, const std::vector<double>& wanted, double within = 1e-11) {
  for (std::size_t i = 0; i < wanted.size(); ++i)
    if (!(std::abs(got[i] - wanted[i]) <= within)) return false;
  return true;
}

} // namespace

BOOST_AUTO_TEST_CASE(rules_over_clients_have_the_published_values_on_any_number_of_ranks) {
  const auto check = [](const char* name, const auto& rule, const std::vector<double>& wanted) {
    const auto one = once(1, crowd, rule).values;
    BOOST_CHECK_MESSAGE(near(one, wanted), name << ": " << one[0] << " " << one[1] << " " << one[2]);
    for (const int ranks : {2, 3, 9})
      BOOST_CHECK_MESSAGE(once(ranks, crowd, rule).values == one, name << " on " << ranks);
  };
  check("krum", tutti::krum{.f = 2}, {.9, 2.3, 3});
  check("multi-krum", tutti::krum{.f = 2, .keep = 3}, {3.4 / 3, 6.8 / 3, 9.7 / 3});
  check("median", tutti::median{}, {.9, 2, 3.1});
  check("trimmed mean", tutti::trimmed_mean{.trim = 2}, {.9, 2, 9.7 / 3});
  check("bulyan", tutti::bulyan{.f = 1}, {.9, 2, 2.9});
  check("geometric median", tutti::geometric_median{}, {.907763564877, 2.236333418161, 3.042509693486});
  check("centered clipping", tutti::centered_clipping{}, {.183700318275, .423206749254, .641779414380});
  check("norm clipping", tutti::norm_clipping{}, {.183700318275, .423206749254, .641779414380});
}

BOOST_AUTO_TEST_CASE(who_sends_no_number_is_named_and_stood) {
  rows poisoned = crowd;
  poisoned[5] = {1, std::numeric_limits<double>::quiet_NaN(), 3};
  poisoned[2] = {1, std::numeric_limits<double>::infinity(), 3};
  for (const int ranks : {1, 2}) {
    const auto got = once(ranks, poisoned, tutti::geometric_median{});
    BOOST_CHECK(got.report.skipped.empty() && std::isfinite(got.values[1]));
    auto named = got.report.who(tutti::absence::not_finite);
    std::sort(named.begin(), named.end());
    BOOST_CHECK((named == std::vector<int>{2, 5}));
    BOOST_CHECK(once(ranks, crowd, tutti::geometric_median{}).report.left_out.empty());
  }
}

// Seven are drawn, three write nothing: Krum of f = 1 needs five.
BOOST_AUTO_TEST_CASE(bounds_are_those_of_the_clients_that_came) {
  rows few = crowd;
  few[0] = few[1] = few[3] = {};
  for (const int ranks : {1, 3}) {
    const auto got = once(ranks, few, tutti::krum{.f = 1});
    BOOST_CHECK_EQUAL(got.report.skipped, "round 1 was skipped: 4 of its 7 clients count, and this reducer needs at "
                                          "least 5: 3 wrote "
                                          "no parameters (call local.step(), or write local.parameters())");
    BOOST_CHECK_EQUAL(got.report.count(tutti::absence::silent), 3);
    BOOST_CHECK(near(got.values, {0, 0, 0}, 0));
    few[0] = crowd[0];
    BOOST_CHECK(once(ranks, few, tutti::krum{.f = 1}).report.skipped.empty());
    few[0] = {};
  }
  const auto nobody = once(2, rows(3), tutti::median{});
  BOOST_CHECK_MESSAGE(nobody.report.skipped.find("none of its 3 clients counts: 3 wrote no ") != std::string::npos,
                      nobody.report.skipped);
}

BOOST_AUTO_TEST_CASE(numbers_of_a_rule_that_cannot_work_are_refused_on_every_rank) {
  const auto errors = trial::errors_on_ranks(2, [](auto& world) {
    answering clients{crowd};
    std::vector<double> x(3);
    tutti::strategy{world, tutti::norm_clipping{.bound = -1}, tutti::federated{}}.run(x, clients);
  });
  BOOST_CHECK_MESSAGE(trial::all_contain(errors, "norm_clipping: bound is not a positive number"),
                      trial::joined(errors));
}

BOOST_AUTO_TEST_CASE(buckets_are_others_in_every_round) {
  std::vector<double> values;
  for (const std::uint32_t round : {1u, 2u, 3u, 4u, 5u}) {
    const auto rule = tutti::bucketing{tutti::median{}, 2}.at_round(round);
    std::vector<double> column;
    for (const auto& row : crowd) column.push_back(row[0]);
    values.push_back(rule.gather(std::span{column}));
  }
  BOOST_CHECK(std::count(values.begin(), values.end(), values[0]) < 5);
  BOOST_CHECK(once(1, crowd, tutti::bucketing{tutti::median{}, 2}).values ==
              once(3, crowd, tutti::bucketing{tutti::median{}, 2}).values);
}

namespace {

/// A hundred clients with twenty points each of two overlapping classes in eight dimensions; of the first `flipped` the
/// labels are exchanged.
struct blobs {
  static constexpr int people = 100, points = 20, attackers = 20;
  static constexpr std::size_t dimensions = 8, weights = dimensions + 1;

  int flipped = 0;

  int clients() const { return people; }
  double examples(int) const { return points; }
  /// One pass over its points.
  void train(int client, tutti::local_training<double>& local, tutti::random_stream) const {
    const std::span<double> w = local.parameters();
    for (int k = 0; k < points; ++k) {
      const auto x = point(client, k);
      const int label = client < flipped ? tutti::attacks::flipped_label(k % 2, 2) : k % 2;
      const double error = 1 / (1 + std::exp(-margin(w, x))) - label;
      for (std::size_t i = 0; i < dimensions; ++i) w[i] -= .05 * error * x[i];
      w[dimensions] -= .05 * error;
    }
  }
  /// The share of fresh points that are told apart.
  static double accuracy(const std::vector<double>& w) {
    int right = 0;
    for (int k = 0; k < 1000; ++k) right += (margin(w, point(people, k)) > 0) == (k % 2 == 1);
    return right / 1000.;
  }

private:
  static std::vector<double> point(int client, int k) {
    std::vector<double> x(dimensions);
    tutti::attacks::gaussian{1}({}, x, tutti::random_stream{77, std::uint32_t(k), std::uint64_t(client)});
    for (double& v : x) v += k % 2 == 1 ? .6 : -.6;
    return x;
  }
  static double margin(std::span<const double> w, const std::vector<double>& x) {
    double sum = w[dimensions];
    for (std::size_t i = 0; i < dimensions; ++i) sum += w[i] * x[i];
    return sum;
  }
};

struct no_attack {
  static constexpr bool wants_known = false;
  void operator()(tutti::attacks::known_updates, std::span<double>, tutti::random_stream) const {}
};
struct label_flip : no_attack {};

template <class Attack, class Rule>
double accuracy_of(const Attack& attack, const Rule& rule) {
  tutti::self world;
  blobs honest{std::is_same_v<Attack, label_flip> ? blobs::attackers : 0};
  tutti::attacked clients{honest, blobs::attackers, attack};
  std::vector<double> w(blobs::weights);
  tutti::strategy strategy{world, rule, tutti::federated{.fraction = 1}};
  strategy.run(w, clients, {.rounds = 8});
  return blobs::accuracy(w);
}

} // namespace

BOOST_AUTO_TEST_CASE(attacks_that_undo_a_mean_are_stood_by_rules) {
  const double calm = accuracy_of(no_attack{}, tutti::mean{});
  BOOST_REQUIRE_MESSAGE(calm > .9, "without an attack " << calm);
  const auto stood = [&](const char* name, const auto& how) {
    const double mean = accuracy_of(how, tutti::mean{});
    BOOST_CHECK_MESSAGE(mean < calm - .05, name << " leaves a mean " << mean << " of " << calm);
    const auto stands = [&](const char* rule, double got) {
      BOOST_CHECK_MESSAGE(got > calm - .02, rule << " under " << name << ": " << got << " of " << calm);
    };
    stands("median", accuracy_of(how, tutti::median{}));
    stands("trimmed mean", accuracy_of(how, tutti::trimmed_mean{.trim = 20}));
    stands("krum", accuracy_of(how, tutti::krum{.f = 20, .keep = 60}));
    stands("bulyan", accuracy_of(how, tutti::bulyan{.f = 20}));
    stands("geometric median", accuracy_of(how, tutti::geometric_median{}));
  };
  stood("sign flip", tutti::attacks::sign_flip{8});
  stood("gaussian", tutti::attacks::gaussian{200});
  stood("inner product", tutti::attacks::inner_product_manipulation{8});
}

/// What these do is reported; a rule may lose a little, and no rule may lose what a mean keeps.
BOOST_AUTO_TEST_CASE(attacks_that_hide_among_the_honest_cost_little_here) {
  const double calm = accuracy_of(no_attack{}, tutti::mean{});
  const auto costs_little = [&](const char* name, const auto& how) {
    const auto stands = [&](const char* rule, double got) {
      BOOST_TEST_MESSAGE(rule << " under " << name << ": " << got << " of " << calm);
      BOOST_CHECK_MESSAGE(got > calm - .1, rule << " under " << name << ": " << got << " of " << calm);
    };
    stands("median", accuracy_of(how, tutti::median{}));
    stands("geometric median", accuracy_of(how, tutti::geometric_median{}));
    stands("bulyan", accuracy_of(how, tutti::bulyan{.f = 20}));
  };
  costs_little("a little is enough", tutti::attacks::a_little_is_enough{1});
  costs_little("label flip", label_flip{});
}

BOOST_AUTO_TEST_SUITE_END()
