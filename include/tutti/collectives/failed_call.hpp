// How a call that has failed on one rank ends on all of them.
#pragma once

#include <tutti/core/error.hpp>

#include <utility>

namespace tutti::detail {

/// Revokes the communicator, then calls quiet(), after which nobody touches the call's memory, and throws.
template <class Comm, class Quiet>
[[noreturn]] void fail_call(Comm& comm, const char* call, failure why, Quiet&& quiet) {
  if (why.call.empty()) why.call = call;
  if (why.rank < 0) why.rank = comm.rank();
  comm.revoke(why);
  quiet();
  why.rank = comm.rank();
  throw error{std::move(why)};
}

/// The same for what is no tutti::error, and thrown by others: the other ranks lose this one.
template <class Comm, class Quiet>
void give_up_call(Comm& comm, const char* call, const char* why, Quiet&& quiet) noexcept {
  comm.revoke({.code = error_code::peer_lost, .call = call, .peer = comm.rank(), .detail = why});
  quiet();
}

/// A rank has waited for `peer` for long: compares what both have called, and fails where that differs.
template <class Comm, class Fail>
void compare_calls(Comm& comm, int peer, Fail&& fail) {
  if constexpr (requires { comm.compare_calls(peer, false); }) {
    if (peer < 0 || peer == comm.rank()) return;
    try {
      comm.compare_calls(peer, false);
    } catch (const error& e) {
      fail(e.details());
    }
  }
}

} // namespace tutti::detail
