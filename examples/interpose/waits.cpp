// MPI_Wait, MPI_Test and their kin: while something is in flight, waiting is testing and pushing.
#include "process.hpp"

namespace {

using namespace interpose;

/// block() while nothing is in flight, poll(done) until it is done while something is.
template <class Block, class Poll>
[[gnu::always_inline]] inline int wait_by(Block&& block, Poll&& poll) {
  if (passes()) return block();
  if (!busy()) return with_failure(block());
  int code = MPI_SUCCESS, done = 0;
  wait_until([&] {
    code = poll(done);
    return done != 0 || code != MPI_SUCCESS;
  });
  return with_failure(code);
}

template <class Look> [[gnu::always_inline]] inline int after_a_push(Look&& look) {
  if (passes()) return look();
  push();
  return with_failure(look());
}

} // namespace

extern "C" {

int MPI_Wait(MPI_Request* r, MPI_Status* s) {
  return wait_by([&] { return mpi().Wait(r, s); },
                 [&](int& done) { return mpi().Test(r, &done, s); });
}
int MPI_Waitall(int n, MPI_Request* r, MPI_Status* s) {
  return wait_by([&] { return mpi().Waitall(n, r, s); },
                 [&](int& done) { return mpi().Testall(n, r, &done, s); });
}
int MPI_Waitany(int n, MPI_Request* r, int* which, MPI_Status* s) {
  return wait_by([&] { return mpi().Waitany(n, r, which, s); },
                 [&](int& done) { return mpi().Testany(n, r, which, &done, s); });
}
int MPI_Waitsome(int n, MPI_Request* r, int* count, int* which, MPI_Status* s) {
  return wait_by([&] { return mpi().Waitsome(n, r, count, which, s); },
                 [&](int& done) {
                   const int code = mpi().Testsome(n, r, count, which, s);
                   done = *count; // MPI_UNDEFINED where there is nothing to wait for
                   return code;
                 });
}

int MPI_Test(MPI_Request* r, int* done, MPI_Status* s) {
  return after_a_push([&] { return mpi().Test(r, done, s); });
}
int MPI_Testall(int n, MPI_Request* r, int* done, MPI_Status* s) {
  return after_a_push([&] { return mpi().Testall(n, r, done, s); });
}
int MPI_Testany(int n, MPI_Request* r, int* which, int* done, MPI_Status* s) {
  return after_a_push([&] { return mpi().Testany(n, r, which, done, s); });
}
int MPI_Testsome(int n, MPI_Request* r, int* count, int* which, MPI_Status* s) {
  return after_a_push([&] { return mpi().Testsome(n, r, count, which, s); });
}
int MPI_Request_get_status(MPI_Request r, int* done, MPI_Status* s) {
  return after_a_push([&] { return mpi().Request_get_status(r, done, s); });
}

int MPI_Request_free(MPI_Request* r) {
  if (!passes() && busy() && *r != MPI_REQUEST_NULL && let_go(r)) return MPI_SUCCESS;
  return mpi().Request_free(r);
}

} // extern "C"
