// Handles of MPI communicators: what tests/communicators/handles.hpp asks of each.
#include "communicators/handles.hpp"
#include "mpi/on_mpi.hpp"

#include <tutti/topologies/direct.hpp>

BOOST_AUTO_TEST_SUITE(mpi_handles)

BOOST_AUTO_TEST_CASE(move_while_calls_are_in_flight) {
  on_mpi("moved", [](auto& world, report& r) {
    handles::in_a_growing_vector(world, r, tutti::ring{});
    handles::in_a_growing_vector(world, r, tutti::direct{});
    handles::under_a_trainer(world, r);
    handles::decorated(world, r);
  });
}

BOOST_AUTO_TEST_CASE(end_while_calls_are_in_flight) {
  on_mpi("ended", [](auto& world, report& r) {
    handles::ended_before_its_requests(world, r, tutti::ring{});
    handles::ended_before_its_requests(world, r, tutti::direct{});
    handles::decorator_ended_first(world, r);
  });
}

/// Where MPI may be called by one thread at a time, the second thread only calls what touches no MPI
/// before it is refused; so this is tried where it may.
BOOST_AUTO_TEST_CASE(two_threads_of_a_rank_are_an_error) {
  on_mpi("two threads", [](auto& world, report& r) {
    if (may_have_threads()) handles::two_threads_in_one(world, r);
  });
}

BOOST_AUTO_TEST_CASE(lengths_that_no_memory_holds_are_refused) {
  on_mpi("too long", [](auto& world, report& r) { handles::too_long(world, r); });
}

BOOST_AUTO_TEST_CASE(more_in_flight_than_there_are_channels) {
  on_mpi("many", [](auto& world, report& r) { handles::many_in_flight(world, r, tutti::ring{}); });
  on_mpi("many by default", [](auto& world, report& r) { handles::many_in_flight(world, r); });
}

BOOST_AUTO_TEST_SUITE_END()
