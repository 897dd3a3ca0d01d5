// What a trainer adds to the all_reduce and the optimizer that it is made of: a step of 8.5 million floats in
// 12 tensors, on two ranks of a node, beside the same by hand; and what decorators of the communicator add.
#include "interleaved.hpp"

int main(int argc, char** argv) {
  bench::report report("step", argc, argv);
  const bench::interleaved all(
      "step", {{"", TUTTI_MPIEXEC " -n 2 " TUTTI_SCRATCH_DIR "/bench_step_rank"}}, 5);
  for (const std::string optimizer : {"sgd", "adamw"}) {
    const auto side = [&](const char* name) { return optimizer + "-" + name; };
    const std::size_t bytes = all.sizes(side("trainer")).front();
    const auto ratio = [&](const char* one, const char* other) {
      return all.ratio(side(one), side(other), bytes);
    };
    bench::json row{{"optimizer", optimizer}, {"bytes", bytes}};
    for (const char* name :
         {"by_hand", "trainer", "clipped", "sharded", "counted", "traced", "checked", "again"})
      row[std::string{name} + "_us"] = all.number(side(name), bytes);
    report.row(std::move(row));
    report.at_most(optimizer + ": trainer / all_reduce and optimizer by hand", ratio("trainer", "by_hand"),
                   1.1);
    for (const char* watched : {"counted", "traced", "checked"})
      report.at_most(optimizer + ": trainer on a communicator that is " + watched + " / plain",
                     ratio(watched, "again"), 1.02);
  }
  return report.finish();
}
