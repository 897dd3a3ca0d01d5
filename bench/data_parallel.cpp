// What it costs to train a module of LibTorch on two ranks instead of one: 8.5 million parameters, a batch of 32 a
// rank, one thread each, by tutti::torch::data_parallel, by PyTorch's DistributedDataParallel on Gloo, and by an
// MPI_Allreduce for each tensor. Then many small tensors beside one; and what of the communication over a cable of
// 1 Gbit/s hides behind the backward pass. All sides have the LibTorch of one wheel, and the same settings of the
// allocator, under which the gradients of a step lie where those of the one before have.
#include "interleaved.hpp"
#include "network/cable.hpp"

#include <algorithm>
#include <cstdlib>
#include <iostream>
#include <string>
#include <string_view>

namespace {

const std::string alike =
    "env OMP_NUM_THREADS=1 MALLOC_MMAP_THRESHOLD_=33554432 MALLOC_TRIM_THRESHOLD_=4294967296 ";
const std::string rank_program = std::string{TUTTI_SCRATCH_DIR} + "/bench_data_parallel_rank ";

bool is_python(std::string_view side) {
  return side == "python_none" || side == "ddp" || side.starts_with("views");
}
/// PyTorch's side, at a meeting of its own, which is left over when it is done.
std::string ddp(const std::string& meeting, const std::string& arguments) {
  const char* python = std::getenv("TUTTI_PYTHON");
  if (python == nullptr) throw std::runtime_error("data_parallel: TUTTI_PYTHON is not set - start it by bench/run.sh");
  return std::string{python} + " " TUTTI_SOURCE_DIR "/bench/data_parallel/ddp.py " + meeting + " " + arguments;
}

void in_one_node(bench::report& report) {
  const std::string on_two = alike + TUTTI_MPIEXEC " -n 2 ", meeting = TUTTI_SCRATCH_DIR "/data_parallel_meeting";
  const bench::interleaved all(
      "data_parallel",
      {{"", on_two + rank_program}, {"", "rm -f " + meeting + "; " + on_two + ddp("file://" + meeting, "32")}}, 5);
  const std::size_t bytes = all.sizes("none").front();
  const auto over = [&](const char* side) {
    return all.number(side, bytes) - all.number(is_python(side) ? "python_none" : "none", bytes);
  };
  for (const char* side : {"none", "per_tensor", "tutti", "tutti_optim", "python_none", "ddp", "views", "views_4"})
    report.row({{"side", side},
                {"us", all.number(side, bytes)},
                {"of_none", all.ratio(side, is_python(side) ? "python_none" : "none", bytes)}});
  const double views = std::min(over("views"), over("views_4"));
  report.at_most("data_parallel: overhead over none, of that of DDP with views", over("tutti") / views, .15);
  report.at_most("the same beside an optimizer of torch::optim", over("tutti_optim") / views, .15);
  report.below("data_parallel over MPI_Allreduce for each tensor", all.ratio("tutti", "per_tensor", bytes), 1);
  const std::size_t exchanged = all.sizes("one").front();
  for (const char* side : {"one", "many"}) report.row({{"side", side}, {"us", all.number(side, exchanged)}});
  report.at_most("25 MiB in 400 tensors over 25 MiB in one", all.ratio("many", "one", exchanged), 1.1);
}

void over_a_cable(bench::report& report) {
  const bench::cable connected{"1gbit"};
  const std::string on_both = alike + bench::two_nodes + "run 1 ";
  const bench::interleaved sizes("data_parallel, 1 Gbit/s, batch", {{"", on_both + rank_program + "sizes"}}, 1);
  const std::size_t bytes = sizes.sizes("batch").front();
  const std::string batch = std::to_string(int(sizes.number("batch", bytes)));
  const bench::interleaved all("data_parallel, 1 Gbit/s",
                               {{"", on_both + rank_program + "cable " + batch},
                                {"", on_both + ddp("tcp://10.77.0.1:29533", batch + " 5"), true}},
                               3);
  const double exchange = all.number("exchange", bytes), backward = all.number("backward", bytes);
  const auto hidden = [&](const char* side, const char* none) {
    return (all.number(none, bytes) + exchange - all.number(side, bytes)) / std::min(exchange, backward);
  };
  report.row({{"side", "1gbit, the exchange alone"}, {"us", exchange}});
  report.row({{"side", "1gbit, backward alone, batch " + batch}, {"us", backward}});
  for (const char* side : {"none", "per_tensor", "tutti", "tutti_thread", "python_none", "ddp", "views", "views_4"}) {
    if (!all.has(side)) continue;
    const char* none = is_python(side) ? "python_none" : "none";
    report.row({{"side", "1gbit, " + std::string{side}},
                {"us", all.number(side, bytes)},
                {"of_none", all.ratio(side, none, bytes)},
                {"hides", hidden(side, none)}});
  }
  report.at_least("1gbit: share of the communication that hides behind backward", hidden("tutti_thread", "none"), .8);
}

} // namespace

int main(int argc, char** argv) try {
  bench::report report("data_parallel", argc, argv);
  in_one_node(report);
  over_a_cable(report);
  return report.finish();
} catch (const std::exception& e) {
  std::cerr << e.what() << '\n';
  return 1;
}
