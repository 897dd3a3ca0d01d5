// Who has left without an end.
#pragma once

#include <tutti/core/error.hpp>

#include <string>

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
inline failure left_unfinished(int peer) {
  return {.code = error_code::peer_lost,
          .peer = peer,
          .detail = "rank " + std::to_string(peer) + " has left without finalize() - call it on "
                    "every rank after its last step"};
}

} // namespace tutti::detail
