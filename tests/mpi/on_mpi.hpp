// Runs a test's body, body(communicator, report), on the ranks of this job, each time on a
// communicator of its own. All ranks agree on the verdict, so they assert the same and go on
// together.
#pragma once

#include "communicators/report.hpp"

#include <boost/test/unit_test.hpp>

#include <tutti/mpi/communicator.hpp>

#include <exception>
#include <string>
#include <string_view>

/// The watchdog of mpi/main.cpp hears what is going on.
void going_on(std::string_view what);

/// These limits, with what the command line says of them.
tutti::mpi::limits of_this_run(tutti::mpi::limits asked);

/// Whether all ranks passed; prints what this one found.
bool agreed(const report& mine);

/// Whether a communicator may have a progress thread here: MPI lets threads call it at the same time.
inline bool may_have_threads() {
  int level = MPI_THREAD_SINGLE;
  MPI_Query_thread(&level);
  return level == MPI_THREAD_MULTIPLE;
}

template <class Body>
void on_mpi(std::string_view name, Body&& body, tutti::mpi::limits limits = {}) {
  report mine;
  going_on(name);
  try {
    auto world = tutti::mpi::world(of_this_run(limits));
    body(world, mine);
  } catch (const std::exception& e) {
    mine.check(false, std::string{"threw "} + e.what());
  }
  BOOST_CHECK_MESSAGE(agreed(mine), name << " failed on some rank, see above");
}
