// mpi::communicator: the ranks are the processes of an MPI job.
#pragma once

#include <tutti/communicators/forwarding.hpp>
#include <tutti/mpi/endpoint.hpp>

#include <utility>

namespace tutti::mpi {

/// Owns a duplicate of the communicator that it is made from: errors are returned on the duplicate
/// only, and tags are its own. Making and splitting one is collective. Use one under an
/// `environment`; it may outlive the environment, but not be used then.
///
/// Cost: an exchange is one MPI_Isend or MPI_Irecv a message, and one MPI_Testall a poll. A message
/// of limits::message_bytes or more becomes several, the last one shorter than that.
///
/// Errors: transport with the text of MPI; mismatch when a message is longer or shorter than what
/// was expected; peer_lost when a rank has left, or was unwound with an exchange in flight.
class communicator : public communicator_handle<detail::endpoint> {
public:
  explicit communicator(MPI_Comm users, limits how = {})
      : communicator_handle{std::in_place, users, how} {}

  /// Collective. The ranks of one color form a communicator, ordered by (key, rank).
  communicator split(int color, int key, const options& how = {}) {
    return communicator{inner().split(color, key, how), inner().said()};
  }

  /// For a rank that will not communicate again: others who wait for it fail with `peer_lost`.
  /// Returns when every rank has come here - after a failure at most 20 s later, false if somebody
  /// has not.
  bool leave() { return inner().leave(); }

private:
  communicator(std::shared_ptr<detail::group> all, const limits& how)
      : communicator_handle{std::in_place, std::move(all), how} {}
};

/// All ranks of the job. Collective; throws `unsupported` without an environment.
inline communicator world(limits how = {}) {
  return communicator{MPI_COMM_WORLD, how};
}

} // namespace tutti::mpi
