// threads, put through what every communicator has to do.
#include "communicators/conformance.hpp"
#include "communicators/on_threads.hpp"
#include "communicators/wait_until.hpp"

#include <tutti/collectives/collectives.hpp>
#include <tutti/topologies/ring.hpp>

#include <array>
#include <atomic>
#include <cstddef>
#include <latch>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

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
  constexpr tutti::channel repetitions = 5'000;
  std::atomic<tutti::channel> awaited{0}, dropped{0};
  std::latch over{2}; // before it, nobody leaves
  on_threads(2, [&](auto& comm, report& r) {
    std::array<std::byte, 8> whole{};
    std::array<std::byte, 4> half{};
    for (tutti::channel k = 1; k <= repetitions; ++k) {
      if (comm.rank() == 0) {
        const tutti::outgoing sends[] = {{1, whole}, {1, half}};
        const auto given_up = comm.exchange({}, k, {.sends = sends, .receives = {}});
        wait_until([&] { return awaited >= k; });
      } else {
        const tutti::incoming receives[] = {{0, whole}, {0, half}};
        auto waiting = comm.exchange({}, k, {.sends = {}, .receives = receives});
        awaited.store(k);
        try {
          while (dropped.load() < k && !waiting.test()) {}
        } catch (const tutti::error& e) {
          r.check(false, "the second message met the first receive: " + std::string{e.what()});
          awaited.store(k = repetitions); // it is over
        }
      }
      if (comm.rank() == 0) dropped.store(k);
    }
    over.arrive_and_wait();
  });
}

// Rank 3 of the run, 1 of a pair, gives up a call of the pair and throws. Its partner says first that
// rank 1 is lost, by which it means rank 1 of the pair. It begins later: what rank 3 finds when it begins, it takes
// with it, and its partner might have all that it needs.
BOOST_AUTO_TEST_CASE(what_is_thrown_is_the_cause) {
  std::latch begun{1}, told{1};
  const auto run = [&] {
    tutti::threads::run(4, [&](auto& world) {
      auto pair = world.split(world.rank() / 2, 0);
      std::vector<float> data(100, 1.0f);
      if (world.rank() < 2) return;
      try {
        if (world.rank() == 2) begun.wait();
        auto pending = tutti::async_all_reduce(pair, data, tutti::ring{});
        if (world.rank() == 3) {
          begun.count_down();
          throw std::runtime_error{"the disk is full"};
        }
        pending.wait();
        told.count_down(); // so that this test fails, and ends
      } catch (const tutti::error&) {
        told.count_down();
        throw;
      } catch (const std::runtime_error&) {
        told.wait();
        throw;
      }
    });
  };
  BOOST_CHECK_EXCEPTION(run(), std::runtime_error, [](const std::runtime_error& e) {
    return std::string{e.what()} == "the disk is full";
  });
}

BOOST_AUTO_TEST_SUITE_END()
