// Rules that stand contributions which may be anything: values that were computed independently, bounds, and what is
// no number; sharded, at a centre, and through buckets.
#include <tutti/collectives/collectives.hpp>
#include <tutti/collectives/reference.hpp>
#include <tutti/communicators/threads.hpp>
#include <tutti/core/random.hpp>
#include <tutti/reducers/bucketing.hpp>
#include <tutti/reducers/bulyan.hpp>
#include <tutti/reducers/geometric_median.hpp>

#include <boost/test/unit_test.hpp>

#include <cmath>
#include <limits>
#include <mutex>
#include <string>
#include <vector>

BOOST_AUTO_TEST_SUITE(robust)

namespace {

using rows = std::vector<std::vector<double>>;

/// Seven contributions to three coordinates, two of them far away (f = 2).
const rows crowd{{.9, 2.3, 3}, {1.4, 1.7, 3.6}, {.5, 2, 2.6}, {1.1, 2.8, 3.1}, {.7, 1.2, 3.9}, {6, -5, 8}, {-4, 9, -3}};
const double bad_numbers[] = {std::numeric_limits<double>::quiet_NaN(), std::numeric_limits<double>::infinity()};

template <class Rule>
std::vector<double> of(const Rule& rule, const rows& contributions) {
  return tutti::reference::reduction<double>(contributions, rule);
}
template <class Rule, class Topology>
rows on_ranks(const rows& contributions, Rule rule, Topology topology) {
  rows out(contributions.size());
  tutti::threads::run(int(contributions.size()), [&](auto& world) {
    std::vector<double> mine = contributions[std::size_t(world.rank())];
    tutti::all_reduce(world, mine, rule, topology);
    out[std::size_t(world.rank())] = mine;
  });
  return out;
}
bool near(const std::vector<double>& got, const std::vector<double>& wanted, double within) {
  for (std::size_t i = 0; i < wanted.size(); ++i)
    if (!(std::abs(got[i] - wanted[i]) <= within)) return false;
  return got.size() == wanted.size();
}
std::string text(const std::vector<double>& values) {
  std::string out;
  for (const double v : values) out += std::to_string(v) + " ";
  return out;
}
template <class Rule>
void check(const char* name, const Rule& rule, const std::vector<double>& wanted, double within = 1e-12) {
  const auto got = of(rule, crowd);
  BOOST_CHECK_MESSAGE(near(got, wanted, within), name << ": " << text(got));
  for (const auto& all : {on_ranks(crowd, rule, tutti::direct{}), on_ranks(crowd, rule, tutti::star{})})
    for (const auto& one : all)
      BOOST_CHECK_MESSAGE(near(one, wanted, within) && one == all[0], name << " on ranks: " << text(one));
}

/// The error of every rank when `contributions` ranks call it.
template <class Rule>
int refusals(int contributions, Rule rule, const std::string& why) {
  int refused = 0;
  std::mutex guard;
  tutti::threads::run(contributions, [&](auto& world) {
    std::vector<float> data(3);
    try {
      tutti::all_reduce(world, data, rule);
    } catch (const tutti::error& e) {
      const std::scoped_lock lock{guard};
      refused +=
          e.code() == tutti::error_code::invalid_argument && std::string{e.what()}.find(why) != std::string::npos;
    }
  });
  return refused;
}

} // namespace

BOOST_AUTO_TEST_CASE(every_rule_gives_the_published_values_on_every_rank) {
  check("bulyan", tutti::bulyan{.f = 1}, {.9, 2, 2.9});
  check("geometric median", tutti::geometric_median{}, {.907763564877, 2.236333418161, 3.042509693486}, 2e-12);
  const std::vector<double> clipped{.183700318275, .423206749254, .641779414380};
  check("centered clipping", tutti::centered_clipping{}, clipped, 1e-12);
  check("norm clipping", tutti::norm_clipping{}, clipped, 1e-12); // one pass from the origin is the same
}

BOOST_AUTO_TEST_CASE(neutral_numbers_make_the_mean_of_every_rule) {
  std::vector<double> mean(3);
  for (const auto& row : crowd)
    for (std::size_t i = 0; i < 3; ++i) mean[i] += row[i] / 7;
  BOOST_CHECK(near(of(tutti::centered_clipping{.radius = 1e6}, crowd), mean, 1e-12));
  BOOST_CHECK(near(of(tutti::norm_clipping{.bound = 1e6}, crowd), mean, 1e-12));
  BOOST_CHECK(near(of(tutti::geometric_median{.smoothing = 1e6}, crowd), mean, 1e-12));
  BOOST_CHECK(near(of(tutti::bulyan{.f = 0}, crowd), mean, 1e-12));
  BOOST_CHECK(near(of(tutti::bucketing{tutti::centered_clipping{.radius = 1e6}, 7}, crowd), mean, 1e-12));
}

