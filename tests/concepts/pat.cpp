// PAT, parallel aggregated trees (NCCL 2.23; Jeaugey, "PAT: a new algorithm for all-gather and
// reduce-scatter operations at scale", 2025): a binomial tree per chunk, all trees at once, far
// partners first; chunks that take the same hop travel in one message, their numbers a stride
// apart.
#include "play.hpp"

#include <tutti/topologies/pat.hpp>

#include <boost/test/unit_test.hpp>

BOOST_AUTO_TEST_SUITE(concepts)

namespace {

using tutti::pat;

static_assert(tutti::schedule_topology<pat>);
static_assert(tutti::carries<pat>(tutti::collective::all_reduce));
static_assert(pat{}.rounds(tutti::collective::all_gather, 13) == 4, "logarithmic");

} // namespace

BOOST_AUTO_TEST_CASE(pat_works_for_any_size_and_any_aggregation) {
  using enum tutti::collective;
  for (const int size : {1, 2, 3, 4, 5, 6, 7, 8, 11, 16, 29})
    for (const int aggregated : {1, 2, 3, 1 << 30}) {
      const pat topology{aggregated};
      const auto wrong = wrong_all_gather(play(topology, all_gather, size)) +
                         wrong_reduce_scatter(play(topology, reduce_scatter, size)) +
                         wrong_all_reduce(play(topology, all_reduce, size));
      BOOST_CHECK_MESSAGE(wrong.empty(), size << " ranks, " << aggregated << " at once: " << wrong);
    }
}

BOOST_AUTO_TEST_SUITE_END()
