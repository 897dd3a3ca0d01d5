// all_gather of floats on two pinned ranks, 8 bytes to 128 MiB, against everyone.
#include "collectives/compare.hpp"

int main(int argc, char** argv) {
  bench::report report("all_gather", argc, argv);
  const bench::comparison all("all_gather", "allgather", 6);
  all.add_rows(report);
  all.plot(report.json_file());
  report.at_least("geometric mean over symmetric", all.mean("symmetric"), 2);
  return report.finish();
}
