// Blocking point-to-point calls: while something is in flight, each is its non-blocking form, and
// testing and pushing until that is complete.
#include "layouts.hpp"
#include "process.hpp"

#include <vector>

namespace {

using namespace interpose;

[[gnu::always_inline]] inline bool blocks() {
  return passes() || !busy();
}

int complete(MPI_Request* r, MPI_Status* s) {
  int code = MPI_SUCCESS, done = 0;
  wait_until([&] {
    code = mpi().Test(r, &done, s);
    return done != 0 || code != MPI_SUCCESS;
  });
  return code;
}

/// What start(request) starts, to its end.
template <class Start> int polled(MPI_Status* s, Start&& start) {
  MPI_Request r = MPI_REQUEST_NULL;
  const int code = start(&r);
  return code == MPI_SUCCESS ? complete(&r, s) : code;
}

/// Both to their end.
template <class Receive, class Send>
int both_polled(MPI_Status* s, Receive&& receive, Send&& send) {
  return polled(s, [&](MPI_Request* r) {
    int code = receive(r);
    if (code != MPI_SUCCESS) return code;
    code = polled(MPI_STATUS_IGNORE, send);
    if (code == MPI_SUCCESS) return code;
    PMPI_Cancel(r);
    mpi().Request_free(r);
    return code;
  });
}

template <class Look> int looked_for(Look&& look) {
  int code = MPI_SUCCESS, here = 0;
  wait_until([&] {
    code = look(here);
    return here != 0 || code != MPI_SUCCESS;
  });
  return code;
}

} // namespace

extern "C" {

int MPI_Send(const void* at, int n, MPI_Datatype t, int to, int tag, MPI_Comm c) {
  if (blocks()) return mpi().Send(at, n, t, to, tag, c);
  return polled(MPI_STATUS_IGNORE,
                [&](MPI_Request* r) { return PMPI_Isend(at, n, t, to, tag, c, r); });
}
int MPI_Ssend(const void* at, int n, MPI_Datatype t, int to, int tag, MPI_Comm c) {
  if (blocks()) return mpi().Ssend(at, n, t, to, tag, c);
  return polled(MPI_STATUS_IGNORE,
                [&](MPI_Request* r) { return PMPI_Issend(at, n, t, to, tag, c, r); });
}
int MPI_Rsend(const void* at, int n, MPI_Datatype t, int to, int tag, MPI_Comm c) {
  if (blocks()) return mpi().Rsend(at, n, t, to, tag, c);
  return polled(MPI_STATUS_IGNORE,
                [&](MPI_Request* r) { return PMPI_Irsend(at, n, t, to, tag, c, r); });
}
int MPI_Bsend(const void* at, int n, MPI_Datatype t, int to, int tag, MPI_Comm c) {
  if (blocks()) return mpi().Bsend(at, n, t, to, tag, c);
  return polled(MPI_STATUS_IGNORE,
                [&](MPI_Request* r) { return PMPI_Ibsend(at, n, t, to, tag, c, r); });
}

int MPI_Recv(void* at, int n, MPI_Datatype t, int from, int tag, MPI_Comm c, MPI_Status* s) {
  if (blocks()) return mpi().Recv(at, n, t, from, tag, c, s);
  return polled(s, [&](MPI_Request* r) { return PMPI_Irecv(at, n, t, from, tag, c, r); });
}
int MPI_Mrecv(void* at, int n, MPI_Datatype t, MPI_Message* m, MPI_Status* s) {
  if (blocks()) return mpi().Mrecv(at, n, t, m, s);
  return polled(s, [&](MPI_Request* r) { return PMPI_Imrecv(at, n, t, m, r); });
}

int MPI_Sendrecv(const void* a, int n, MPI_Datatype t, int to, int tag, void* b, int m,
                 MPI_Datatype u, int from, int other_tag, MPI_Comm c, MPI_Status* s) {
  if (blocks()) return mpi().Sendrecv(a, n, t, to, tag, b, m, u, from, other_tag, c, s);
  return both_polled(
      s, [&](MPI_Request* r) { return PMPI_Irecv(b, m, u, from, other_tag, c, r); },
      [&](MPI_Request* r) { return PMPI_Isend(a, n, t, to, tag, c, r); });
}
int MPI_Sendrecv_replace(void* at, int n, MPI_Datatype t, int to, int tag, int from, int other_tag,
                         MPI_Comm c, MPI_Status* s) {
  int bytes = 0, position = 0;
  if (blocks() || n < 0 || PMPI_Pack_size(n, t, c, &bytes) != MPI_SUCCESS)
    return mpi().Sendrecv_replace(at, n, t, to, tag, from, other_tag, c, s);
  std::vector<std::byte> packed(std::size_t(bytes) + 1); // there is somewhere to pack nothing, too
  if (const int code = PMPI_Pack(at, n, t, packed.data(), bytes, &position, c); code != MPI_SUCCESS)
    return code;
  return both_polled(
      s, [&](MPI_Request* r) { return PMPI_Irecv(at, n, t, from, other_tag, c, r); },
      [&](MPI_Request* r) {
        return PMPI_Isend(packed.data(), position, MPI_PACKED, to, tag, c, r);
      });
}

int MPI_Probe(int from, int tag, MPI_Comm c, MPI_Status* s) {
  if (blocks()) return mpi().Probe(from, tag, c, s);
  return looked_for([&](int& here) { return mpi().Iprobe(from, tag, c, &here, s); });
}
int MPI_Mprobe(int from, int tag, MPI_Comm c, MPI_Message* m, MPI_Status* s) {
  if (blocks()) return mpi().Mprobe(from, tag, c, m, s);
  return looked_for([&](int& here) { return mpi().Improbe(from, tag, c, &here, m, s); });
}
int MPI_Iprobe(int from, int tag, MPI_Comm c, int* here, MPI_Status* s) {
  if (!passes()) push();
  return mpi().Iprobe(from, tag, c, here, s);
}
int MPI_Improbe(int from, int tag, MPI_Comm c, int* here, MPI_Message* m, MPI_Status* s) {
  if (!passes()) push();
  return mpi().Improbe(from, tag, c, here, m, s);
}

} // extern "C"
