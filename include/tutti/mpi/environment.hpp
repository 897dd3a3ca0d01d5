// environment: MPI is initialised where it begins and finalised where it ends.
#pragma once

#include <tutti/core/exact_arithmetic.hpp>
#include <tutti/mpi/native.hpp>

#include <cstdio>
#include <exception>

namespace tutti::mpi {

/// Which threads of a rank call MPI, a communicator belonging to one of them at a time.
enum class threading {
  one = MPI_THREAD_FUNNELED,       ///< the thread that made the environment
  in_turn = MPI_THREAD_SERIALIZED, ///< any, never two at once
  at_once = MPI_THREAD_MULTIPLE    ///< any, several communicators at the same time; costs locks
};

/// `tutti::mpi::environment env{argc, argv};` first in main, on every rank.
/// Where somebody else has initialised MPI, only the thread level is checked and nothing finalised.
/// Errors: unsupported when MPI gives fewer threads than asked for, or was finalised before;
/// unsafe_build. While an exception is under way, the destructor waits a bounded time for the other
/// ranks and then ends the job with MPI_Abort; otherwise it waits for them, as MPI_Finalize does.
class environment {
public:
  environment(int& argc, char**& argv, threading wanted = threading::in_turn)
      : unwinding_{std::uncaught_exceptions()} {
    tutti::detail::require_exact_arithmetic();
    int begun = 0, ended = 0, given = 0;
    detail::check(MPI_Initialized(&begun), "MPI_Initialized");
    detail::check(MPI_Finalized(&ended), "MPI_Finalized");
    if (ended) refuse("MPI was finalised before and cannot be initialised twice");
    if (begun) detail::check(MPI_Query_thread(&given), "MPI_Query_thread");
    else detail::check(MPI_Init_thread(&argc, &argv, int(wanted), &given), "MPI_Init_thread");
    if (given < int(wanted)) {
      if (!begun) MPI_Finalize();
      refuse("this MPI does not give the thread level that was asked for");
    }
    if (!begun) own();
  }
  environment(const environment&) = delete;
  environment& operator=(const environment&) = delete;

  ~environment() {
    if (!owned_ || !detail::is_running()) return;
    const bool failing = std::uncaught_exceptions() > unwinding_;
    const deadline until = clock::now() + detail::farewell;
    const bool met = detail::meet(closing_, [&]() -> std::optional<deadline> {
      if (failing) return until;
      return std::nullopt;
    });
    if (!met) {
      std::fputs("tutti: the other ranks did not end in time - the job is aborted\n", stderr);
      MPI_Abort(MPI_COMM_WORLD, 1);
    }
    MPI_Comm_free(&closing_);
    MPI_Finalize();
  }

private:
  [[noreturn]] static void refuse(const char* why) {
    throw error{{.code = error_code::unsupported, .call = "environment", .detail = why}};
  }

  void own() {
    owned_ = true;
    detail::check(MPI_Comm_dup(MPI_COMM_WORLD, &closing_), "MPI_Comm_dup");
    detail::check(MPI_Comm_set_errhandler(closing_, MPI_ERRORS_RETURN), "MPI_Comm_set_errhandler");
  }

  int unwinding_;
  bool owned_ = false;
  MPI_Comm closing_ = MPI_COMM_NULL;
};

} // namespace tutti::mpi
