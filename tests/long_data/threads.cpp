// Data of a million elements, on threads. (A folder of its own: under sanitizers it takes minutes and
// shows nothing that shorter data does not.)
#include "collectives/matrix.hpp"
#include "communicators/on_threads.hpp"

BOOST_AUTO_TEST_SUITE(collectives_on_threads)

BOOST_AUTO_TEST_CASE(long_data) {
  for (const int ranks : {2, 3, 4})
    on_threads(ranks, [](auto& comm, report& r) { matrix::long_data(comm, r); });
}

BOOST_AUTO_TEST_SUITE_END()
