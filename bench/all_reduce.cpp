// all_reduce of float sums on two pinned ranks, 8 bytes to 128 MiB, against everyone.
#include "collectives/compare.hpp"

int main(int argc, char** argv) {
  bench::report report("all_reduce", argc, argv);
  const bench::comparison all("all_reduce", "allreduce", 6);
  all.add_rows(report);
  all.plot(report.json_file());
  for (const char* what : {"handover", "exchange"})
    report.machine(std::string{what} + "_us", all.us(what, 8));

  constexpr std::size_t kib = 1024, mib = kib * kib;
  struct band {
    const char* name;
    std::size_t from, to;
    double symmetric, by_itself;
  };
  for (const band& b :
       {band{"up to 2 KiB", 0, 2 * kib, 1.4, 1.2}, band{"8 to 512 KiB", 8 * kib, 512 * kib, 3, 1.8},
        band{"2 to 8 MiB", 2 * mib, 8 * mib, 1.4, .97},
        band{"from 32 MiB", 32 * mib, 128 * mib, 3, 2}}) {
    const std::string name = b.name;
    report.at_least(name + ": best of MPI over symmetric", all.least("symmetric", b.from, b.to),
                    b.symmetric);
    report.at_least(name + ": best of MPI over private", all.least("private", b.from, b.to),
                    b.by_itself);
  }
  report.at_least("geometric mean over symmetric", all.mean("symmetric"), 3);
  report.at_least("geometric mean over private", all.mean("private"), 2);
  report.at_most("8 bytes: symmetric over one hand-over of a line",
                 1 / all.ratio("handover", "symmetric", 8), 1.3);
  for (const std::size_t bytes : {32 * mib, 128 * mib})
    report.at_least(std::to_string(bytes / mib) + " MiB: floor over symmetric",
                    all.ratio("floor", "symmetric", bytes), .9);
  for (const char* side : {"symmetric", "private"}) {
    std::vector<double> times;
    for (const std::size_t b : all.sizes()) times.push_back(all.ratio("gloo", side, b));
    report.at_least(std::string("Gloo over ") + side, bench::least(times), side[0] == 's' ? 10 : 5);
  }
  return report.finish();
}
