// mpi::run: an MPI program that fails on all ranks when it fails on one, and never hangs.
#pragma once

#include <tutti/core/process.hpp>
#include <tutti/mpi/communicator.hpp>
#include <tutti/mpi/environment.hpp>

#include <cstdio>
#include <exception>
#include <string>
#include <type_traits>
#include <utility>

namespace tutti::mpi {

/// Runs program(communicator&) on every rank of the job; the counterpart of threads::run, for main:
///
///   int main(int argc, char** argv) {
///     return tutti::mpi::run(argc, argv, [](auto& world) { ... });
///   }
///
/// Returns what the program returns (0 when it returns nothing), and 1 when it throws: then the
/// error is printed once, and every other rank's calls fail with `peer_lost` naming this one, as
/// they do for those who still wait for a rank that has returned. Ranks end together; those that
/// have not ended 20 s after a failure are ended by MPI_Abort. A child that a rank has forked is no rank:
/// where it returns or throws to here, the child ends, and nobody else hears of it.
template <class Program> int run(int& argc, char**& argv, Program&& program) {
  const auto say = [](int rank, const char* what) {
    const std::string who = rank < 0 ? "" : "rank " + std::to_string(rank) + ": ";
    const std::string line = who + what + "\n";
    std::fputs(line.c_str(), stderr);
  };
  try {
    environment env{argc, argv};
    communicator world = mpi::world();
    int status = 0;
    const tutti::detail::process rank;
    const auto failed = [&](const char* what) {
      if (!rank.is_this()) tutti::detail::process::end_child(world.rank(), what, 1);
      status = 1;
      say(world.rank(), what);
      world.revoke({.code = error_code::peer_lost,
                    .rank = world.rank(),
                    .peer = world.rank(),
                    .detail = "rank " + std::to_string(world.rank()) + " left: " + what});
    };
    try {
      if constexpr (std::is_convertible_v<decltype(program(world)), int>) status = program(world);
      else program(world);
    } catch (const std::exception& e) {
      failed(e.what());
    } catch (...) {
      failed("an exception of unknown type");
    }
    if (!rank.is_this()) tutti::detail::process::end_child(world.rank(), nullptr, status);
    if (!world.leave()) {
      say(world.rank(), "the other ranks did not end in time - the job is aborted");
      MPI_Abort(MPI_COMM_WORLD, 1);
    }
    return status;
  } catch (const std::exception& e) {
    say(-1, e.what());
    return 1;
  }
}

} // namespace tutti::mpi
