// Krum on sharded `direct`: a geometry-wise reducer. Each rank sees all contributions to its shard
// of the coordinates, the squared distances between them are summed over the shards, and out of the
// sum every rank makes the same choice (Blanchard, El Mhamdi, Guerraoui, Stainer, "Machine learning
// with adversaries: Byzantine tolerant gradient descent", NIPS 2017).
#include <tutti/reducers/krum.hpp>
#include <tutti/reducers/laws.hpp>
#include <tutti/topologies/schedule.hpp>

#include <boost/test/unit_test.hpp>

#include <algorithm>
#include <vector>

BOOST_AUTO_TEST_SUITE(concepts)

using tutti::krum;
using tutti::mean_of_chosen;

static_assert(tutti::reducer<krum> && tutti::agreeing_reducer<krum>);
static_assert(tutti::observes_gathered<krum, float> && tutti::observes_gathered<krum, double>);
static_assert(!tutti::observes_own<krum, double> && !tutti::folding_reducer<krum, double>);
static_assert(std::same_as<tutti::working_reducer_t<krum>, mean_of_chosen>);
static_assert(tutti::gathering_reducer<mean_of_chosen, double>);
static_assert(tutti::needs_every_contribution<krum, double>);
static_assert(tutti::reducer_of<krum, double> && tutti::accepts_element<krum, double>);

namespace {

/// What reduce_scatter on `direct` does: rank r sees all contributions to shard r.
std::vector<double> reduced_in_shards(const krum& r,
                                      std::vector<std::vector<double>> contributions) {
  const auto size = int(contributions.size());
  const tutti::partition cut{contributions[0].size(), size, size};
  std::vector<const double*> rows(contributions.size());
  std::vector<double> distances(r.agreement(cut.n, size)), seen = distances;
  for (int rank = 0; rank < size; ++rank) {
    for (std::size_t k = 0; k < rows.size(); ++k)
      rows[k] = contributions[k].data() + cut.offset(rank);
    r.observe_gathered(tutti::gathered_rows<double>{rows, cut.length(rank)}, cut.offset(rank),
                       seen);
    for (std::size_t k = 0; k < seen.size(); ++k) distances[k] += seen[k];
  }
  const auto working = r.agreed(distances);
  std::vector<double> out, column(rows.size());
  for (std::size_t i = 0; i < cut.n; ++i) {
    for (std::size_t k = 0; k < rows.size(); ++k) column[k] = contributions[k][i];
    out.push_back(working.gather(std::span{column}));
  }
  return out;
}

const std::vector<std::vector<double>> example{{.9, 2.3, 3},    {1.4, 1.7, 3.6}, {.5, 2, 2.6},
                                               {1.1, 2.8, 3.1}, {.7, 1.2, 3.9},  {6, -5, 8},
                                               {-4, 9, -3}};

} // namespace

BOOST_AUTO_TEST_CASE(krum_scores_and_picks_the_row_in_the_middle) {
  const krum two{.f = 2};
  std::vector<const double*> rows;
  for (const auto& row : example) rows.push_back(row.data());
  std::vector<double> distances(49);

  two.observe_gathered(tutti::gathered_rows<double>{rows, 3}, 0, distances);

  const double expected[] = {1.68, 3.35, 3.56, 3.10, 5.26, 273.05, 307.17};
  for (std::size_t i = 0; i < 7; ++i)
    BOOST_CHECK_SMALL(two.score(std::span{distances}.subspan(7 * i, 7), i) - expected[i], 5e-3);
  BOOST_CHECK(reduced_in_shards(two, example) == example[0]);
}

BOOST_AUTO_TEST_CASE(krum_depends_on_the_contributions_and_not_on_who_made_them) {
  auto turned = example;
  std::rotate(turned.begin(), turned.begin() + 3, turned.end());
  BOOST_CHECK(reduced_in_shards(krum{.f = 2}, turned) == example[0]);

  const auto report = tutti::check_reducer<float>(krum{.f = 2});
  BOOST_CHECK_MESSAGE(report, report.text());
}

BOOST_AUTO_TEST_SUITE_END()
