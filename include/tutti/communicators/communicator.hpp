// Communicators: how bytes move.
//
// A communicator is a rank's handle on a group of ranks. It belongs to one thread at a time. Its one
// verb posts all sends and receives of a round together:
//
//   rank(), size()
//   exchange(execution, channel, round) -> exchange handle, see below
//   progress() -> events    moves what can be moved, never blocks; counts what has happened so far
//   idle(seen, deadline)    returns when more than `seen` events have happened, at the deadline, or
//                           for no reason; it blocks or yields, so that ranks may outnumber cores
//   revoke(failure)         every pending and later call on any rank fails with this failure
//   in_flight()             the collectives that are under way, see communicators/operation.hpp
//
// Matching is first-in-first-out per (peer, channel): the k-th receive from a peer on a channel meets
// the peer's k-th send on it; the receives from one peer on one channel that are in flight at the same
// time belong to one exchange. Lengths of meeting messages are equal. A rank tests all exchanges that
// it has in flight, not one of them to its end. No tags, no probing and no buffering are assumed, so
// that MPI, threads, sockets and NCCL groups all fit.
//
// An exchange handle is move-only and owns what is in flight; the memory that the round names stays
// untouched by the caller until test() has returned true.
//
//   test() -> bool          true once everything has arrived and left; throws tutti::error
//   waiting_for() -> int    a peer that has not played its part yet, for messages
//
// and, optional, of a round that only receives
//
//   take_back() -> bool     true once nothing of it is in flight and nothing will arrive, as if it had not
//                           been posted; false when a message for it is there. Without it a round that is
//                           dropped is taken back, or ends the communicator
//
// Refinements, each optional and found by a requires-expression:
//   selective receive   probe(channel) -> std::optional<arrival>: a message is waiting
//   noticing            has_left(peer): it has left for no failure, and sends nothing more
//   splitting           split(color, key) -> communicator
//   verification        verify(call, numbers): throws `mismatch` unless all ranks say the same
//   comparison          compare_calls(peer, differ): what this rank and `peer` have called so far
//                       (communicators/call_history.hpp). Where it differs this rank throws `mismatch`, or
//                       `peer` does soon, to whom it is told; when it is known to, this rank waits a moment
//   a clock of its own  now() -> deadline: every deadline on this communicator is a time of this clock, and
//                       so is what idle() is given. See now_of
//   virtual time        compute(seconds): this rank computes for so long, on its machine. See compute
//   control words       control() -> communicator&: the same one for small words in host memory, where its own
//                       exchange() moves other memory. Rank, size, what is in flight, events and failure are those
//                       of this one; only the way that messages take is another. See control_of
//   device memory       takes_device_memory() -> bool: at run time, whether its messages may name memory of a device;
//                       the same on all ranks (cuda/device_execution.cuh)
//
// and two facts: a communicator whose transport has no tags says `static constexpr std::uint32_t
// channels = 1`, and its user has one collective in flight on it at a time; an execution whose work is
// done in the order in which it was enqueued (a CUDA stream) says `static constexpr bool in_order = true`.
#pragma once

#include <tutti/communicators/request.hpp>
#include <tutti/core/error.hpp>
#include <tutti/core/options.hpp>
#include <tutti/core/part.hpp>

#include <concepts>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <utility>

