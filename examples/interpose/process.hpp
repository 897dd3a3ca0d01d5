// What there is once in a process: the interposer between MPI_Init and MPI_Finalize.
#pragma once

#include "calls.hpp"
#include "in_flight.hpp"
#include "twin.hpp"

#include <tutti/mpi/native.hpp>

#include <memory>
#include <mutex>
#include <vector>

namespace interpose {

/// While one lives, this thread is in tutti, whose own calls of MPI come through the same symbols
/// as the program's and go straight on.
class inside {
public:
  inside() noexcept { ++depth_; }
  inside(const inside&) = delete;
  inside& operator=(const inside&) = delete;
  ~inside() { --depth_; }

  static bool tutti() noexcept { return depth_ != 0; }

private:
  static inline thread_local int depth_ = 0;
};

struct process {
  bool at_once = false; ///< threads call MPI at the same time (MPI_THREAD_MULTIPLE)
  bool reports = false;
  int attribute = MPI_KEYVAL_INVALID; ///< under which a communicator keeps its twin
  MPI_Comm quiet = MPI_COMM_NULL;     ///< of this rank alone; no message is ever sent on it
  std::vector<std::shared_ptr<twin>> twins;
  std::vector<std::unique_ptr<pending>> in_flight;
  tallies calls;

  /// Held by whoever touches a twin or what is in flight, never while waiting. Costs nothing where
  /// one thread calls at a time.
  std::unique_lock<std::recursive_mutex> hold() {
    return at_once ? std::unique_lock{guard_} : std::unique_lock<std::recursive_mutex>{};
  }

private:
  std::recursive_mutex guard_;
};

/// Null before MPI_Init, after MPI_Finalize, and when switched off: then everything is passed on.
extern process* running;

/// Whether a call is nothing but MPI's.
inline bool passes() noexcept {
  return !running || inside::tutti();
}

/// Whether waiting has to be polling. Where threads call at the same time, another one may start
/// something while this one waits.
inline bool busy() noexcept {
  return running->at_once || !running->in_flight.empty();
}

} // namespace interpose
