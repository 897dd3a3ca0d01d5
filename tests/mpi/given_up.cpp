// A rank that gives up a send while its peer has the receive posted: what the peer gets is what was
// sent, or an error. What the rank puts into its memory later reaches the peer in neither case, as
// the peer polls: the rank has its memory back when the send has gone or the peer has withdrawn.
#include "communicators/conformance.hpp"
#include "mpi/on_mpi.hpp"

#include <tutti/collectives/collectives.hpp>

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <stdexcept>
#include <string>
#include <vector>

namespace {

constexpr std::size_t length = std::size_t{8} << 20; // long enough to be read from where it is
constexpr std::byte rubbish{0xff};

/// Bytes that are no rubbish.
conformance::bytes sent_in(int turn) {
  conformance::bytes text(length);
  for (std::size_t i = 0; i < length; ++i)
    text[i] = std::byte((i / 4096 + i + std::size_t(turn)) % 251);
  return text;
}

/// The sender drops its exchange, at the end of a scope or while unwinding, without ever testing
/// it, and goes on writing. Says whether a call fails afterwards.
template <class Comm>
bool send_and_forget(Comm& pair, conformance::mail& m, bool unwinding) {
  try {
    auto dropped = conformance::post(pair, 1, m);
    if (unwinding) throw std::runtime_error{"the disk is full"};
  } catch (const std::runtime_error&) {
  }
  std::fill(m.kept[0].begin(), m.kept[0].end(), rubbish);
  return conformance::failure_of([&] { tutti::barrier(pair, conformance::patient); }).failed;
}

struct what_came {
  bool failed_at_once = false, failed_later = false, right = false;
  std::size_t rubbish = 0; ///< bytes
  std::string text;
};

template <class Comm> what_came receive(Comm& pair, int turn) {
  what_came out;
  conformance::mail m;
  const conformance::bytes& got = m.receive(0, length);
  const auto first = conformance::failure_of([&] {
    auto handle = conformance::post(pair, 1, m);
    MPI_Barrier(MPI_COMM_WORLD); // the receive is there before the message
    conformance::finish(pair, handle);
  });
  out.failed_at_once = first.failed;
  out.right = got == sent_in(turn);
  out.rubbish = std::size_t(std::count(got.begin(), got.end(), rubbish));
  out.text =
      conformance::told(first) + ", with " + std::to_string(out.rubbish) + " bytes of rubbish";
  const auto next = conformance::failure_of([&] { tutti::barrier(pair, conformance::patient); });
  out.failed_later = next.failed;
  return out;
}

/// Ranks 0 and 1 of each pair, on a communicator of their own; an odd rank only comes to the
/// barriers. How many of the sends of this rank were given up.
int turns(tutti::mpi::limits how, bool unwinding) {
  int given_up = 0;
  on_mpi(unwinding ? "given up while unwinding" : "given up at the end of a scope",
         [&](auto& world, report& r) {
           for (int turn = 0; turn < 5; ++turn) {
             auto pair = world.split(world.rank() / 2, world.rank());
             int fails = 0;
             if (pair.size() == 1) MPI_Barrier(MPI_COMM_WORLD);
             conformance::mail m; // a late reader finds rubbish, not memory that is gone
             if (pair.size() == 2 && pair.rank() == 0) {
               m.send(1, sent_in(turn));
               MPI_Barrier(MPI_COMM_WORLD);
               fails = send_and_forget(pair, m, unwinding);
               given_up += fails;
               MPI_Send(&fails, 1, MPI_INT, world.rank() + 1, 0, MPI_COMM_WORLD);
             } else if (pair.size() == 2) {
               const what_came got = receive(pair, turn);
               MPI_Recv(&fails, 1, MPI_INT, world.rank() - 1, 0, MPI_COMM_WORLD,
                        MPI_STATUS_IGNORE);
               r.check(got.failed_at_once || got.right,
                       "what was sent, or an error - " + got.text);
               r.check(got.rubbish == 0, "memory was read after it was the rank's - " + got.text);
               r.check(got.failed_later == (fails != 0),
                       "the sender's and the receiver's next call fail, or neither");
             }
             MPI_Barrier(MPI_COMM_WORLD);
           }
         },
         how);
  return given_up;
}

} // namespace

BOOST_AUTO_TEST_SUITE(sends_that_are_given_up)

BOOST_AUTO_TEST_CASE(never_show_later_memory) {
  int sends = 0;
  for (const bool unwinding : {false, true})
    for (const tutti::mpi::limits& how :
         {tutti::mpi::limits{}, tutti::mpi::limits{.shared_memory = false},
          tutti::mpi::limits{.message_bytes = 1000003}})
      sends += turns(how, unwinding);

  // A send that is through at once is not given up; not all of them may be, or nothing was tested.
  int rank = 0, size = 0;
  MPI_Comm_rank(MPI_COMM_WORLD, &rank);
  MPI_Comm_size(MPI_COMM_WORLD, &size);
  report mine;
  mine.check(rank % 2 == 1 || rank + 1 == size || sends > 0, "no send was ever given up");
  BOOST_CHECK_MESSAGE(agreed(mine), "every send was through at once");
}

/// Each of two ranks sends what the other does not receive, and receives what it does not send, so that
/// none can let go of its data before the other has taken its receive back.
void fail_with_more_in_flight(bool on_a_child) {
  on_mpi(
      on_a_child ? "a failure with more in flight on a child" : "a failure with more in flight",
      [&](auto& world, report& r) {
        auto pair = world.split(world.rank() / 2, world.rank());
        auto child = pair.split(0, pair.rank());
        if (pair.size() == 2) {
          const int me = pair.rank(), peer = 1 - me;
          std::vector<std::byte> sent(length, rubbish), received(length);
          const auto begin = std::chrono::steady_clock::now();
          auto sending = tutti::async_broadcast(
              pair, sent, me, tutti::options{.timeout = std::chrono::milliseconds{me == 0 ? 100 : 60000}});
          auto receiving = tutti::async_broadcast(on_a_child ? child : pair, received, peer, conformance::patient);
          const auto first = conformance::failure_of([&] { sending.wait(); });
          r.check(first.failed, "a broadcast that nobody receives was complete");
          // Who waits for the other to give up waits for 20 s, and this rank keeps a request in flight.
          r.check(std::chrono::steady_clock::now() - begin < std::chrono::seconds{15},
                  "it took a peer's patience to end, " + conformance::told(first));
          MPI_Barrier(MPI_COMM_WORLD);
          const auto second = conformance::failure_of([&] { receiving.wait(); });
          r.check(second.failed, "a broadcast that nobody sent was complete");
          r.check(on_a_child || second.what.peer == peer,
                  "it does not name whom it waited for: " + conformance::told(second));
          r.check(std::count(received.begin(), received.end(), std::byte{}) == std::ptrdiff_t(length),
                  "the data was written to after the failure");
        } else {
          MPI_Barrier(MPI_COMM_WORLD);
        }
        MPI_Barrier(MPI_COMM_WORLD);
      },
      {.message_bytes = length + 1, .shared_memory = false}); // in pieces it might be gone at once
}
BOOST_AUTO_TEST_CASE(of_ranks_with_more_in_flight_are_let_go_at_once) {
  for (const bool on_a_child : {false, true}) fail_with_more_in_flight(on_a_child);
}

BOOST_AUTO_TEST_SUITE_END()
