// Every topology and collective against the reference, under MPI.
#include "collectives/matrix.hpp"
#include "mpi/on_mpi.hpp"

BOOST_AUTO_TEST_SUITE(collectives_under_mpi)

BOOST_AUTO_TEST_CASE(every_topology) {
  const auto body = [](auto& comm, report& r) { matrix::every_topology(comm, r); };
  on_mpi("every topology", body);
  on_mpi("every topology, messages cut", body, {.message_bytes = 7, .shared_memory = false});
}

BOOST_AUTO_TEST_CASE(without_messages) {
  const auto body = [](auto& comm, report& r) { matrix::in_every_memory(comm, r); };
  on_mpi("without messages", body);
  on_mpi("the same past the caches", body, {.cached_bytes = 0});
  on_mpi("the same without shared memory", body, {.shared_memory = false});
}

BOOST_AUTO_TEST_CASE(on_a_part_of_the_ranks) {
  on_mpi("split", [](auto& comm, report& r) {
    auto half = comm.split(comm.rank() % 2, -comm.rank());
    matrix::every_topology(half, r);
  });
}

BOOST_AUTO_TEST_CASE(long_data) {
  on_mpi("long data", [](auto& comm, report& r) { matrix::long_data(comm, r); });
}

BOOST_AUTO_TEST_CASE(several_in_flight) {
  on_mpi("several in flight", [](auto& comm, report& r) { matrix::several_in_flight(comm, r); });
}

BOOST_AUTO_TEST_CASE(shorter_wire) {
  on_mpi("shorter wire", [](auto& comm, report& r) { matrix::shorter_wire(comm, r); });
}

BOOST_AUTO_TEST_SUITE_END()
