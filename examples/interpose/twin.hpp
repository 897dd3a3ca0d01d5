// The twin of a communicator of the program's: the tutti communicator that its calls are served on.
#pragma once

#include <tutti/mpi/communicator.hpp>

#include <atomic>
#include <cstddef>
#include <memory>
#include <optional>
#include <vector>

namespace interpose {

/// What is known of one communicator, kept as an attribute of it.
struct twin : std::enable_shared_from_this<twin> {
  twin() = default;
  twin(const twin&) = delete;
  twin& operator=(const twin&) = delete;
  ~twin();

  /// Memory for one blocking call, kept: there is never more than one on a communicator.
  std::byte* scratch(std::size_t bytes) {
    if (bytes > scratch_bytes_) {
      scratch_bytes_ = 0;
      scratch_ = std::make_unique_for_overwrite<std::byte[]>(bytes);
      scratch_bytes_ = bytes;
    }
    return scratch_.get();
  }

  MPI_Comm users = MPI_COMM_NULL;
  /// All of its ranks are in MPI_COMM_WORLD, so all run under the interposer. Those of a job that
  /// was spawned or connected need not.
  bool within = false;
  bool may_be_served = false;   ///< one group, of several ranks, all within
  std::vector<int> ranks;       ///< of MPI_COMM_WORLD, of both groups, in ascending order
  bool makes_meanwhile = false; ///< MPI_Comm_idup has been called on it
  int uses = 0;                 ///< calls that would have been served
  bool tried = false;           ///< whether its ranks have tried to make comm
  std::optional<tutti::mpi::communicator> comm;
  std::atomic<bool> freed = false; ///< by the program; what is in flight goes on

private:
  std::unique_ptr<std::byte[]> scratch_;
  std::size_t scratch_bytes_ = 0;
};

/// What is known of a communicator; null for what is none.
twin* known(MPI_Comm users);

/// What fails on this communicator is returned while one lives, whatever the program has said.
class errors_returned {
public:
  explicit errors_returned(MPI_Comm comm) : comm_{comm} {
    PMPI_Comm_get_errhandler(comm_, &kept_);
    PMPI_Comm_set_errhandler(comm_, MPI_ERRORS_RETURN);
  }
  errors_returned(const errors_returned&) = delete;
  errors_returned& operator=(const errors_returned&) = delete;
  ~errors_returned() {
    PMPI_Comm_set_errhandler(comm_, kept_);
    PMPI_Errhandler_free(&kept_);
  }

private:
  MPI_Comm comm_;
  MPI_Errhandler kept_ = MPI_ERRHANDLER_NULL;
};

/// While one lives, this thread is in the call that ends a communicator. What the delete functions
/// of the program's attributes do on it then is MPI's alone, on all ranks: its twin may be gone.
class going {
public:
  explicit going(MPI_Comm comm) noexcept : comm_{comm}, around_{now_} { now_ = this; }
  going(const going&) = delete;
  going& operator=(const going&) = delete;
  ~going() { now_ = around_; }

  static bool is(MPI_Comm comm) noexcept {
    for (const going* g = now_; g; g = g->around_)
      if (g->comm_ == comm) return true;
    return false;
  }

private:
  MPI_Comm comm_;
  const going* around_;
  static inline thread_local const going* now_ = nullptr;
};

/// The twin that a communicator has, if it has one to serve on. Equal on all of its ranks, as twins
/// are made in blocking calls, which come in the same order everywhere.
twin* find_twin(MPI_Comm users);

/// From this use on a communicator is served: to make a twin costs as much as some hundred small
/// calls, and many communicators are freed before that.
inline constexpr int served_from = 64;

/// The same, made when it is worth it. Collective over `users`; null on all ranks where calls on it
/// are passed on: between groups, with one rank, where a rank has no room for another twin, and
/// while an MPI_Comm_idup is under way on a rank, as Open MPI then hangs over two at a time.
twin* twin_of(MPI_Comm users);
/// Without waiting for its use.
twin* serve_at_once(MPI_Comm users);

/// Ends the twins of communicators that the program has freed, but for those still in use.
void bury_twins();

/// The key under which they are kept, made once.
int twin_attribute();

} // namespace interpose
