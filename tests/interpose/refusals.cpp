// What MPI refuses it refuses here, too, and the calls after that go on.
#include "check.hpp"

namespace check {
namespace {

void is_refused(int code, int wanted, const std::string& what) {
  int kind = MPI_SUCCESS;
  if (code != MPI_SUCCESS) MPI_Error_class(code, &kind);
  that(kind == wanted,
       what + " is of class " + std::to_string(kind) + ", not " + std::to_string(wanted));
}
/// Of one class or another: Open MPI and MPICH look at arguments in different orders.
void is_refused(int code, const std::string& what) {
  that(code != MPI_SUCCESS, what + " is accepted");
}

void refuse(MPI_Comm comm) {
  int a[8] = {}, b[64] = {}, negative[64], ones[64], at[64];
  for (int k = 0; k < 64; ++k) negative[k] = -1, ones[k] = 1, at[k] = k;
  const MPI_Datatype none = MPI_DATATYPE_NULL, ints = MPI_INT;
  const MPI_Comm nobody = MPI_COMM_NULL;
  const MPI_Op sum = MPI_SUM;
  MPI_Request r = MPI_REQUEST_NULL;
  const int size = size_of(comm);

#ifdef MPICH_VERSION // which does not look at the counts of reductions
  is_refused(MPI_Allreduce(a, a, 1, ints, sum, comm), MPI_ERR_BUFFER, "MPI_Allreduce, one buffer");
  is_refused(MPI_Allreduce(a, nullptr, 1, ints, sum, comm), MPI_ERR_BUFFER,
             "MPI_Allreduce, no buffer");
#else
  is_refused(MPI_Allreduce(a, b, -1, ints, sum, comm), MPI_ERR_COUNT, "MPI_Allreduce, count");
  is_refused(MPI_Iallreduce(a, b, -1, ints, sum, comm, &r), MPI_ERR_COUNT, "MPI_Iallreduce, count");
  is_refused(MPI_Reduce(a, b, -1, ints, sum, 0, comm), MPI_ERR_COUNT, "MPI_Reduce, count");
  is_refused(MPI_Reduce_scatter_block(a, b, -1, ints, sum, comm), MPI_ERR_COUNT,
             "MPI_Reduce_scatter_block, count");
#endif
  is_refused(MPI_Allreduce(a, b, 1, none, sum, comm), "MPI_Allreduce, type");
  is_refused(MPI_Allreduce(a, b, 1, ints, MPI_OP_NULL, comm), MPI_ERR_OP,
             "MPI_Allreduce, operation");
  is_refused(MPI_Allreduce(a, b, 1, ints, sum, nobody), MPI_ERR_COMM,
             "MPI_Allreduce, communicator");
  is_refused(MPI_Allreduce(a, b, 1, MPI_FLOAT, MPI_BOR, comm), MPI_ERR_OP,
             "MPI_Allreduce, MPI_BOR of float");
  is_refused(MPI_Iallreduce(a, b, 1, ints, sum, nobody, &r), MPI_ERR_COMM,
             "MPI_Iallreduce, communicator");
  is_refused(MPI_Reduce(a, b, 1, ints, sum, size, comm), MPI_ERR_ROOT, "MPI_Reduce, root");
  is_refused(MPI_Reduce_scatter(a, b, negative, ints, sum, comm), MPI_ERR_COUNT,
             "MPI_Reduce_scatter, counts");
  is_refused(MPI_Bcast(a, -1, ints, 0, comm), MPI_ERR_COUNT, "MPI_Bcast, count");
  is_refused(MPI_Bcast(a, 1, none, 0, comm), MPI_ERR_TYPE, "MPI_Bcast, type");
  is_refused(MPI_Bcast(a, 1, ints, -7, comm), MPI_ERR_ROOT, "MPI_Bcast, root");
  is_refused(MPI_Bcast(a, 1, ints, 0, nobody), MPI_ERR_COMM, "MPI_Bcast, communicator");
  is_refused(MPI_Allgather(a, -1, ints, b, 1, ints, comm), MPI_ERR_COUNT,
             "MPI_Allgather, count sent");
  is_refused(MPI_Allgather(a, 1, ints, b, 1, none, comm), MPI_ERR_TYPE, "MPI_Allgather, type");
  is_refused(MPI_Allgatherv(a, 1, none, b, ones, at, ints, comm), MPI_ERR_TYPE,
             "MPI_Allgatherv, type");
  is_refused(MPI_Barrier(nobody), MPI_ERR_COMM, "MPI_Barrier, communicator");

  MPI_Datatype unfinished = MPI_DATATYPE_NULL;
  MPI_Type_contiguous(2, ints, &unfinished);
  is_refused(MPI_Bcast(a, 1, unfinished, 0, comm), MPI_ERR_TYPE, "MPI_Bcast, a type not committed");
  MPI_Type_free(&unfinished);

  const int one = 1;
  MPI_Allreduce(&one, b, 1, ints, sum, comm);
  that(b[0] == size, "MPI_Allreduce after refusals");
}

int handled = 0;
void count(MPI_Comm*, int*, ...) {
  ++handled;
}

} // namespace

void refusals() {
  begin("refusals");
  MPI_Comm_set_errhandler(MPI_COMM_WORLD, MPI_ERRORS_RETURN);
  MPI_Comm_set_errhandler(MPI_COMM_SELF, MPI_ERRORS_RETURN);
  refuse(MPI_COMM_WORLD);
  refuse(MPI_COMM_SELF);
  MPI_Comm_set_errhandler(MPI_COMM_WORLD, MPI_ERRORS_ARE_FATAL);
  MPI_Comm_set_errhandler(MPI_COMM_SELF, MPI_ERRORS_ARE_FATAL);
}

/// Ranks that do not agree: no result, but an error on every rank, at the handler of the
/// communicator. (MPI alone may do anything.)
void mismatch() {
  begin("mismatch");
  MPI_Comm comm = MPI_COMM_NULL;
  MPI_Errhandler counting = MPI_ERRHANDLER_NULL;
  MPI_Comm_create_errhandler(count, &counting);
  MPI_Comm_dup(MPI_COMM_WORLD, &comm);
  MPI_Comm_set_errhandler(comm, counting);
  use_often(comm);

  const int rank = rank_in(comm), n = rank == 0 ? 4 : 5;
  std::vector<int> a(5, 1), b(5);
  MPI_Request r = MPI_REQUEST_NULL;
  MPI_Iallreduce(a.data(), b.data(), n, MPI_INT, MPI_SUM, comm, &r);
  that(MPI_Wait(&r, MPI_STATUS_IGNORE) != MPI_SUCCESS && handled == 1,
       "MPI_Wait completed what ranks gave other lengths for");
  that(r == MPI_REQUEST_NULL, "the request is still there");
  that(MPI_Allreduce(a.data(), b.data(), n, MPI_INT, MPI_SUM, comm) != MPI_SUCCESS && handled == 2,
       "MPI_Allreduce succeeded after that");
  MPI_Comm_free(&comm);
  MPI_Errhandler_free(&counting);

  int sum = 0;
  MPI_Allreduce(a.data(), &sum, 1, MPI_INT, MPI_SUM, MPI_COMM_WORLD);
  that(sum == size_of(MPI_COMM_WORLD), "another communicator suffers from it");
}

} // namespace check
