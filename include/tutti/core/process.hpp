// Which process this is: a child that a rank forks has a copy of all that the rank has, and is no rank.
#pragma once

#include <cstdio>
#include <cstdlib>

#if __has_include(<unistd.h>)
#include <unistd.h>
#endif

namespace tutti::detail {

/// The process that this was made in. Its children have neither its other threads nor a place of their own
/// in a job: they may not call MPI, write to memory that ranks share, or join threads.
class process {
public:
  bool is_this() const noexcept { return id_ == current(); }

  /// In a child, for what its parent's rank would do at its end: says why, and leaves nothing to
  /// destructors and exit handlers, which know only of the parent.
  [[noreturn]] static void end_child(int rank, const char* why, int status) noexcept {
    if (why)
      std::fprintf(stderr, "rank %d, in a child process: %s - the child is ended\n", rank, why);
    std::fflush(stdout);
    std::_Exit(status);
  }

private:
  static long current() noexcept {
#if __has_include(<unistd.h>)
    return long(getpid());
#else
    return 0;
#endif
  }
  long id_ = current();
};

} // namespace tutti::detail