namespace tutti {

struct outgoing {
  int peer;
  std::span<const std::byte> bytes;
};
struct incoming {
  int peer;
  std::span<std::byte> bytes;
};

/// All messages of one rank in one round. The two arrays are read during exchange() only; the bytes
/// they point to until it is complete.
struct exchange_round {
  std::span<const outgoing> sends;
  std::span<const incoming> receives;
  /// The same on both ends of a message. Where it costs a communicator no byte, one whose sender says
  /// something else is no message for this receive, but a `mismatch`.
  std::uint64_t says = 0;
};

/// Keeps operations that are in flight at the same time apart. Agreed by all ranks because all start
/// their operations in the same order.
using channel = std::uint32_t;

/// The exchange is posted and completed by the calling thread, on host memory.
struct host_execution {};

/// Whether work enqueued on E sees the outcome of what was enqueued before it.
template <class E>
concept in_order_execution = requires { requires E::in_order; };

namespace detail {

/// A failure as a rank reports it that hears of it while waiting for a peer itself. In a mismatch each of
/// two ranks names the other. Of a chain of ranks that wait for each other any one may run out of patience first; a timeout that names this very rank
/// is therefore passed on to the one it waits for.
inline failure heard(failure why, int rank, int waiting_for) {
  if (why.code == error_code::timeout && why.peer == rank && waiting_for >= 0) {
    why.peer = waiting_for;
    why.detail = "no answer, and rank " + std::to_string(why.rank) +
                 " gave up waiting for this rank meanwhile";
  }
  if (why.code == error_code::mismatch && why.peer == rank) why.peer = why.rank;
  why.rank = rank;
  return why;
}

/// Of a rank that waits for one which has returned.
inline failure peer_left(int rank, int peer) {
  return {.code = error_code::peer_lost,
          .rank = rank,
          .peer = peer,
          .detail = "rank " + std::to_string(peer) + " has left"};
}

/// A message that is not the one that a rank expected.
inline failure wrong_message(int rank, std::size_t expected, int from, std::size_t sent) {
  const std::string them = "rank " + std::to_string(from), here = "rank " + std::to_string(rank);
  return {.code = error_code::mismatch,
          .rank = rank,
          .peer = from,
          .detail = sent == expected
                        ? them + " makes another call than " + here + " - make the same call on every rank"
                        : them + " sent " + std::to_string(sent) + " bytes, " + here + " expected " +
                              std::to_string(expected) + " - give all ranks the same lengths and types"};
}

} // namespace detail

struct arrival {
  int peer;
  std::size_t bytes;
};

template <class X>
concept exchange_handle = std::movable<X> && !std::copyable<X> && requires(X x, const X c) {
  { x.test() } -> std::same_as<bool>;
  { c.waiting_for() } -> std::same_as<int>;
};

template <class C, class Execution = host_execution>
concept communicator =
    detail::part_is<C, communicator_part> &&
    requires(C c, const C k, Execution execution, channel ch, const exchange_round& r, failure why,
             std::uint64_t seen, deadline until) {
      { k.rank() } -> std::same_as<int>;
      { k.size() } -> std::same_as<int>;
      { c.exchange(execution, ch, r) } -> exchange_handle;
      { c.progress() } -> std::same_as<std::uint64_t>;
      c.idle(seen, until);
      c.revoke(why);
      { c.in_flight() } -> std::same_as<operations&>;
    };

namespace detail {

template <class Comm>
using exchange_handle_of = decltype(std::declval<Comm&>().exchange(host_execution{}, channel{},
                                                            std::declval<const exchange_round&>()));

/// Of a round that only receives: whether it was taken back.
template <exchange_handle Handle>
bool take_back(Handle& handle) {
  if constexpr (requires { { handle.take_back() } -> std::same_as<bool>; })
    return handle.take_back();
  else
    return true;
}

} // namespace detail

/// On how many channels a communicator may have exchanges in flight; 0 for any number.
template <class C>
inline constexpr std::uint32_t channels_of = 0;
template <class C>
  requires requires { C::channels; }
inline constexpr std::uint32_t channels_of<C> = C::channels;

/// What time it is on a communicator: that of its own clock, or of the steady clock where it has none. All
/// deadlines are taken from it, so a program runs unchanged in virtual time. What waits for the machine and
/// not for a rank's part in a call - segments, processes that end, sleep - stays on the real clock.
template <class Comm>
deadline now_of(const Comm& comm) {
  if constexpr (requires { { comm.now() } -> std::same_as<deadline>; })
    return comm.now();
  else
    return clock::now();
}

/// This rank computes for as many seconds: where time is virtual they pass, scaled by the rank's speed. Elsewhere
/// nothing happens, as there computing takes the time that it takes.
template <class Comm>
void compute(Comm& comm, double seconds) {
  if constexpr (requires { comm.compute(seconds); }) comm.compute(seconds);
}

/// The communicator on which small words travel beside the data - what is bound, weights, agreements, verdicts:
/// itself, unless it has another way for them. Decorators pass it on as it is: what goes by another way is not theirs
/// to count, to time or to fail.
template <class Comm>
auto& control_of(Comm& comm) noexcept {
  if constexpr (requires { { comm.control() } -> communicator; })
    return comm.control();
  else
    return comm;
}

template <class C>
concept selective_communicator = communicator<C> && requires(C c, channel ch) {
  { c.probe(ch) } -> std::same_as<std::optional<arrival>>;
};

template <class C>
concept splitting_communicator = communicator<C> && requires(C c, int n) {
  { c.split(n, n) } -> communicator;
};

template <class C>
concept verifying_communicator =
    communicator<C> && requires(C c, const char* call, std::span<const std::uint64_t> numbers) {
      c.verify(call, numbers, true);
    };

} // namespace tutti
