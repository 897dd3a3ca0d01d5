// The one place that includes <mpi.h>, and the one function that reads its return codes.
#pragma once

#ifndef OMPI_SKIP_MPICXX
#define OMPI_SKIP_MPICXX 1 // the C++ bindings that MPI itself withdrew
#endif
#ifndef MPICH_SKIP_MPICXX
#define MPICH_SKIP_MPICXX 1
#endif
#include <mpi.h>

#include <tutti/core/error.hpp>
#include <tutti/core/options.hpp>

#include <sched.h>

#include <algorithm>
#include <optional>
#include <string>
#include <thread>

namespace tutti::mpi::detail {

inline std::string text_of(int code) {
  char text[MPI_MAX_ERROR_STRING] = {};
  int length = 0;
  if (MPI_Error_string(code, text, &length) != MPI_SUCCESS)
    return "MPI error " + std::to_string(code);
  std::string line{text, std::size_t(length)};
  std::replace(line.begin(), line.end(), '\n', ' ');
  return line;
}

[[noreturn]] inline void raise(int code, const char* function, int rank, int peer) {
  throw error{{.code = error_code::transport,
               .rank = rank,
               .peer = peer,
               .detail = std::string{function} + " failed",
               .native = detail::text_of(code)}};
}

/// Every return code of MPI goes through here. (MPICH 4.0 hands errors of MPI_Test and MPI_Testall
/// to the error handler of MPI_COMM_SELF, a user's, instead of the communicator's, so there they
/// end the job with MPI's own text.)
inline void check(int code, const char* function, int rank = -1, int peer = -1) {
  if (code != MPI_SUCCESS) [[unlikely]]
    detail::raise(code, function, rank, peer);
}

/// Between MPI_Init and MPI_Finalize, the only time in which MPI may be called.
inline bool is_running() noexcept {
  int begun = 0, ended = 0;
  MPI_Initialized(&begun);
  MPI_Finalized(&ended);
  return begun != 0 && ended == 0;
}

/// Of what MPI lets threads do.
inline std::string name_of_level(int level) {
  switch (level) {
  case MPI_THREAD_SINGLE: return "MPI_THREAD_SINGLE";
  case MPI_THREAD_FUNNELED: return "MPI_THREAD_FUNNELED";
  case MPI_THREAD_SERIALIZED: return "MPI_THREAD_SERIALIZED";
  case MPI_THREAD_MULTIPLE: return "MPI_THREAD_MULTIPLE";
  }
  return "thread level " + std::to_string(level);
}

/// Gives the core to others: at once for the first thousand times, then for a millisecond.
class patience {
public:
  void wait() {
    if (++turns_ < 1000) sched_yield();
    else std::this_thread::sleep_for(std::chrono::milliseconds{1});
  }

private:
  int turns_ = 0;
};

/// Returns true when all ranks of comm have called it, false when `bound()` names a time that has
/// passed. `bound` is asked again and again, and lets other things happen in the meantime.
template <class Bound> bool meet(MPI_Comm comm, Bound&& bound) {
  MPI_Request all = MPI_REQUEST_NULL;
  if (MPI_Ibarrier(comm, &all) != MPI_SUCCESS) return false;
  patience between;
  for (;;) {
    int here = 0;
    if (MPI_Test(&all, &here, MPI_STATUS_IGNORE) != MPI_SUCCESS) return false;
    if (here) return true;
    const std::optional<deadline> until = bound();
    if (until && clock::now() >= *until) return false;
    between.wait();
  }
}

/// How long ranks that know of a failure wait for the others before they end the job. This and whatever else
/// below mpi/ bounds by clock::now() is real time on purpose: it waits for processes, for their kernel and for
/// MPI itself, which no other clock moves on. Deadlines of calls are those of now_of(communicator).
inline constexpr std::chrono::seconds farewell{20};

} // namespace tutti::mpi::detail
