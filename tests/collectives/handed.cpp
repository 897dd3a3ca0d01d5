// What is handed over to a call, on threads.
#include "collectives/handed.hpp"
#include "communicators/on_threads.hpp"

BOOST_AUTO_TEST_CASE(elements_and_places_for_results_on_threads) {
  for (const int ranks : {1, 2, 3, 5})
    on_threads(ranks, [](auto& comm, report& r) { handed::every_element(comm, r); });
}

BOOST_AUTO_TEST_CASE(one_value_is_data_on_threads) {
  for (const int ranks : {1, 2, 3, 4})
    on_threads(ranks, [](auto& comm, report& r) { handed::one_value(comm, r); });
}

BOOST_AUTO_TEST_CASE(a_block_may_be_in_its_place_on_threads) {
  for (const int ranks : {1, 2, 3, 4})
    on_threads(ranks, [](auto& comm, report& r) { handed::in_its_place(comm, r); });
}

BOOST_AUTO_TEST_CASE(buffers_that_overlap_are_refused_on_threads) {
  for (const int ranks : {1, 2, 3})
    for (std::size_t which = 0; which < std::size(handed::overlaps); ++which)
      on_threads(ranks, [&](auto& comm, report& r) { handed::overlapping(comm, r, which); });
}

BOOST_AUTO_TEST_CASE(a_result_of_another_length_is_refused_on_threads) {
  on_threads(3, [](auto& comm, report& r) { handed::lengths_that_differ(comm, r); });
}
