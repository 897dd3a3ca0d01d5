// Krum and Multi-Krum where they are used: through all_reduce, sharded and at a centre.
#include <tutti/collectives/collectives.hpp>
#include <tutti/communicators/threads.hpp>
#include <tutti/reducers/krum.hpp>

#include <boost/test/unit_test.hpp>

#include <cmath>
#include <limits>
#include <mutex>
#include <string>
#include <vector>

BOOST_AUTO_TEST_SUITE(reducers)

namespace {

using rows = std::vector<std::vector<double>>;

/// Seven contributions to three coordinates, two of them far away (f = 2).
const rows crowd{{.9, 2.3, 3}, {1.4, 1.7, 3.6}, {.5, 2, 2.6}, {1.1, 2.8, 3.1},
                 {.7, 1.2, 3.9}, {6, -5, 8}, {-4, 9, -3}};

template <class Topology>
rows results_of(const rows& contributions, tutti::krum rule, Topology topology) {
  rows out(contributions.size());
  tutti::threads::run(int(contributions.size()), [&](auto& world) {
    std::vector<double> mine = contributions[std::size_t(world.rank())];
    tutti::all_reduce(world, mine, rule, topology);
    out[std::size_t(world.rank())] = mine;
  });
  return out;
}

bool all_near(const rows& results, const std::vector<double>& wanted) {
  for (const auto& row : results)
    for (std::size_t i = 0; i < wanted.size(); ++i)
      if (!(std::abs(row[i] - wanted[i]) < 5e-7) || row[i] != results[0][i]) return false;
  return true;
}

} // namespace

BOOST_AUTO_TEST_CASE(krum_gives_the_published_values_on_every_rank) {
  struct known {
    int keep;
    std::vector<double> result;
  };
  for (const auto& [keep, result] : {known{1, {.9, 2.3, 3}},
                                     known{3, {3.4 / 3, 6.8 / 3, 9.7 / 3}},
                                     known{5, {.92, 2, 3.24}}}) {
    const tutti::krum rule{.f = 2, .keep = keep};
    BOOST_CHECK_MESSAGE(all_near(results_of(crowd, rule, tutti::direct{}), result),
                        "direct, keep " << keep);
    BOOST_CHECK_MESSAGE(all_near(results_of(crowd, rule, tutti::star{}), result),
                        "star, keep " << keep);
  }
}

BOOST_AUTO_TEST_CASE(a_contribution_that_is_not_finite_is_never_chosen) {
  for (const double bad : {std::numeric_limits<double>::quiet_NaN(),
                           std::numeric_limits<double>::infinity()}) {
    rows poisoned = crowd;
    poisoned[6] = {0.9, bad, 3};
    BOOST_CHECK_MESSAGE(
        all_near(results_of(poisoned, {.f = 2}, tutti::direct{}), {.9, 2.3, 3}), "with " << bad);
  }
}

BOOST_AUTO_TEST_CASE(too_few_ranks_are_refused_on_every_rank) {
  int refused = 0;
  std::mutex guard;
  tutti::threads::run(4, [&](auto& world) {
    std::vector<float> data(3);
    try {
      tutti::all_reduce(world, data, tutti::krum{.f = 1});
    } catch (const tutti::error& e) {
      const std::scoped_lock lock{guard};
      refused += e.code() == tutti::error_code::invalid_argument &&
                 std::string{e.what()}.find("needs at least 5 contributions, there are 4") !=
                     std::string::npos;
    }
  });
  BOOST_CHECK_EQUAL(refused, 4);
}

BOOST_AUTO_TEST_SUITE_END()
