// Starting a program on several ranks: threads of this process, or processes under mpiexec.
#pragma once

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include <unistd.h>

#if !defined(TUTTI_MPIEXEC)
#define TUTTI_MPIEXEC "mpiexec"
#endif

namespace support {

/// More ranks than this only fight over the machine.
inline int most_ranks() {
  return 16 * std::max(1, static_cast<int>(std::thread::hardware_concurrency()));
}

/// Throws unless `ranks` is a number of ranks that this machine can be asked for.
inline void check_ranks(int ranks) {
  if (ranks < 1 || ranks > most_ranks())
    throw std::runtime_error("--ranks " + std::to_string(ranks) + ": give 1 to " +
                             std::to_string(most_ranks()) + " on this machine");
}

/// Whether an MPI launcher has started this process.
inline bool under_mpiexec() {
  for (const char* name : {"OMPI_COMM_WORLD_SIZE", "PMI_SIZE", "PMI_RANK", "PMIX_RANK"})
    if (std::getenv(name) != nullptr) return true;
  return false;
}

/// Replaces this process by `ranks` of it under mpiexec. Returns only by an exception.
[[noreturn]] inline void become_ranks(int ranks, int argc, char** argv) {
  setenv("OMPI_MCA_rmaps_base_oversubscribe", "1", 0);
  if (geteuid() == 0) { // Open MPI refuses root without being told twice
    setenv("OMPI_ALLOW_RUN_AS_ROOT", "1", 0);
    setenv("OMPI_ALLOW_RUN_AS_ROOT_CONFIRM", "1", 0);
  }
  const std::string count = std::to_string(ranks);
  std::vector<const char*> words{TUTTI_MPIEXEC, "-n", count.c_str()};
  words.insert(words.end(), argv, argv + argc);
  words.push_back(nullptr);
  std::fflush(nullptr);
  execvp(words[0], const_cast<char* const*>(words.data()));
  throw std::runtime_error(std::string("cannot start ") + TUTTI_MPIEXEC + ": " +
                           std::strerror(errno) +
                           " - install Open MPI or MPICH, or use --transport threads");
}

} // namespace support