BOOST_AUTO_TEST_CASE(centered_clipping_goes_on_from_where_it_has_come_to) {
  const rows one_far{{0, 0}, {0, 0}, {30, 40}}; // v: (.2, .2667), then as by hand below
  double v[2] = {0, 0};
  for (int pass = 0; pass < 3; ++pass) {
    double step[2] = {0, 0};
    for (const auto& x : one_far) {
      const double far = std::hypot(x[0] - v[0], x[1] - v[1]), part = far > 1 ? 1 / far : 1;
      for (int i = 0; i < 2; ++i) step[i] += part * (x[std::size_t(i)] - v[i]) / 3;
    }
    for (int i = 0; i < 2; ++i) v[i] += step[i];
  }
  BOOST_CHECK(near(of(tutti::centered_clipping{.radius = 1, .passes = 3}, one_far), {v[0], v[1]}, 1e-12));
}

/// Sixteen coordinates at once, in blocks and their rests, have the bits of the definition's one by one.
BOOST_AUTO_TEST_CASE(long_contributions_have_the_bits_of_the_definition) {
  tutti::random_stream draw{4};
  for (const std::size_t n : {std::size_t{15}, std::size_t{16}, std::size_t{255}, std::size_t{600}}) {
    rows all(7, std::vector<double>(n));
    for (auto& row : all)
      for (double& x : row) x = draw.below(50) == 0 ? bad_numbers[0] : double(draw.uniform()) - .5;
    all[6] = std::vector<double>(n, 9); // else each has a NaN somewhere
    all[5] = std::vector<double>(n, -1);
    const auto same = [&](const char* name, const auto& rule) {
      const auto wanted = of(rule, all);
      const auto got = on_ranks(all, rule, tutti::star{})[3];
      for (std::size_t i = 0; i < n; ++i)
        BOOST_CHECK_MESSAGE(got[i] == wanted[i] || (got[i] != got[i] && wanted[i] != wanted[i]),
                            name << ", " << i << " of " << n << ": " << got[i] << ", " << wanted[i]);
    };
    same("median", tutti::median{});
    same("trimmed mean", tutti::trimmed_mean{2});
    same("median of buckets", tutti::bucketing{tutti::median{}, 2});
    same("bulyan", tutti::bulyan{1});
    same("geometric median", tutti::geometric_median{});
  }
}

BOOST_AUTO_TEST_CASE(what_is_not_finite_neither_wins_nor_poisons) {
  for (const double bad : bad_numbers)
    for (const std::size_t where : {0u, 6u}) {
      rows poisoned = crowd;
      rows without;
      poisoned[where] = {.9, bad, 3};
      for (std::size_t k = 0; k < 7; ++k)
        if (k != where) without.push_back(crowd[k]);
      const auto as_without = [&](const char* name, const auto& rule) {
        const auto got = of(rule, poisoned), wanted = of(rule, without);
        BOOST_CHECK_MESSAGE(near(got, wanted, 1e-12), name << " with " << bad << ": " << text(got));
      };
      as_without("geometric median", tutti::geometric_median{});
      as_without("centered clipping", tutti::centered_clipping{.radius = 2, .passes = 3});
      as_without("norm clipping", tutti::norm_clipping{});
      for (const double x : of(tutti::bulyan{.f = 1}, poisoned)) BOOST_CHECK(std::isfinite(x));
    }
  const rows nothing{{bad_numbers[0]}, {bad_numbers[1]}, {bad_numbers[0]}};
  BOOST_CHECK(std::isnan(of(tutti::geometric_median{}, nothing)[0]));
  BOOST_CHECK(std::isnan(of(tutti::norm_clipping{}, nothing)[0]));
}

/// Breakdown points: what f of n send moves the result by no more than the others are apart.
BOOST_AUTO_TEST_CASE(attackers_do_not_carry_the_result_away) {
  tutti::random_stream draw{9};
  for (const double far : {1e2, 1e6, 1e12}) {
    rows all(11, std::vector<double>(40));
    for (std::size_t k = 0; k < all.size(); ++k)
      for (double& x : all[k]) x = k < 2 ? far * (draw.uniform() + 1) : double(draw.uniform());
    const auto bounded = [&](const char* name, const auto& rule, double within) {
      for (const double x : of(rule, all)) BOOST_CHECK_MESSAGE(std::abs(x) <= within, name << ", " << far << ": " << x);
    };
    bounded("bulyan", tutti::bulyan{.f = 2}, 1);
    bounded("geometric median", tutti::geometric_median{}, 2);
    bounded("centered clipping", tutti::centered_clipping{.radius = 10, .passes = 5}, 12);
    bounded("norm clipping", tutti::norm_clipping{.bound = 1}, 1);
    bounded("median of buckets", tutti::bucketing{tutti::median{}, 2}, 1);
    bounded("krum of buckets", tutti::bucketing{tutti::krum{.f = 1}, 2}, far * 2); // two buckets may be spoilt
    bounded("Bulyan of ones", tutti::bucketing{tutti::bulyan{.f = 2}, 1}, 1);
  }
}

