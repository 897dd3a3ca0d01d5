// PAT, parallel aggregated trees (NCCL 2.23; Jeaugey, "PAT: a new algorithm for all-gather and
// reduce-scatter operations at scale", 2025): a binomial tree per chunk, all trees at once, far
// partners first; chunks that take the same hop travel in one message, their numbers a stride
// apart.
#include "play.hpp"

#include <tutti/topologies/schedule.hpp>

#include <boost/test/unit_test.hpp>

BOOST_AUTO_TEST_SUITE(concepts)

namespace {

/// Chunk c reaches the rank that is `offset` further in the round of the lowest set bit of
/// `offset`, highest bits first; reduce_scatter is the same film backwards.
class pat {
  /// f(distance, skip, count) for every hop: chunks whose offset from the receiver is
  /// distance * (2m + 1) for m in [skip, skip + count).
  template <class F>
  constexpr void each_hop(int size, F f) const {
    int distance = 1;
    while (distance < size) distance *= 2;
    for (distance /= 2; distance > 0; distance /= 2) {
      const int total = (size - 1 - distance) / (2 * distance) + 1;
      for (int skip = 0; skip < total; skip += aggregated)
        f(distance, skip, total - skip < aggregated ? total - skip : aggregated);
    }
  }

public:
  using part = tutti::topology_part;
  static constexpr bool gathers = false;

  int aggregated = 1 << 30; ///< how many chunks one message may hold

  static constexpr bool gives(tutti::collective what) noexcept {
    return what == tutti::collective::reduce_scatter || what == tutti::collective::all_gather;
  }
  constexpr int chunks(int size) const { return size; }
  constexpr int rounds(tutti::collective, int size) const {
    int count = 0;
    each_hop(size, [&](int, int, int) { ++count; });
    return count;
  }

  template <class Emit>
  constexpr void schedule(tutti::collective what, int, const tutti::layout& where,
                          Emit&& emit) const {
    using tutti::action, tutti::transfer, tutti::chunk_range;
    const int p = where.size, last = rounds(what, p) - 1;
    int hop = 0;
    each_hop(p, [&](int distance, int skip, int count) {
      const int to = (where.rank + distance) % p, from = (where.rank + p - distance) % p;
      const auto span = [&](int giver) { // giver, giver - 2d, ...: `count` of them, ascending
        const int farthest = giver - (skip + count - 1) * 2 * distance;
        return chunk_range{(farthest % p + p) % p, count, 2 * distance};
      };
      if (what == tutti::collective::all_gather) {
        emit(transfer{hop, to, span(where.rank), action::publish});
        emit(transfer{hop, from, span(from), action::store});
      } else {
        emit(transfer{last - hop, from, span(from), action::send});
        emit(transfer{last - hop, to, span(where.rank), action::combine});
      }
      ++hop;
    });
  }
};

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
