// Handles of communicators on threads; tests/mpi/handles.cpp is the same under MPI.
#include "communicators/handles.hpp"
#include "communicators/on_threads.hpp"

#include <tutti/communicators/self.hpp>
#include <tutti/topologies/binomial_tree.hpp>
#include <tutti/topologies/direct.hpp>

#include <boost/test/unit_test.hpp>

#include <cstddef>
#include <new>

#if __has_include(<malloc.h>)
#include <malloc.h>
#endif

BOOST_AUTO_TEST_SUITE(communicator_handles)

BOOST_AUTO_TEST_CASE(move_while_calls_are_in_flight) {
  for (const int ranks : {1, 2, 3})
    on_threads(ranks, [](auto& world, report& r) {
      handles::in_a_growing_vector(world, r, tutti::ring{});
      handles::in_a_growing_vector(world, r, tutti::direct{});
      handles::under_a_trainer(world, r);
      handles::decorated(world, r);
    });
  tutti::self alone;
  std::vector<float> x(3, 1.0f);
  auto under_way = tutti::async_all_reduce(alone, x);
  const tutti::self elsewhere{std::move(alone)};
  under_way.wait();
  BOOST_CHECK_EQUAL(x[2], 1.0f);
}

BOOST_AUTO_TEST_CASE(end_while_calls_are_in_flight) {
  for (const int ranks : {1, 2, 3})
    on_threads(ranks, [](auto& world, report& r) {
      handles::ended_before_its_requests(world, r, tutti::ring{});
      handles::ended_before_its_requests(world, r, tutti::direct{});
      handles::decorator_ended_first(world, r);
    });
}

BOOST_AUTO_TEST_CASE(two_threads_of_a_rank_are_an_error) {
  for (const int ranks : {2, 3})
    on_threads(ranks, [](auto& world, report& r) { handles::two_threads_in_one(world, r); });
}

BOOST_AUTO_TEST_CASE(lengths_that_no_memory_holds_are_refused) {
  for (const int ranks : {1, 3})
    on_threads(ranks, [](auto& world, report& r) { handles::too_long(world, r); });
}

BOOST_AUTO_TEST_CASE(more_in_flight_than_there_are_channels) {
  on_threads(3, [](auto& world, report& r) {
    handles::many_in_flight(world, r, tutti::ring{});
    tutti::decorator<decltype((world))> by_messages{world};
    handles::many_in_flight(by_messages, r);
    handles::many_in_flight(world, r);
  });
}

#if defined(__GLIBC__) && __GLIBC_PREREQ(2, 33) && !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
// Where the allocator is glibc's, not a sanitizer's. What 2,000 groups leave behind: they are forgotten, but for as many as there were at once.
BOOST_AUTO_TEST_CASE(groups_that_have_ended_are_forgotten) {
  std::size_t grown = 0;
  on_threads(2, [&](auto& world, report&) {
    const auto split = [&](int times) {
      for (int k = 0; k < times; ++k) (void)world.split(0, 0).rank();
      tutti::barrier(world);
    };
    split(100);
    const std::size_t before = mallinfo2().uordblks;
    tutti::barrier(world);
    split(2000);
    if (world.rank() == 0) grown = mallinfo2().uordblks - before;
    tutti::barrier(world);
  });
  BOOST_CHECK_MESSAGE(grown < 200000 || grown > SIZE_MAX / 2, "2,000 splits left " << grown << " bytes");
}
#endif

BOOST_AUTO_TEST_SUITE_END()
