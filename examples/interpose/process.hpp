// What there is once in a process: the interposer between MPI_Init and MPI_Finalize.
#pragma once

#include "calls.hpp"
#include "in_flight.hpp"
#include "itself.hpp"
#include "twin.hpp"

#include <cstdint>
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
  int attribute = MPI_KEYVAL_INVALID;        ///< under which a communicator keeps its twin
  MPI_Comm own = MPI_COMM_NULL;              ///< all ranks, for messages of the interposer's own
  std::atomic<int> in_the_making = 0;        ///< communicators, by MPI_Comm_idup
  std::atomic<bool> no_memory = false;       ///< there was none to share for a twin
  std::uintptr_t mpi_begin = 0, mpi_end = 0; ///< where MPI's own library lies
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

/// Whether a call is nothing but MPI's: asked by the function that the program calls, and inlined
/// there, as it looks at who has called it. MPI's own library, in which MPI-IO is built on the
/// names of MPI, may hold locks.
[[gnu::always_inline]] inline bool passes() noexcept {
  if (!running || inside::tutti()) return true;
  const auto caller = reinterpret_cast<std::uintptr_t>(__builtin_return_address(0));
  return running->mpi_begin <= caller && caller < running->mpi_end;
}

/// Whether waiting has to be polling. Where threads call at the same time, another one may start
/// something while this one waits.
inline bool busy() noexcept {
  return running->at_once || !running->in_flight.empty();
}

} // namespace interpose
