// What is in flight, and how a rank waits while it is: everything is pushed along, the messages of
// MPI as well as the collectives of tutti, so that neither waits for the other.
#pragma once

#include "twin.hpp"

#include <tutti/communicators/operation.hpp>

#include <sched.h>

#include <exception>
#include <memory>
#include <utility>

namespace interpose {

/// One MPI_Iallreduce that is served, or one MPI_Comm_idup. The program holds a generalized
/// request.
struct pending {
  struct outcome {
    bool failed = false;
    MPI_Comm users = MPI_COMM_NULL; ///< where the failure is raised
  };
  std::shared_ptr<twin> on;
  tutti::request work;
  MPI_Request mpis = MPI_REQUEST_NULL; ///< what MPI has to do, of which there is no work
  MPI_Request handle = MPI_REQUEST_NULL;
  outcome* result = nullptr; ///< belongs to the generalized request
  bool let_go = false;       ///< the program has freed its request
};

/// Moves every pending operation on as far as it goes, and completes the requests of those that
/// end.
void push() noexcept;

/// Lets MPI move its messages: a rank that sits in shared memory may have a long one to send.
void poke_mpi() noexcept;

/// Until done() is true. Everything else moves on, and now and then the core is given away.
template <class Done> void wait_until(Done&& done) {
  for (unsigned turn = 1; !done(); ++turn) {
    push();
    if (turn % 16 != 0) continue;
    poke_mpi();
    sched_yield();
  }
}

/// Until every rank has come here; what is in flight goes on in the meantime. Collective.
///
/// Called before every blocking collective of MPI's, which would stop what is in flight on this
/// rank: once all ranks are there, they need nothing but each other. Whether something is in flight
/// somewhere no rank knows of another, so they always meet. (A blocking collective does not match a
/// non-blocking one, so to poll instead would have to be everyone's choice, too.)
///
/// On its twin where it has one. Else by MPI_Ibarrier, but for communicators that MPI_Comm_idup has
/// been called on: Open MPI's goes on with non-blocking collectives of its own, whose numbers would
/// depend on how far it has come on each rank when they meet.
void meet(MPI_Comm users);

/// Says why, and raises it as MPI would.
int fail(MPI_Comm users, const std::exception& why);

/// Hands an MPI_Iallreduce to the program.
int give_request(twin& on, tutti::request&& work, MPI_Request* handle);
/// Hands an MPI_Comm_idup to the program, which is seen to end that way.
int give_request(twin& on, MPI_Request mpis, MPI_Request* handle);

/// The program has freed a request; whether it was one of these, which then goes on without it.
bool let_go(MPI_Request* handle);

/// Until none of the requests that were begun on `users` is in flight on this rank.
void complete_all_on(MPI_Comm users);

/// `code`, unless a request whose operation failed was completed by this thread's last call.
int with_failure(int code);

} // namespace interpose
