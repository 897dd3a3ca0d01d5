// Three all-reduces as they were shipped, whose ranks ended with different bits. All contributions
// are there exactly once, so a checker of sets accepts each of them; the proof must not.
//
// In all three the exchange is right and the fold is not: a rank begins with its own value. The
// exchange is modelled as a schedule, the fold as the order that the proof is run with. With
// tutti's own rule, rank order, the same schedules are proven, which is how each of them was
// repaired.
#include <tutti/topologies/proof.hpp>

#include <boost/test/unit_test.hpp>

namespace {

using tutti::action;
using tutti::collective;
using tutti::transfer;

/// Groups of `radix` ranks exchange everything in round 0; then every radix-th rank, and so on.
/// For rank counts that are a power of the radix.
struct recursive_exchange {
  int radix;

  using part = tutti::topology_part;
  static constexpr bool gathers = false;
  static constexpr bool gives(collective what) { return what == collective::all_reduce; }
  constexpr int chunks(int) const { return 1; }
  constexpr int rounds(collective, int size) const {
    int count = 0;
    for (int distance = 1; distance < size; distance *= radix) ++count;
    return count;
  }

  template <class Emit>
  constexpr void schedule(collective, int, const tutti::layout& where, Emit&& emit) const {
    for (int distance = 1, round = 0; distance < where.size; distance *= radix, ++round) {
      const int digit = where.rank / distance % radix;
      for (int k = 0; k < radix; ++k) {
        if (k == digit) continue;
        const int peer = where.rank + (k - digit) * distance;
        emit(transfer{round, peer, {0}, action::send});
        emit(transfer{round, peer, {0}, action::combine});
      }
    }
  }
};

/// open-mpi/ompi#12258: "allgather_reduce" gathers all contributions on every rank; for operations
/// that commute, rank r then computes r + 0 + 1 + ... ("Rank 1: 2 + 1 + 3 + 4").
struct own_first {
  static constexpr int place(int self, int contributor, int) {
    return contributor == self ? -1 : contributor;
  }
};

/// pmodels/mpich#6538: "recexch" reduces within a group of k from a rank's own value outwards,
/// lower neighbours first: "((0 + (1 + [2])) + 3)" on rank 2 but "(((0 + [1]) + 2) + 3)" on rank 1.
struct outwards {
  static constexpr int place(int self, int contributor, int size) {
    return contributor <= self ? self - contributor : size + contributor;
  }
};

/// openucx/ucc#1145: "knomial" reduces in the order of the exchange, which begins at a rank's own
/// place in its group and goes round: 1 + 2 + 3 + 0 on rank 1.
struct going_round {
  static constexpr int place(int self, int contributor, int size) {
    return (contributor - self + size) % size;
  }
};

template <class Order>
tutti::verdict all_reduce(int radix, int size) {
  const auto schedule = tutti::collect(recursive_exchange{radix}, collective::all_reduce, 0, size);
  return tutti::prove<Order>(schedule);
}

/// Rejected because of the order alone, wherever a group has more than two ranks.
template <class Order>
void expect_different_bits(int radix, int size) {
  const auto shipped = all_reduce<Order>(radix, size);
  const auto repaired = all_reduce<tutti::rank_order>(radix, size);

  BOOST_CHECK_MESSAGE(shipped.code == tutti::flaw::results_differ, size << ": " << shipped.text());
  BOOST_CHECK_MESSAGE(repaired.holds(), size << ": " << repaired.text());
}

} // namespace

BOOST_AUTO_TEST_SUITE(proof)

BOOST_AUTO_TEST_CASE(open_mpi_12258_is_rejected) {
  for (int size = 3; size <= 16; ++size) expect_different_bits<own_first>(size, size);
  BOOST_CHECK(all_reduce<own_first>(2, 2).holds());
}

BOOST_AUTO_TEST_CASE(mpich_6538_is_rejected) {
  expect_different_bits<outwards>(3, 9);
  expect_different_bits<outwards>(4, 4);
  expect_different_bits<outwards>(4, 16);
  BOOST_CHECK(all_reduce<outwards>(2, 8).holds());
}

BOOST_AUTO_TEST_CASE(ucc_1145_is_rejected) {
  expect_different_bits<going_round>(3, 3);
  expect_different_bits<going_round>(4, 4);
  expect_different_bits<going_round>(4, 16);
  BOOST_CHECK(all_reduce<going_round>(2, 8).holds());
}

BOOST_AUTO_TEST_SUITE_END()
