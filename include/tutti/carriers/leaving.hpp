// leaving: a rank that returns, or is silent, while others count on it.
#pragma once

#include <tutti/core/error.hpp>

#include <chrono>
#include <string>
#include <utility>

namespace tutti::detail {

/// Whether `peer` has left for no failure, as far as anybody can tell. Throws when it was because
/// of one.
template <class Comm>
bool has_left(const Comm& comm, int peer) {
  if constexpr (requires { comm.has_left(peer); })
    return comm.has_left(peer);
  else
    return false;
}
/// What a rank that works calls in the end, and after what.
struct last_call {
  const char *name = "finalize()", *after = "step";
};
inline failure left_unfinished(int peer, last_call last = {}) {
  return {.code = error_code::peer_lost,
          .peer = peer,
          .detail = "rank " + std::to_string(peer) + " has left without " + last.name + " - call it on every rank "
                    "after its last " + last.after};
}
/// What a rank has met with; where that is another's leaving, with what to do about it.
template <class Comm>
failure met_with(const Comm& comm, failure why, last_call last = {}) {
  const bool others = why.peer >= 0 && why.peer < comm.size() && why.peer != comm.rank();
  if (why.code == error_code::peer_lost && others && why.call.empty() && detail::has_left(comm, why.peer))
    return detail::left_unfinished(why.peer, last);
  return why;
}

enum class reached : char { nothing_yet, its_end, one_who_left };
/// How far an exchange with `peer` is. Throws as test() does, unless it is because that rank has left for no failure.
template <class Comm, class Handle>
reached test_with(const Comm& comm, Handle& exchange, int peer) {
  try {
    if (exchange.test()) return reached::its_end;
    if (!detail::has_left(comm, peer)) return reached::nothing_yet;
    return exchange.test() ? reached::its_end : reached::one_who_left; // with what it did before
  } catch (const error& e) {
    if (e.code() != error_code::peer_lost || e.peer() != peer || !detail::has_left(comm, peer)) throw;
    return reached::one_who_left;
  }
}
/// To one who was given up while it was silent.
inline failure heard_nothing_of(int by, std::chrono::milliseconds timeout) {
  return {.code = error_code::timeout,
          .peer = by,
          .detail = "rank " + std::to_string(by) + " has heard nothing of this rank for " +
                    std::to_string(timeout.count()) + " ms, and the others train on without it - raise "
                    "tutti::options::timeout if this rank is only slow"};
}

} // namespace tutti::detail
