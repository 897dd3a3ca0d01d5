// threads, put through what every communicator has to do.
#include "communicators/conformance.hpp"
#include "communicators/on_threads.hpp"

#include <array>
#include <atomic>
#include <cstddef>
#include <string>
#include <thread>

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

// A rank that gives up while its receiver looks: the receiver gets its first message, or both, or
// none, and never the second in place of the first.
BOOST_AUTO_TEST_CASE(what_is_withdrawn_is_not_overtaken) {
  constexpr tutti::channel repetitions = 20'000;
  std::atomic<tutti::channel> awaited{0}, dropped{0};
  on_threads(2, [&](auto& comm, report& r) {
    std::array<std::byte, 8> whole{};
    std::array<std::byte, 4> half{};
    for (tutti::channel k = 1; k <= repetitions; ++k) {
      if (comm.rank() == 0) {
        const tutti::outgoing sends[] = {{1, whole}, {1, half}};
        const auto given_up = comm.exchange({}, k, {.sends = sends, .receives = {}});
        while (awaited.load() < k) std::this_thread::yield();
      } else {
        const tutti::incoming receives[] = {{0, whole}, {0, half}};
        auto waiting = comm.exchange({}, k, {.sends = {}, .receives = receives});
        awaited.store(k);
        try {
          while (dropped.load() < k && !waiting.test()) {}
        } catch (const tutti::error& e) {
          r.check(false, "the second message met the first receive: " + std::string{e.what()});
          awaited.store(k = repetitions);
        }
      }
      if (comm.rank() == 0) dropped.store(k);
    }
  });
}

BOOST_AUTO_TEST_SUITE_END()
