// What of an all_reduce hides behind a computation as long as itself: two ranks, one thread each
// that computes, and a cable of 1 Gbit/s between them. 1 is all of it, 0 nothing. Beside it, threads
// that wait in plain sockets moving as many bytes: the core that computes also runs the system's TCP.
#include "interleaved.hpp"
#include "network/cable.hpp"

#include <algorithm>

int main(int argc, char** argv) {
  bench::report report("overlap", argc, argv);
  const bench::cable connected{"1gbit"};
  const bench::interleaved all(
      "overlap", {{"", bench::two_nodes + "run 1 " + TUTTI_SCRATCH_DIR + "/bench_overlap_rank"}},
      5);
  for (const std::size_t bytes : all.sizes("comm")) {
    const double comm = all.number("comm", bytes), comp = all.number("comp", bytes);
    const auto hidden = [&](const char* side) {
      return (comm + comp - all.number(side, bytes)) / std::min(comm, comp);
    };
    report.row({{"bytes", bytes},
                {"comm_us", comm},
                {"comp_us", comp},
                {"thread_us", all.number("thread", bytes)},
                {"polled_us", all.number("polled", bytes)},
                {"silent_us", all.number("silent", bytes)},
                {"mpi_us", all.number("native", bytes)},
                {"sockets_us", all.number("sockets", bytes)},
                {"thread", hidden("thread")},
                {"polled", hidden("polled")},
                {"silent", hidden("silent")},
                {"mpi", hidden("native")},
                {"sockets", hidden("sockets")}});
    report.at_least(std::to_string(bytes >> 20) + " MiB, with a progress thread: share hidden",
                    hidden("thread"), .85);
  }
  return report.finish();
}
