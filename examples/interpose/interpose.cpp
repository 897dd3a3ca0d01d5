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
// All names of a call lead here: MPI_X and PMPI_X, those of Fortran, which lead to either, and
// those that count in MPI_Count. Jobs in which a rank does not carry the interposer are noticed in
// MPI_Init, and are MPI's alone; so are spawned jobs where the launcher does not tell jobs apart
// (MPICH's). Where the launcher keeps no names (MPI_Publish_name), ranks are taken to carry it.
//
// A communicator is served once it has been used often enough to be worth it, MPI_COMM_WORLD at
// once: to make what serves it costs as much as some hundred small calls (twin.hpp).
//
// Which calls are served depends only on what is the same on all ranks: the communicator and its
// history, handles of types and operations where a reduction names them, lengths in bytes.
// Datatypes and MPI_IN_PLACE, which ranks may each choose for themselves, do not count, nor do
// addresses.
//
// Non-blocking stays non-blocking, though nothing moves while a rank computes: what is in flight is
// pushed along by every call of MPI that waits or tests - for requests, for messages, in
// collectives. So ranks meet before each blocking collective that is passed on (in_flight.hpp).
// What MPI_Comm_idup has begun on a communicator is completed before another is made of the same.
// What waits without pushing: MPI_Buffer_detach, MPI_Comm_create_group, the far side of
// MPI_Intercomm_create, one-sided synchronisation, MPI-IO, calls with MPI_Count (those of MPI-4)
// other than of what is served, and collectives with ranks of another MPI_COMM_WORLD. A program in
// which one rank has an MPI_Iallreduce in flight during one of these while another waits for it can
// hang.
//
// Fortran's calls are served where their handles are in the table.
//
//   interpose.cpp   this; MPI_Init, MPI_Init_thread, MPI_Finalize
//   served_*.cpp    the calls that tutti serves
//   passed.cpp      blocking collectives that are passed on
//   waits.cpp       MPI_Wait, MPI_Test and their kin
//   messages.cpp    blocking point-to-point calls
//   twin            the tutti communicator of each communicator
//   in_flight       MPI_Iallreduce on its way
//   counts.cpp      the calls that count in MPI_Count
//   everywhere      whether all ranks carry it
//   itself          MPI's own functions
//   reductions, layouts, calls, roomy, process
#include "everywhere.hpp"
#include "process.hpp"

#include <link.h>

#include <algorithm>
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

#ifdef OPEN_MPI
constexpr const char *its_mpi = "Open MPI", *other_mpi = "MPICH";
#else
constexpr const char *its_mpi = "MPICH", *other_mpi = "Open MPI";
#endif

/// Handles of one MPI mean nothing to another, nor are they of one length, so calls could not even
/// be passed on. (Who is neither of the two has MPICH's.)
void require_its_mpi() {
  char text[8192] = {}; // as long as MPICH's may be
  int length = 0;
  int (*const version)(char*, int*) = next_of{"PMPI_Get_library_version"};
  if (!version || version(text, &length) != MPI_SUCCESS) return;
  const bool is_open_mpi = std::string_view{text}.starts_with("Open MPI");
  if (is_open_mpi == (its_mpi == std::string_view{"Open MPI"})) return;
  std::fprintf(stderr,
               "tutti interposer: it was built for %s, and this program runs with %s - preload the "
               "one that was built for that\n",
               its_mpi, other_mpi);
  std::exit(1);
}

/// The part of the process that MPI's own library takes up, which defines MPI_Init.
void find_mpi(process& in) {
  Dl_info mpis = {};
  if (dladdr(reinterpret_cast<void*>(mpi().Init), &mpis) == 0) return;
  in.mpi_begin = in.mpi_end = reinterpret_cast<std::uintptr_t>(mpis.dli_fbase);
  dl_iterate_phdr(
      [](dl_phdr_info* library, std::size_t, void* data) {
        process& found = *static_cast<process*>(data);
        for (int k = 0; k < library->dlpi_phnum; ++k) {
          const auto& part = library->dlpi_phdr[k];
          if (part.p_type == PT_LOAD && library->dlpi_addr == found.mpi_begin)
            found.mpi_end =
                std::max(found.mpi_end, library->dlpi_addr + part.p_vaddr + part.p_memsz);
        }
        return 0;
      },
      &in);
}

/// Collective over the ranks that carry the interposer.
void start_up() {
  int rank = 0, level = MPI_THREAD_SINGLE;
  PMPI_Comm_rank(MPI_COMM_WORLD, &rank);
  const wish here = wished(rank);
  if (!everyone_takes_part(here != wish::off)) return;
  PMPI_Query_thread(&level);
  running = new process;
  find_mpi(*running);
  running->at_once = level == MPI_THREAD_MULTIPLE;
  running->reports = here == wish::report && rank == 0;
  running->attribute = twin_attribute();
  mpi().Comm_split(MPI_COMM_WORLD, 0, rank, &running->own);
  serve_at_once(MPI_COMM_WORLD);
}

/// Collective. What the program has left in flight is completed first.
void wind_up() {
  wait_until([] {
    const auto held = running->hold();
    return running->in_flight.empty();
  });
  meet(MPI_COMM_WORLD);
  if (running->reports) running->calls.print();
  mpi().Comm_free(&running->own);
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
  interpose::require_its_mpi();
  const int code = interpose::mpi().Init(argc, argv);
  if (code == MPI_SUCCESS) interpose::start_up();
  return code;
}

int MPI_Init_thread(int* argc, char*** argv, int wanted, int* given) {
  interpose::require_its_mpi();
  const int code = interpose::mpi().Init_thread(argc, argv, wanted, given);
  if (code == MPI_SUCCESS) interpose::start_up();
  return code;
}

int MPI_Finalize() {
  if (interpose::running) interpose::wind_up();
  return interpose::mpi().Finalize();
}

} // extern "C"
