// threads, put through what every communicator has to do.
#include "communicators/conformance.hpp"
#include "communicators/on_threads.hpp"

static_assert(tutti::selective_communicator<tutti::threads::communicator>);
static_assert(tutti::splitting_communicator<tutti::threads::communicator>);

BOOST_AUTO_TEST_SUITE(threads)

BOOST_AUTO_TEST_CASE(conforms) {
  for (const int ranks : {1, 2, 3, 4, 5, 7})
    conformance::each([&](const char* name, auto body) {
      BOOST_TEST_CONTEXT(name) {
        on_threads(ranks, body);
      }
    });
}

BOOST_AUTO_TEST_CASE(long_messages) {
  for (const int ranks : {2, 3})
    on_threads(ranks, [](auto& comm, report& r) {
      conformance::long_messages(comm, r);
      conformance::long_wrong_lengths(comm, r);
    });
}

BOOST_AUTO_TEST_SUITE_END()
