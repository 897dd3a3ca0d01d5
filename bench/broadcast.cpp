// broadcast of floats on two pinned ranks, 8 bytes to 128 MiB, against everyone.
#include "collectives/compare.hpp"

int main(int argc, char** argv) {
  bench::report report("broadcast", argc, argv);
  const bench::comparison all("broadcast", "bcast", 9);
  all.add_rows(report);
  all.plot(report.json_file());
  report.at_least("geometric mean over symmetric", all.mean("symmetric"), 1.5);
  return report.finish();
}
