// Every topology, every collective, several roots, sizes 1 to 256: proven at run time.
#include "every_topology.hpp"

#include <tutti/topologies/proof.hpp>

#include <boost/test/unit_test.hpp>

#include <string>

#if defined(__GLIBC__)
#include <malloc.h>
#endif

namespace {

constexpr int largest = 256;

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

// A topology carries gathering reducers exactly when all of its reductions are one fold of inputs.
// (Of two ranks every reduction is, so 2 says nothing about those that do not declare it.)
BOOST_AUTO_TEST_CASE(gathers_is_what_the_proof_finds) {
  tests::every_topology([]<class T>(const std::string& name, const T& topology) {
    for (int size = 2; size <= 64; ++size)
      tests::every_collective<T>(size, [&](tutti::collective what, int root) {
        if (what == tutti::collective::all_gather || what == tutti::collective::broadcast) return;
        const bool found = tutti::prove(topology, what, root, size).gathers;
        BOOST_CHECK_MESSAGE(found == T::gathers || (found && size == 2),
                            name << ", " << tutti::name(what) << " of " << size << " ranks");
      });
  });
}

BOOST_AUTO_TEST_SUITE_END()
