// The calls that are served, and how often each was.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <cstdio>

namespace interpose {

enum class call {
  allreduce,
  reduce,
  bcast,
  allgather,
  allgatherv,
  reduce_scatter,
  reduce_scatter_block,
  iallreduce,
  barrier
};

class tallies {
public:
  void served(call which) noexcept { count(of_[std::size_t(which)].served); }
  void passed(call which) noexcept { count(of_[std::size_t(which)].passed); }

  void print() const {
    for (std::size_t k = 0; k < calls; ++k)
      std::fprintf(stderr, "tutti interposer: %s: %llu served, %llu passed\n", names[k],
                   static_cast<unsigned long long>(of_[k].served.load()),
                   static_cast<unsigned long long>(of_[k].passed.load()));
  }

private:
  static constexpr const char* names[] = {"MPI_Allreduce",
                                          "MPI_Reduce",
                                          "MPI_Bcast",
                                          "MPI_Allgather",
                                          "MPI_Allgatherv",
                                          "MPI_Reduce_scatter",
                                          "MPI_Reduce_scatter_block",
                                          "MPI_Iallreduce",
                                          "MPI_Barrier"};
  static constexpr std::size_t calls = sizeof names / sizeof names[0];

  static void count(std::atomic<std::uint64_t>& n) noexcept {
    n.fetch_add(1, std::memory_order_relaxed);
  }

  struct tally {
    std::atomic<std::uint64_t> served{0}, passed{0};
  };
  tally of_[calls];
};

} // namespace interpose
