// Every topology, every collective, several roots, sizes 1 to 256: proven at run time.
#include "every_topology.hpp"

#include <tutti/topologies/proof.hpp>

#include <boost/test/unit_test.hpp>

#include <string>
#include <vector>

#if defined(__GLIBC__)
#include <malloc.h>
#endif

namespace {

#if defined(TUTTI_TEST_LARGEST)
constexpr int largest = TUTTI_TEST_LARGEST; // a second compiler's program
#else
constexpr int largest = 256;
#endif

/// Keeps freed memory for the next proof; without this half of the time is spent in page faults.
void keep_freed_memory() {
#if defined(__GLIBC__)
  mallopt(M_TRIM_THRESHOLD, 1 << 30);
  mallopt(M_MMAP_THRESHOLD, 1 << 30);
#endif
}

/// The first size, collective and root at which the proof fails; empty if there is none.
template <class T>
std::string first_flaw(const T& topology) {
  std::string found;
  for (int size = 1; size <= largest; ++size)
    tests::every_collective<T>(size, [&](tutti::collective what, int root) {
      if (!found.empty()) return;
      const auto verdict = tutti::prove(topology, what, root, size);
      if (!verdict.holds())
        found = std::string{tutti::name(what)} + " of " + std::to_string(size) + " ranks, root " +
                std::to_string(root) + ": " + verdict.text();
    });
  return found;
}

} // namespace

BOOST_AUTO_TEST_SUITE(proof)

BOOST_AUTO_TEST_CASE(every_topology_at_every_size) {
  keep_freed_memory();
  tests::every_topology([](const std::string& name, const auto& topology) {
    const std::string flaw = first_flaw(topology);
    BOOST_CHECK_MESSAGE(flaw.empty(), name << ", " << flaw);
  });
}

// Nodes of any sizes, their ranks in any order.
BOOST_AUTO_TEST_CASE(hierarchies_on_any_nodes) {
  const std::vector<int> layouts[] = {{0},
                                      {0, 0, 0},
                                      {0, 1, 2},
                                      {0, 1, 0, 1, 0, 1},
                                      {0, 0, 0, 1, 1},
                                      {0, 1, 1, 2, 2, 2, 2},
                                      {2, 0, 1, 2, 0, 2, 1, 1, 0, 2},
                                      {0, 0, 0, 0, 0, 0, 0, 1, 1, 1, 1, 1, 2, 2, 2, 3}};
  const auto check = [&](const char* name, const auto& topology) {
    for (const auto& groups : layouts) {
      const int size = int(groups.size());
      const auto all = tutti::collect(topology, tutti::collective::all_reduce, 0, size, groups);
      const auto verdict = tutti::prove(all);
      BOOST_CHECK_MESSAGE(verdict.holds(), name << ", " << size << " ranks: " << verdict.text());
      for (int rank = 0; rank < size; ++rank)
        for (const std::size_t n : {0, 1, size - 1, size + 1, 1000})
          BOOST_CHECK(topology.traffic(tutti::collective::all_reduce, 0, {rank, size, groups}, n) ==
                      tutti::moved(all, rank, n));
    }
  };
  using tutti::hierarchical;
  check("direct, ring", hierarchical{});
  check("ring, double_tree", hierarchical{tutti::ring{}, tutti::double_tree{}});
  check("bruck, star", hierarchical{tutti::bruck{}, tutti::star{.servers = 2}});
  check("pipelined ring, pat", hierarchical{tutti::pipelined{tutti::ring{}, 2}, tutti::pat{}});
}

// A topology carries gathering reducers exactly when all of its reductions are one fold of inputs.
// (Of few ranks every reduction may be, so only large sizes say something about the others.)
BOOST_AUTO_TEST_CASE(gathers_is_what_the_proof_finds) {
  constexpr int most = 64;
  tests::every_topology([]<class T>(const std::string& name, const T& topology) {
    for (int size = T::gathers ? 2 : most; size <= most; ++size)
      tests::every_collective<T>(size, [&](tutti::collective what, int root) {
        if (what == tutti::collective::all_gather || what == tutti::collective::broadcast) return;
        const bool found = tutti::prove(topology, what, root, size).gathers;
        BOOST_CHECK_MESSAGE(found == T::gathers,
                            name << ", " << tutti::name(what) << " of " << size << " ranks");
      });
  });
}

BOOST_AUTO_TEST_SUITE_END()
