// How good the choice of an algorithm is: for all_reduce on two pinned ranks of one node and on two
// nodes of two ranks, what was chosen over the best there is at that size. 0 % is the best choice.
// Open MPI's own choice among its algorithms, on the same grid, beside it.
#include "interleaved.hpp"
#include "network/cable.hpp"

#include <cmath>

namespace {

/// What the sides that begin with `prefix` have in common: the best of them at each size.
double best_of(const bench::interleaved& all, const std::string& prefix, std::size_t bytes) {
  double best = INFINITY;
  for (const std::string& side : all.sides())
    if (side.starts_with(prefix)) best = std::min(best, all.number(side, bytes));
  return best;
}

struct regrets {
  std::vector<double> all;

  void add(double chosen, double best) { all.push_back(std::max(chosen / best - 1, 0.0)); }
  double mean() const {
    double sum = 0;
    for (const double r : all) sum += r;
    return sum / double(all.size());
  }
  double largest() const { return *std::max_element(all.begin(), all.end()); }
};

void compare(bench::report& report, const std::string& where, const std::string& start,
             regrets& ours, regrets& theirs) {
  const std::string rank = std::string(TUTTI_SCRATCH_DIR) + "/bench_selection_rank ";
  std::vector<bench::job> jobs{{"mpi_chosen", start + rank + "tutti native"}};
  for (int k = 1; k <= 6; ++k)
    jobs.push_back({"mpi_" + std::to_string(k),
                    start +
                        "--mca coll_tuned_use_dynamic_rules 1 --mca "
                        "coll_tuned_allreduce_algorithm " +
                        std::to_string(k) + " " + rank + "native",
                    true});
  const bench::interleaved all("selection, " + where, jobs, 5);
  for (const std::size_t bytes : all.sizes("automatic")) {
    const double best = best_of(all, "on_", bytes), best_mpi = best_of(all, "mpi_", bytes);
    ours.add(all.number("automatic", bytes), std::min(best, all.number("automatic", bytes)));
    theirs.add(all.number("mpi_chosen", bytes), best_mpi);
    bench::json each;
    for (const std::string& side : all.sides())
      if (side.starts_with("on_")) each[side.substr(3)] = all.number(side, bytes);
    report.row({{"where", where},
                {"bytes", bytes},
                {"automatic_us", all.number("automatic", bytes)},
                {"best_us", best},
                {"regret_%", 100 * ours.all.back()},
                {"default_us", all.number("default", bytes)},
                {"mpi_us", all.number("mpi_chosen", bytes)},
                {"best_mpi_us", best_mpi},
                {"mpi_regret_%", 100 * theirs.all.back()},
                {"each", each}});
  }
}

} // namespace

int main(int argc, char** argv) {
  bench::report report("selection", argc, argv);
  regrets ours, theirs;
  compare(report, "one node", std::string(TUTTI_MPIEXEC) + " --bind-to core -n 2 ", ours, theirs);
  {
    const bench::cable connected{"1gbit"};
    compare(report, "two nodes, 1 Gbit/s", bench::two_nodes + "run 2 ", ours, theirs);
  }
  report.at_most("mean regret, %", 100 * ours.mean(), 5);
  report.at_most("largest regret, %", 100 * ours.largest(), 20);
  report.row({{"where", "mean of all"},
              {"regret_%", 100 * ours.mean()},
              {"mpi_regret_%", 100 * theirs.mean()}});
  report.row({{"where", "largest of all"},
              {"regret_%", 100 * ours.largest()},
              {"mpi_regret_%", 100 * theirs.largest()}});
  return report.finish();
}
