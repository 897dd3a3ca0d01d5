// The collectives in slots and in everyone's memory, on threads, at lengths on both sides of every limit.
#include "collectives/matrix.hpp"
#include "communicators/on_threads.hpp"

BOOST_AUTO_TEST_SUITE(shared_memory_on_threads)

BOOST_AUTO_TEST_CASE(without_messages) {
  for (const int ranks : {1, 2, 3, 4, 5, 7})
    on_threads(ranks, [](auto& comm, report& r) { matrix::in_every_memory(comm, r); });
}

BOOST_AUTO_TEST_SUITE_END()
