// libtutti_interpose.so: a program that was built for MPI tries tutti as it is.
//
//   mpirun -n 4 env LD_PRELOAD=/path/to/libtutti_interpose.so ./program
//
// MPI_Allreduce, MPI_Reduce, MPI_Bcast, MPI_Allgather, MPI_Allgatherv, MPI_Reduce_scatter,
// MPI_Reduce_scatter_block, MPI_Iallreduce and MPI_Barrier are served by tutti, everything else,
// and whatever of these tutti does not have, by MPI.
//
// TUTTI_INTERPOSE=off passes everything on; =report says at MPI_Finalize, on rank 0, how often each
// call was served and passed on.
//
// Served are, on communicators of one group of 2 ranks or more: reductions with MPI_SUM, MPI_PROD,
// MPI_MIN, MPI_MAX of MPI's C types for float, double and integers of 8, 32 and 64 bits, MPI_CHAR
// excepted, whose sums MPI does not have either; copies of any type, derived ones included, as
// bytes. MPI_IN_PLACE changes nothing about that.
//
// Which calls are served depends only on what is the same on all ranks: the communicator and its
// history, handles of types and operations where a reduction names them, lengths in bytes.
// Datatypes and MPI_IN_PLACE, which ranks may each choose for themselves, do not count, nor do
// addresses.
//
// Non-blocking stays non-blocking, though nothing moves while a rank computes: what is in flight is
// pushed along by every call of MPI that waits or tests - for requests, for messages, in
// collectives. So ranks meet before each blocking collective that is passed on (in_flight.hpp).
// What waits without pushing: MPI_Buffer_detach, MPI_Comm_create_group, the far side of
// MPI_Intercomm_create, one-sided synchronisation, MPI-IO, calls with MPI_Count (those of MPI-4),
// and collectives with ranks of another MPI_COMM_WORLD. A program in which one rank has an
// MPI_Iallreduce in flight during one of these while another waits for it can hang.
//
// Fortran: the bindings of MPICH call the functions of C, so they come here like C's, and are
// served where their handles are in the table. Those of Open MPI call PMPI, so all their calls
// pass; there a program must not wait in Fortran for what C has started.
//
//   interpose.cpp   this; MPI_Init, MPI_Init_thread, MPI_Finalize
//   served_*.cpp    the calls that tutti serves
//   passed.cpp      blocking collectives that are passed on
//   waits.cpp       MPI_Wait, MPI_Test and their kin
//   messages.cpp    blocking point-to-point calls
//   twin            the tutti communicator of each communicator
//   in_flight       MPI_Iallreduce on its way
//   reductions, layouts, calls, process
#include "process.hpp"

#include <cstdio>
#include <cstdlib>
#include <string_view>

namespace interpose {

process* running = nullptr;

namespace {

enum class wish { serve, report, off };

wish wished(int rank) {
  const char* value = std::getenv("TUTTI_INTERPOSE");
  const std::string_view text = value ? value : "";
  if (text == "off") return wish::off;
  if (text == "report") return wish::report;
  if (!text.empty() && rank == 0)
    std::fprintf(stderr,
                 "tutti interposer: TUTTI_INTERPOSE=%s is ignored - say off, report, or nothing\n",
                 value);
  return wish::serve;
}

/// Collective. Off on one rank is off on all.
void begin() {
  int rank = 0, level = MPI_THREAD_SINGLE;
  PMPI_Comm_rank(MPI_COMM_WORLD, &rank);
  const wish here = wished(rank);
  int on = here != wish::off;
  PMPI_Allreduce(MPI_IN_PLACE, &on, 1, MPI_INT, MPI_MIN, MPI_COMM_WORLD);
  if (!on) return;
  PMPI_Query_thread(&level);
  running = new process;
  running->at_once = level == MPI_THREAD_MULTIPLE;
  running->reports = here == wish::report && rank == 0;
  running->attribute = twin_attribute();
  PMPI_Comm_dup(MPI_COMM_SELF, &running->quiet);
  twin_of(MPI_COMM_WORLD);
}

/// Collective. What the program has left in flight is completed first.
void end() {
  wait_until([] {
    const auto held = running->hold();
    return running->in_flight.empty();
  });
  meet(MPI_COMM_WORLD);
  if (running->reports) running->calls.print();
  PMPI_Comm_free(&running->quiet);
  const auto all = std::move(running->twins);
  for (const auto& t : all)
    if (!t->freed) PMPI_Comm_delete_attr(t->users, running->attribute);
  PMPI_Comm_free_keyval(&running->attribute);
  delete std::exchange(running, nullptr);
}

} // namespace
} // namespace interpose

extern "C" {

int MPI_Init(int* argc, char*** argv) {
  const int code = PMPI_Init(argc, argv);
  if (code == MPI_SUCCESS) interpose::begin();
  return code;
}

int MPI_Init_thread(int* argc, char*** argv, int wanted, int* given) {
  const int code = PMPI_Init_thread(argc, argv, wanted, given);
  if (code == MPI_SUCCESS) interpose::begin();
  return code;
}

int MPI_Finalize() {
  if (interpose::running) interpose::end();
  return PMPI_Finalize();
}

} // extern "C"
