// Blocking collectives that are MPI's: ranks meet before them, so that what is in flight on one is
// not stopped by it while another waits for that (in_flight.hpp).
#include "process.hpp"

namespace {

using namespace interpose;

template <class Call> [[gnu::always_inline]] inline int after_meeting(MPI_Comm users, Call&& call) {
  if (!passes()) meet(users);
  return call();
}

/// What makes others of it. A communicator that MPI_Comm_idup makes of the same one is completed
/// first, which holds up nobody, as all ranks have begun it: Open MPI numbers both by the same
/// non-blocking collectives, and takes those of one for those of the other.
template <class Call> [[gnu::always_inline]] inline int making_of(MPI_Comm users, Call&& call) {
  if (!passes()) {
    if (running->in_the_making > 0) complete_all_on(users);
    meet(users);
  }
  return call();
}

/// While one is in the making on a rank, its communicators are given no twins (twin.hpp).
template <class Make>
[[gnu::always_inline]] inline int in_the_making(MPI_Comm c, MPI_Request* request, Make&& make) {
  twin* from = passes() ? nullptr : known(c);
  if (!from) return make(request);
  from->makes_meanwhile = true;
  MPI_Request made = MPI_REQUEST_NULL;
  const int code = make(&made);
  return code == MPI_SUCCESS ? give_request(*from, made, request) : code;
}

} // namespace

using const_data = const void*;
using type = MPI_Datatype;
using counts = const int*;

