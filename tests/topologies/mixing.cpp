// Mixings: every graph proven stochastic and connected at every size, what the proof refuses, and how fast values meet.
#include <tutti/topologies/graphs.hpp>
#include <tutti/topologies/mixing_proof.hpp>

#include <boost/test/unit_test.hpp>

#include <cmath>
#include <cstdint>
#include <functional>
#include <numeric>
#include <string>
#include <vector>

BOOST_AUTO_TEST_SUITE(mixings)

namespace {

using tutti::mixing_flaw;
using tutti::share;
using tutti::stochastic;

static_assert(tutti::mixing_topology<tutti::ring_graph> && tutti::mixing_topology<tutti::torus_graph> &&
              tutti::mixing_topology<tutti::exponential_graph> && tutti::mixing_topology<tutti::one_peer_exponential> &&
              tutti::mixing_topology<tutti::complete_graph> && tutti::mixing_topology<tutti::random_graph> &&
              tutti::mixing_topology<tutti::random_pairs> && tutti::mixing_topology<tutti::mixing_matrix>);

/// The values after a round.
template <class Graph>
std::vector<double> mixed(const Graph& graph, std::int64_t round, const std::vector<double>& x) {
  std::vector<double> next(x.size());
  for (int rank = 0; rank < int(x.size()); ++rank)
    graph.mix(round, rank, int(x.size()), [&](share s) {
      if (s.to == rank) next[std::size_t(rank)] += s.weight * x[std::size_t(s.from)];
    });
  return next;
}
double distance(const std::vector<double>& x) {
  const double mean = std::accumulate(x.begin(), x.end(), 0.0) / double(x.size());
  double sum = 0;
  for (const double v : x) sum += (v - mean) * (v - mean);
  return std::sqrt(sum);
}

/// What a test says: any shares, told by rank.
struct any_graph {
  using part = tutti::topology_part;
  std::function<std::vector<share>(int rank)> of;
  template <class Emit>
  void mix(std::int64_t, int rank, int, Emit&& emit) const {
    for (const share s : of(rank)) emit(s);
  }
};

} // namespace

BOOST_AUTO_TEST_CASE(graphs_are_doubly_stochastic_and_connected_at_every_size) {
  const auto check = [](const char* name, const auto& graph, int size) {
    const auto found = tutti::verify_mixing(graph, size, stochastic::rows_and_columns);
    BOOST_CHECK_MESSAGE(found.holds(), name << " of " << size << " ranks: " << found.text());
  };
  for (int size = 1; size <= 66; ++size) {
    check("ring_graph", tutti::ring_graph{}, size);
    check("torus_graph", tutti::torus_graph{}, size);
    check("torus_graph of 2 rows", tutti::torus_graph{.rows = 2}, size);
    check("exponential_graph", tutti::exponential_graph{}, size);
    check("one_peer_exponential", tutti::one_peer_exponential{}, size);
    check("complete_graph", tutti::complete_graph{}, size);
    if (size <= 33) check("random_graph", tutti::random_graph{.probability = 0.7, .seed = 5}, size);
    if (size <= 33) check("random_pairs", tutti::random_pairs{.seed = 3}, size);
  }
  check("mixing_matrix", tutti::mixing_matrix{{.5, .25, .25, .25, .5, .25, .25, .25, .5}}, 3);
}

BOOST_AUTO_TEST_CASE(one_peer_is_exact_after_log2_rounds_and_keeps_the_mean_elsewhere) {
  for (int size = 1; size <= 19; ++size) {
    std::vector<double> x(std::size_t(size), 0.0);
    for (int r = 0; r < size; ++r) x[std::size_t(r)] = r * r - 3.0 * r;
    const double mean = std::accumulate(x.begin(), x.end(), 0.0) / size;
    const tutti::one_peer_exponential graph;
    const std::int64_t cycle = tutti::cycle_of(graph, size);
    for (std::int64_t round = 0; round < cycle; ++round) {
      x = mixed(graph, round, x);
      const double now = std::accumulate(x.begin(), x.end(), 0.0) / size;
      BOOST_CHECK_MESSAGE(std::abs(now - mean) < 1e-12, size << " ranks, round " << round << ": the mean is " << now
                                                             << ", not " << mean);
    }
    if ((size & (size - 1)) == 0) BOOST_CHECK_MESSAGE(distance(x) < 1e-12, size << " ranks are " << distance(x) << " apart");
  }
  BOOST_CHECK_EQUAL(tutti::cycle_of(tutti::one_peer_exponential{}, 16), 4);
}

BOOST_AUTO_TEST_CASE(a_ring_of_16_contracts_by_its_second_eigenvalue) {
  constexpr int size = 16;
  std::vector<double> x(size);
  for (int r = 0; r < size; ++r) x[std::size_t(r)] = std::cos(2 * M_PI * r / size); // its eigenvector
  for (int round = 0; round < 50; ++round) {
    const double before = distance(x);
    x = mixed(tutti::ring_graph{}, round, x);
    BOOST_CHECK_SMALL(distance(x) / before - .949253, 1e-6);
  }
}