BOOST_AUTO_TEST_CASE(buckets_of_one_are_the_rule_and_of_all_the_mean) {
  const auto same = [](const auto& rule) {
    const auto got = of(tutti::bucketing{rule, 1}, crowd);
    BOOST_CHECK_MESSAGE(near(got, of(rule, crowd), 1e-9), text(got)); // iterations end elsewhere in another order
  };
  same(tutti::krum{.f = 2});
  same(tutti::bulyan{.f = 1});
  same(tutti::median{});
  same(tutti::geometric_median{});
  const auto all = of(tutti::bucketing{tutti::median{}, 100}, crowd);
  BOOST_CHECK(near(all, {6.6 / 7, 14. / 7, 21.2 / 7}, 1e-12));
  const auto check_on_ranks = [](const auto& rule) {
    const auto wanted = of(rule, crowd);
    for (const auto& got : on_ranks(crowd, rule, tutti::direct{})) BOOST_CHECK(near(got, wanted, 1e-12));
  };
  check_on_ranks(tutti::bucketing{tutti::krum{.f = 0}, 2});
  check_on_ranks(tutti::bucketing{tutti::median{}, 2});
  BOOST_CHECK(of(tutti::bucketing{tutti::median{}, 2, 1}, crowd) != of(tutti::bucketing{tutti::median{}, 2, 5}, crowd));
}

BOOST_AUTO_TEST_CASE(a_bucket_is_a_mean_of_as_many) {
  int seen[7] = {};
  for (std::uint64_t seed = 0; seed < 50; ++seed) {
    const auto order = tutti::detail::shuffled_contributions(7, seed);
    std::vector<int> count(7);
    for (const std::size_t k : order) ++count[k];
    for (const int c : count) BOOST_REQUIRE_EQUAL(c, 1);
    ++seen[order[0]];
  }
  for (const int s : seen) BOOST_CHECK_MESSAGE(s > 0 && s < 25, "first " << s << " of 50 times");
}

BOOST_AUTO_TEST_CASE(numbers_that_cannot_work_are_refused_on_every_rank) {
  BOOST_CHECK_EQUAL(refusals(6, tutti::bulyan{.f = 1}, "needs at least 7 contributions, there are 6"), 6);
  BOOST_CHECK_EQUAL(refusals(2, tutti::bulyan{.f = -1}, "bulyan: f is negative"), 2);
  BOOST_CHECK_EQUAL(refusals(3, tutti::bucketing{tutti::krum{.f = 0}, 1}, "invalid"), 0); // 3 are enough for f = 0
  BOOST_CHECK_EQUAL(refusals(4, tutti::bucketing{tutti::krum{.f = 0}, 2}, "needs at least 5 contributions"), 4);
  BOOST_CHECK_EQUAL(refusals(2, tutti::bucketing{tutti::median{}, 0}, "bucketing: each is less than 1"), 2);
  BOOST_CHECK_EQUAL(refusals(2, tutti::bucketing{tutti::bulyan{.f = -1}, 1}, "bulyan: f is negative"), 2);
  for (const double bad : {0.0, -0.0, -1.0, bad_numbers[0], bad_numbers[1]}) {
    BOOST_CHECK_EQUAL(refusals(2, tutti::geometric_median{.smoothing = bad}, "smoothing is not a positive number"), 2);
    BOOST_CHECK_EQUAL(refusals(2, tutti::centered_clipping{.radius = bad}, "radius is not a positive number"), 2);
    BOOST_CHECK_EQUAL(refusals(2, tutti::norm_clipping{.bound = bad}, "bound is not a positive number"), 2);
  }
  BOOST_CHECK_EQUAL(refusals(2, tutti::geometric_median{.iterations = 0}, "there are no iterations"), 2);
  BOOST_CHECK_EQUAL(refusals(2, tutti::centered_clipping{.passes = 0}, "there are no passes"), 2);
}

BOOST_AUTO_TEST_SUITE_END()
