// leaving: a rank that returns while others count on it.
#pragma once

#include <tutti/core/error.hpp>

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
inline failure left_unfinished(int peer) {
  return {.code = error_code::peer_lost,
          .peer = peer,
          .detail = "rank " + std::to_string(peer) + " has left without finalize() - call it on "
                    "every rank after its last step"};
}
/// What a rank has met with; where that is another's leaving, with what to do about it.
template <class Comm>
failure met_with(const Comm& comm, failure why) {
  const bool others = why.peer >= 0 && why.peer < comm.size() && why.peer != comm.rank();
  if (why.code == error_code::peer_lost && others && why.call.empty() && detail::has_left(comm, why.peer))
    return detail::left_unfinished(why.peer);
  return why;
}

} // namespace tutti::detail
