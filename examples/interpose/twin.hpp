// The twin of a communicator of the program's: the tutti communicator that its calls are served on.
#pragma once

#include <tutti/mpi/communicator.hpp>

#include <atomic>
#include <cstddef>
#include <memory>
#include <optional>

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
  bool may_be_served = false; ///< one group, of several ranks, all within
  bool tried = false;         ///< whether its ranks have tried to make comm
  std::optional<tutti::mpi::communicator> comm;
  std::atomic<bool> freed = false; ///< by the program; what is in flight goes on

private:
  std::unique_ptr<std::byte[]> scratch_;
  std::size_t scratch_bytes_ = 0;
};

/// What is known of a communicator; null for what is none.
twin* known(MPI_Comm users);

/// The twin that a communicator has, if it has one to serve on. Equal on all of its ranks, as twins
/// are made in blocking calls, which come in the same order everywhere.
twin* find_twin(MPI_Comm users);

/// The same, made if need be. Collective over `users`; null on all ranks where calls on it are
/// passed on: between groups, with one rank, and where a rank has no room for another twin.
twin* twin_of(MPI_Comm users);

/// Ends the twins of communicators that the program has freed, but for those still in use.
void bury_twins();

/// The key under which they are kept, made once.
int twin_attribute();

} // namespace interpose