extern "C" {

// Copies and scans.

int MPI_Gather(const_data a, int n, type t, void* b, int m, type u, int root, MPI_Comm c) {
  return after_meeting(c, [&] { return mpi().Gather(a, n, t, b, m, u, root, c); });
}
int MPI_Gatherv(const_data a, int n, type t, void* b, counts m, counts at, type u, int root,
                MPI_Comm c) {
  return after_meeting(c, [&] { return mpi().Gatherv(a, n, t, b, m, at, u, root, c); });
}
int MPI_Scatter(const_data a, int n, type t, void* b, int m, type u, int root, MPI_Comm c) {
  return after_meeting(c, [&] { return mpi().Scatter(a, n, t, b, m, u, root, c); });
}
int MPI_Scatterv(const_data a, counts n, counts at, type t, void* b, int m, type u, int root,
                 MPI_Comm c) {
  return after_meeting(c, [&] { return mpi().Scatterv(a, n, at, t, b, m, u, root, c); });
}
int MPI_Alltoall(const_data a, int n, type t, void* b, int m, type u, MPI_Comm c) {
  return after_meeting(c, [&] { return mpi().Alltoall(a, n, t, b, m, u, c); });
}
int MPI_Alltoallv(const_data a, counts n, counts from, type t, void* b, counts m, counts to, type u,
                  MPI_Comm c) {
  return after_meeting(c, [&] { return mpi().Alltoallv(a, n, from, t, b, m, to, u, c); });
}
int MPI_Alltoallw(const_data a, counts n, counts from, const type* t, void* b, counts m, counts to,
                  const type* u, MPI_Comm c) {
  return after_meeting(c, [&] { return mpi().Alltoallw(a, n, from, t, b, m, to, u, c); });
}
int MPI_Scan(const_data a, void* b, int n, type t, MPI_Op op, MPI_Comm c) {
  return after_meeting(c, [&] { return mpi().Scan(a, b, n, t, op, c); });
}
int MPI_Exscan(const_data a, void* b, int n, type t, MPI_Op op, MPI_Comm c) {
  return after_meeting(c, [&] { return mpi().Exscan(a, b, n, t, op, c); });
}

// Between neighbours.

int MPI_Neighbor_allgather(const_data a, int n, type t, void* b, int m, type u, MPI_Comm c) {
  return after_meeting(c, [&] { return mpi().Neighbor_allgather(a, n, t, b, m, u, c); });
}
int MPI_Neighbor_allgatherv(const_data a, int n, type t, void* b, counts m, counts at, type u,
                            MPI_Comm c) {
  return after_meeting(c, [&] { return mpi().Neighbor_allgatherv(a, n, t, b, m, at, u, c); });
}
int MPI_Neighbor_alltoall(const_data a, int n, type t, void* b, int m, type u, MPI_Comm c) {
  return after_meeting(c, [&] { return mpi().Neighbor_alltoall(a, n, t, b, m, u, c); });
}
int MPI_Neighbor_alltoallv(const_data a, counts n, counts from, type t, void* b, counts m,
                           counts to, type u, MPI_Comm c) {
  return after_meeting(c, [&] { return mpi().Neighbor_alltoallv(a, n, from, t, b, m, to, u, c); });
}
int MPI_Neighbor_alltoallw(const_data a, counts n, const MPI_Aint* from, const type* t, void* b,
                           counts m, const MPI_Aint* to, const type* u, MPI_Comm c) {
  return after_meeting(c, [&] { return mpi().Neighbor_alltoallw(a, n, from, t, b, m, to, u, c); });
}

// What makes communicators.

int MPI_Comm_dup(MPI_Comm c, MPI_Comm* made) {
  return making_of(c, [&] { return mpi().Comm_dup(c, made); });
}
int MPI_Comm_dup_with_info(MPI_Comm c, MPI_Info info, MPI_Comm* made) {
  return making_of(c, [&] { return mpi().Comm_dup_with_info(c, info, made); });
}
int MPI_Comm_idup(MPI_Comm c, MPI_Comm* made, MPI_Request* request) {
  return in_the_making(c, request, [&](MPI_Request* r) { return mpi().Comm_idup(c, made, r); });
}
#if MPI_VERSION >= 4
int MPI_Comm_idup_with_info(MPI_Comm c, MPI_Info info, MPI_Comm* made, MPI_Request* request) {
  return in_the_making(c, request,
                       [&](MPI_Request* r) { return mpi().Comm_idup_with_info(c, info, made, r); });
}
#endif
int MPI_Comm_create(MPI_Comm c, MPI_Group of, MPI_Comm* made) {
  return making_of(c, [&] { return mpi().Comm_create(c, of, made); });
}
int MPI_Comm_split(MPI_Comm c, int color, int key, MPI_Comm* made) {
  return making_of(c, [&] { return mpi().Comm_split(c, color, key, made); });
}
int MPI_Comm_split_type(MPI_Comm c, int by, int key, MPI_Info info, MPI_Comm* made) {
  return making_of(c, [&] { return mpi().Comm_split_type(c, by, key, info, made); });
}
int MPI_Intercomm_create(MPI_Comm c, int leader, MPI_Comm peers, int other, int tag,
                         MPI_Comm* made) {
  return making_of(c, [&] { return mpi().Intercomm_create(c, leader, peers, other, tag, made); });
}
int MPI_Intercomm_merge(MPI_Comm c, int high, MPI_Comm* made) {
  return making_of(c, [&] { return mpi().Intercomm_merge(c, high, made); });
}
int MPI_Cart_create(MPI_Comm c, int n, const int* dims, const int* periods, int reorder,
                    MPI_Comm* made) {
  return making_of(c, [&] { return mpi().Cart_create(c, n, dims, periods, reorder, made); });
}
int MPI_Cart_sub(MPI_Comm c, const int* remain, MPI_Comm* made) {
  return making_of(c, [&] { return mpi().Cart_sub(c, remain, made); });
}
int MPI_Graph_create(MPI_Comm c, int n, const int* index, const int* edges, int reorder,
                     MPI_Comm* made) {
  return making_of(c, [&] { return mpi().Graph_create(c, n, index, edges, reorder, made); });
}
int MPI_Dist_graph_create(MPI_Comm c, int n, const int* sources, const int* degrees, const int* to,
                          const int* weights, MPI_Info info, int reorder, MPI_Comm* made) {
  return making_of(c, [&] {
    return mpi().Dist_graph_create(c, n, sources, degrees, to, weights, info, reorder, made);
  });
}
int MPI_Dist_graph_create_adjacent(MPI_Comm c, int in, const int* from, const int* in_weights,
                                   int out, const int* to, const int* out_weights, MPI_Info info,
                                   int reorder, MPI_Comm* made) {
  return making_of(c, [&] {
    return mpi().Dist_graph_create_adjacent(c, in, from, in_weights, out, to, out_weights, info,
                                            reorder, made);
  });
}

// What makes windows and files, and what ends communicators.

int MPI_Win_create(void* at, MPI_Aint bytes, int unit, MPI_Info info, MPI_Comm c, MPI_Win* made) {
  return making_of(c, [&] { return mpi().Win_create(at, bytes, unit, info, c, made); });
}
int MPI_Win_allocate(MPI_Aint bytes, int unit, MPI_Info info, MPI_Comm c, void* at, MPI_Win* made) {
  return making_of(c, [&] { return mpi().Win_allocate(bytes, unit, info, c, at, made); });
}
int MPI_Win_allocate_shared(MPI_Aint bytes, int unit, MPI_Info info, MPI_Comm c, void* at,
                            MPI_Win* made) {
  return making_of(c, [&] { return mpi().Win_allocate_shared(bytes, unit, info, c, at, made); });
}
int MPI_Win_create_dynamic(MPI_Info info, MPI_Comm c, MPI_Win* made) {
  return making_of(c, [&] { return mpi().Win_create_dynamic(info, c, made); });
}
int MPI_File_open(MPI_Comm c, const char* name, int mode, MPI_Info info, MPI_File* made) {
  return making_of(c, [&] { return mpi().File_open(c, name, mode, info, made); });
}

/// What is in flight on it goes on, on its twin.
int MPI_Comm_free(MPI_Comm* c) {
  if (passes()) return mpi().Comm_free(c);
  const going ends{*c};
  const int code = mpi().Comm_free(c);
  bury_twins();
  return code;
}

/// It waits for what is in flight on the communicator.
int MPI_Comm_disconnect(MPI_Comm* c) {
  if (passes()) return mpi().Comm_disconnect(c);
  complete_all_on(*c);
  meet(*c);
  const going ends{*c};
  const int code = mpi().Comm_disconnect(c);
  bury_twins();
  return code;
}

} // extern "C"
