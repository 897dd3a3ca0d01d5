// How a call that has failed on one rank ends on all of them.
#pragma once

#include <tutti/core/error.hpp>

#include <utility>

namespace tutti::detail {

/// Revokes the communicator, and returns what this rank's call throws.
template <class Comm> error failed_call(Comm& comm, const char* call, failure why) {
  if (why.call.empty()) why.call = call;
  if (why.rank < 0) why.rank = comm.rank();
  comm.revoke(why);
  why.rank = comm.rank();
  return error{std::move(why)};
}

/// Revokes the communicator for what is no tutti::error; the others lose this rank.
template <class Comm> void given_up_call(Comm& comm, const char* call, const char* why) noexcept {
  comm.revoke({.code = error_code::peer_lost, .call = call, .peer = comm.rank(), .detail = why});
}

} // namespace tutti::detail
