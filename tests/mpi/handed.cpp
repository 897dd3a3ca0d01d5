// What is handed over to a call, under MPI.
#include "collectives/handed.hpp"
#include "mpi/on_mpi.hpp"

BOOST_AUTO_TEST_CASE(elements_and_places_for_results_under_mpi) {
  on_mpi("elements and results", [](auto& comm, report& r) { handed::every_element(comm, r); });
}

BOOST_AUTO_TEST_CASE(one_value_is_data_under_mpi) {
  on_mpi("one value", [](auto& comm, report& r) {
    handed::one_value(comm, r);
    handed::in_its_place(comm, r);
  });
}

BOOST_AUTO_TEST_CASE(buffers_that_overlap_are_refused_under_mpi) {
  for (std::size_t which = 0; which < std::size(handed::overlaps); ++which)
    on_mpi(handed::overlaps[which],
           [&](auto& comm, report& r) { handed::overlapping(comm, r, which); });
  on_mpi("another length", [](auto& comm, report& r) { handed::lengths_that_differ(comm, r); });
}