// From 0 to {0, 1, 2}, from 1 to {1, 2}, from 2 to {2, 0}: what is heard and what is told are not the same.
BOOST_AUTO_TEST_CASE(columns_and_rows_are_not_the_same) {
  const tutti::mixing_matrix by_columns{{1. / 3, 0, .5, 1. / 3, .5, 0, 1. / 3, .5, .5}};
  BOOST_CHECK(tutti::verify_mixing(by_columns, 3, stochastic::columns).holds());
  const auto found = tutti::verify_mixing(by_columns, 3, stochastic::rows_and_columns);
  BOOST_CHECK(found.code == mixing_flaw::rows_differ);
  BOOST_CHECK_EQUAL(found.text(), "round 0, rank 0: the weights of what a rank hears do not add up to 1 but to 0.833333333");

  std::vector<double> x{3, 0, 0}, w{1, 1, 1};
  x = mixed(by_columns, 0, x), w = mixed(by_columns, 0, w);
  BOOST_CHECK((x == std::vector<double>{1, 1, 1}));
  BOOST_CHECK_SMALL(w[0] - 5. / 6, 1e-15);
  BOOST_CHECK_SMALL(w[2] - 4. / 3, 1e-15);
  for (int round = 0; round < 100; ++round) x = mixed(by_columns, 0, x), w = mixed(by_columns, 0, w);
  for (int r = 0; r < 3; ++r) BOOST_CHECK_SMALL(x[std::size_t(r)] / w[std::size_t(r)] - 1, 1e-12);

  const tutti::mixing_matrix by_rows{{.5, 0, .5, .5, .5, 0, 1. / 3, 1. / 3, 1. / 3}}; // gossip: biased
  std::vector<double> y{3, 0, 0};
  for (int round = 0; round < 100; ++round) y = mixed(by_rows, 0, y);
  BOOST_CHECK_SMALL(y[0] - 4. / 3, 1e-9);
}

BOOST_AUTO_TEST_CASE(what_is_no_mixing_is_refused_with_the_place) {
  const auto text = [](auto&& of, int size, stochastic needs = stochastic::rows_and_columns) {
    return tutti::verify_mixing(any_graph{of}, size, needs).text();
  };
  const auto alone = [](int rank) { return share{rank, rank, 1}; };
  BOOST_CHECK_EQUAL(text([&](int r) { return std::vector{alone(r), share{r, 7, .5}}; }, 2),
                    "round 0, rank 0: a share names a rank that there is not");
  BOOST_CHECK_EQUAL(text([&](int r) { return std::vector{alone(r), share{1 - r, 1 - r, .5}}; }, 2),
                    "round 0, rank 0: a share does not touch the rank that it is emitted for");
  for (const double w : {0.0, -.5, std::nan(""), HUGE_VAL})
    BOOST_CHECK_EQUAL(text([&](int r) { return std::vector{share{r, r, w}}; }, 2),
                      "round 0, rank 0 and rank 0: a weight is not positive and finite");
  BOOST_CHECK_EQUAL(text([&](int r) { return std::vector{share{r, r, .5}, share{r, r, .5}}; }, 2),
                    "round 0, rank 0 and rank 0: two shares are of the same two ranks");
  BOOST_CHECK_EQUAL(text(
                        [&](int r) {
                          return std::vector{share{r, r, .5}, share{1 - r, r, .5}, share{r, 1 - r, r == 0 ? .5 : .25}};
                        },
                        2),
                    "round 0, rank 0 and rank 1: the two ranks of a share see different weights");
  BOOST_CHECK_EQUAL(text([&](int r) { return r == 0 ? std::vector{alone(0), share{1, 0, .5}} : std::vector{alone(1)}; }, 2),
                    "round 0, rank 0 and rank 1: the two ranks of a share see different weights");
  BOOST_CHECK_EQUAL(text([&](int r) { return std::vector{share{r, r, .5}, share{1 - r, r, .25}, share{r, 1 - r, .25}}; }, 2),
                    "round 0, rank 0: the weights of what a rank hears do not add up to 1 but to 0.75");
  BOOST_CHECK_EQUAL(text([&](int r) { return std::vector{share{r, r, .5}, share{1 - r, r, .25}, share{r, 1 - r, .25}}; },
                         2, stochastic::columns),
                    "round 0, rank 0: the weights of what is heard of a rank do not add up to 1 but to 0.75");
  BOOST_CHECK_EQUAL(text([&](int r) { return std::vector{alone(r)}; }, 3),
                    "rank 0 and rank 1: the graph is not connected: a rank never hears of another, not through "
                    "others either");
  BOOST_CHECK_EQUAL(tutti::verify_mixing(tutti::random_graph{.probability = 0, .seed = 1}, 2, stochastic::rows_and_columns).text(),
                    "rank 0 and rank 1: the graph is not connected: a rank never hears of another, not through "
                    "others either");
}

// Drawn from a seed: the same everywhere, another with another seed.
BOOST_AUTO_TEST_CASE(drawn_graphs_are_named_by_their_seed) {
  const auto partners = [](std::uint64_t seed) {
    std::vector<int> all;
    for (int round = 0; round < 20; ++round)
      for (int rank = 0; rank < 7; ++rank) all.push_back(tutti::random_pairs{seed}.partner(round, rank, 7));
    return all;
  };
  BOOST_CHECK(partners(1) == partners(1));
  BOOST_CHECK(partners(1) != partners(2));
  std::vector<int> alone(7);
  for (int round = 0; round < 70; ++round)
    for (int rank = 0; rank < 7; ++rank) {
      const int other = tutti::random_pairs{1}.partner(round, rank, 7);
      BOOST_CHECK_EQUAL(tutti::random_pairs{1}.partner(round, other, 7), rank);
      alone[std::size_t(rank)] += other == rank;
    }
  BOOST_CHECK_EQUAL(std::accumulate(alone.begin(), alone.end(), 0), 70); // one a round, of an odd number
  for (const int times : alone) BOOST_CHECK_GT(times, 1);
}

BOOST_AUTO_TEST_SUITE_END()
