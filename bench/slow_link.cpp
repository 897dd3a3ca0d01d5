// all_reduce between two nodes of two ranks each, with a cable of 1 Gbit/s and of 100 Mbit/s
// between them: tutti's hierarchy, in segments of 128 KiB and as a whole, against Open MPI's own choice
// and each of its algorithms.
#include "interleaved.hpp"
#include "network/cable.hpp"

#include <algorithm>

namespace {

void compare(bench::report& report, const std::string& rate, double bits_per_second, bool claims,
             int most_kib) {
  const bench::cable connected{rate};
  const std::string rank =
      std::string(TUTTI_SCRATCH_DIR) + "/bench_slow_link_rank " + std::to_string(most_kib) + " ";
  std::vector<bench::job> jobs{
      {"open_mpi", bench::two_nodes + "run 2 " + rank + "crossing hierarchical whole native"}};
  for (int k = 1; k <= 6; ++k)
    jobs.push_back({"open_mpi_" + std::to_string(k),
                    bench::two_nodes +
                        "run 2 --mca coll_tuned_use_dynamic_rules 1 --mca "
                        "coll_tuned_allreduce_algorithm " +
                        std::to_string(k) + " " + rank + "native",
                    true});
  const bench::interleaved all("slow_link, " + rate, jobs, 3);

  for (const std::size_t bytes : all.sizes("hierarchical")) {
    bench::json peers;
    std::string best = "open_mpi";
    for (const std::string& side : all.sides()) {
      if (!side.starts_with("open_mpi")) continue;
      peers[side] = all.number(side, bytes);
      if (all.number(side, bytes) < all.number(best, bytes)) best = side;
    }
    const double line_us = double(bytes) * 8 / bits_per_second * 1e6;
    report.row({{"link", rate},
                {"bytes", bytes},
                {"hierarchical_us", all.number("hierarchical", bytes)},
                {"whole_us", all.number("whole", bytes)},
                {"N/bandwidth_us", line_us},
                {"crossing_bytes", all.number("crossing", bytes)},
                {"best_peer", best},
                {"best_us", all.number(best, bytes)},
                {"over_best", all.ratio("hierarchical", best, bytes)},
                {"peers", peers}});
    if (!claims) continue;
    const std::string at = rate + ", " + std::to_string(bytes / 1024) + " KiB: ";
    report.equal(at + "bytes across the link over N", all.number("crossing", bytes) / double(bytes),
                 1);
    if (bytes < std::size_t{16} << 20) continue;
    report.at_most(at + "hierarchical over N/bandwidth",
                   all.number("hierarchical", bytes) / line_us, 1.05);
    report.at_most(at + "hierarchical over Open MPI's own choice",
                   all.ratio("hierarchical", "open_mpi", bytes), .6);
    report.at_most(at + "hierarchical over the best of Open MPI",
                   all.ratio("hierarchical", best, bytes), 1.0);
  }
}

} // namespace

int main(int argc, char** argv) {
  bench::report report("slow_link", argc, argv);
  compare(report, "1gbit", 1e9, true, 65536);
  compare(report, "100mbit", 1e8, false, 4096);
  return report.finish();
}
