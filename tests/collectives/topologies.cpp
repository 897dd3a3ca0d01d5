// Every topology and collective against the reference, on threads.
#include "collectives/matrix.hpp"
#include "communicators/on_threads.hpp"

BOOST_AUTO_TEST_SUITE(collectives_on_threads)

BOOST_AUTO_TEST_CASE(every_topology) {
  for (const int ranks : {1, 2, 3, 4, 5, 7})
    on_threads(ranks, [](auto& comm, report& r) { matrix::every_topology(comm, r); });
}

BOOST_AUTO_TEST_CASE(several_in_flight) {
  for (const int ranks : {1, 2, 3, 5})
    on_threads(ranks, [](auto& comm, report& r) { matrix::several_in_flight(comm, r); });
}

BOOST_AUTO_TEST_CASE(shorter_wire) {
  for (const int ranks : {1, 2, 3, 5})
    on_threads(ranks, [](auto& comm, report& r) { matrix::shorter_wire(comm, r); });
}

BOOST_AUTO_TEST_SUITE_END()
