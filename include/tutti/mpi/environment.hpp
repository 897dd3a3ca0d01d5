// environment: MPI is initialised where it begins and finalised where it ends.
#pragma once

#include <tutti/core/exact_arithmetic.hpp>
#include <tutti/core/process.hpp>
#include <tutti/mpi/native.hpp>

#include <cstdio>
#include <exception>
#include <string>
#include <utility>

namespace tutti::mpi {

/// Which threads of a rank call MPI, a communicator belonging to one of them at a time.
enum class threading {
  one = MPI_THREAD_FUNNELED,       ///< the thread that made the environment
  in_turn = MPI_THREAD_SERIALIZED, ///< any, never two at once
  at_once = MPI_THREAD_MULTIPLE    ///< any, several communicators at the same time; costs locks
};

/// `tutti::mpi::environment env{argc, argv};` first in main, on every rank: `in_turn`, or what MPI gives.
/// Where somebody else has initialised MPI, what they asked for holds, and nothing is finalised: below
/// MPI_THREAD_SERIALIZED it is the thread that has initialised MPI that makes all calls.
/// Errors: unsupported when MPI gives fewer threads than a third argument asks for, when this thread may not
/// call it, or when it was finalised before; unsafe_build. While an exception is under way, the destructor waits a bounded time for the other
/// ranks and then ends the job with MPI_Abort; otherwise it waits for them, as MPI_Finalize does.
class environment {
public:
  environment(int& argc, char**& argv) : environment{argc, argv, MPI_THREAD_SERIALIZED, 0} {}
  environment(int& argc, char**& argv, threading wanted)
      : environment{argc, argv, int(wanted), int(wanted)} {}
  environment(const environment&) = delete;
  environment& operator=(const environment&) = delete;

  ~environment() {
    if (!owned_ || !process_.is_this() || !detail::is_running()) return;
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
  environment(int& argc, char**& argv, int wanted, int least)
      : unwinding_{std::uncaught_exceptions()} {
    tutti::detail::require_exact_arithmetic();
    int begun = 0, ended = 0, given = 0;
    detail::check(MPI_Initialized(&begun), "MPI_Initialized");
    detail::check(MPI_Finalized(&ended), "MPI_Finalized");
    if (ended) refuse("MPI was finalised before and cannot be initialised twice - keep one environment "
                      "for as long as MPI is needed");
    if (begun) {
      join(least);
      return;
    }
    detail::check(MPI_Init_thread(&argc, &argv, wanted, &given), "MPI_Init_thread");
    if (given < least) {
      MPI_Finalize();
      refuse("this MPI gives " + detail::name_of_level(given) + " where " +
             detail::name_of_level(wanted) + " is asked for - ask for less, or for an MPI that was "
             "built with threads");
    }
    own();
  }

  /// Somebody else's MPI. That one thread makes all calls is what MPI_THREAD_SINGLE is enough for.
  static void join(int least) {
    int level = MPI_THREAD_SINGLE, begun_here = 0;
    detail::check(MPI_Query_thread(&level), "MPI_Query_thread");
    detail::check(MPI_Is_thread_main(&begun_here), "MPI_Is_thread_main");
    const std::string is_there = "MPI was initialised before, with " + detail::name_of_level(level);
    if (least > MPI_THREAD_FUNNELED && level < least)
      refuse(is_there + ", and what is asked for here needs " + detail::name_of_level(least) +
             " - write MPI_Init_thread(&argc, &argv, " + detail::name_of_level(least) +
             ", &provided) there, or tutti::mpi::environment env{argc, argv}; here, and call MPI from "
             "that thread alone");
    if (level < MPI_THREAD_SERIALIZED && !begun_here)
      refuse(is_there + ", by another thread than this one, which may then not call it - write "
                        "MPI_Init_thread(&argc, &argv, MPI_THREAD_SERIALIZED, &provided) there");
  }

  [[noreturn]] static void refuse(std::string why) {
    throw error{{.code = error_code::unsupported, .call = "environment", .detail = std::move(why)}};
  }

  void own() {
    owned_ = true;
    detail::check(MPI_Comm_dup(MPI_COMM_WORLD, &closing_), "MPI_Comm_dup");
    detail::check(MPI_Comm_set_errhandler(closing_, MPI_ERRORS_RETURN), "MPI_Comm_set_errhandler");
  }

  int unwinding_;
  bool owned_ = false;
  tutti::detail::process process_; ///< its children have not begun MPI
  MPI_Comm closing_ = MPI_COMM_NULL;
};

} // namespace tutti::mpi
