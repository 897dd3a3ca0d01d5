// Simulated ranks, put through what every communicator has to do.
#include "communicators/conformance.hpp"
#include "communicators/handles.hpp"
#include "communicators/on_simulated.hpp"

#include <cmath>

BOOST_AUTO_TEST_SUITE(simulated)

static_assert(tutti::selective_communicator<tutti::simulated::communicator>);
static_assert(tutti::splitting_communicator<tutti::simulated::communicator>);
static_assert(!tutti::direct_access_communicator<tutti::simulated::communicator>);

BOOST_AUTO_TEST_CASE(conforms) {
  const tutti::simulated::machine machines[] = {
      {}, {.between = {.latency = 0, .bandwidth = HUGE_VAL}}, {.between = {.latency = 1e-3, .bandwidth = 1e5}}};
  for (const auto& on : machines)
    for (const int ranks : {1, 2, 3, 4, 5, 7})
      conformance::each([&](const char* name, auto body) {
        BOOST_TEST_CONTEXT(name) {
          on_simulated(ranks, on, body);
        }
      });
}

BOOST_AUTO_TEST_CASE(long_messages) {
  for (const int ranks : {2, 3})
    on_simulated(ranks, {}, [](auto& comm, report& r) {
      conformance::long_messages(comm, r);
      conformance::long_wrong_lengths(comm, r);
    });
}

BOOST_AUTO_TEST_CASE(handles_may_be_moved_and_may_end) {
  for (const int ranks : {1, 2, 3})
    on_simulated(ranks, {}, [](auto& comm, report& r) {
      handles::in_a_growing_vector(comm, r);
      handles::ended_before_its_requests(comm, r);
      handles::under_a_trainer(comm, r);
      handles::decorated(comm, r);
      handles::decorator_ended_first(comm, r);
    });
}

BOOST_AUTO_TEST_SUITE_END()
