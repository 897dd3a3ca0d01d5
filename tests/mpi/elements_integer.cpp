// Every integer element and every reducer that takes it, under MPI.
#include "collectives/matrix.hpp"
#include "mpi/on_mpi.hpp"

BOOST_AUTO_TEST_CASE(integer_elements_under_mpi) {
  on_mpi("integer elements", [](auto& comm, report& r) {
    matrix::every_reducer<std::int8_t>(comm, r);
    matrix::every_reducer<std::uint8_t>(comm, r);
    matrix::every_reducer<std::int16_t>(comm, r);
    matrix::every_reducer<std::int32_t>(comm, r);
    matrix::every_reducer<std::uint32_t>(comm, r);
    matrix::every_reducer<std::int64_t>(comm, r);
    matrix::every_reducer<std::uint64_t>(comm, r);
  });
}
