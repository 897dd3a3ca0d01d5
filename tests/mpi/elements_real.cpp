// Every real element and every reducer that takes it, under MPI.
#include "collectives/matrix.hpp"
#include "mpi/on_mpi.hpp"

BOOST_AUTO_TEST_CASE(real_elements_under_mpi) {
  on_mpi("real elements", [](auto& comm, report& r) {
    matrix::every_reducer<float>(comm, r);
    matrix::every_reducer<double>(comm, r);
    matrix::every_reducer<tutti::bfloat16>(comm, r);
    matrix::every_reducer<tutti::half>(comm, r);
  });
}
