// What a parameter server adds to the messages and the update that it is made of: a push of 1 MiB and its answer,
// one worker and one server, beside the same by MPI alone; and with a server on each of two ranks beside reduce-scatter
// and all-gather. With TUTTI_PS_LITE, a program that training/ps_lite.sh has built, beside ps-lite as well.
#include "interleaved.hpp"

#include <cstdlib>
#include <string>
#include <utility>
#include <vector>

int main(int argc, char** argv) {
  bench::report report("parameter_server", argc, argv);
  std::vector<bench::job> jobs{{"", TUTTI_MPIEXEC " -n 2 " TUTTI_SCRATCH_DIR "/bench_parameter_server_rank"}};
  const char* const ps_lite = std::getenv("TUTTI_PS_LITE");
  if (ps_lite != nullptr)
    jobs.push_back({"", "bash " TUTTI_SOURCE_DIR "/bench/training/ps_lite.sh run " + std::string{ps_lite}});
  const bench::interleaved all("parameter_server", jobs, 5);
  const std::size_t bytes = all.sizes("messages").front();
  bench::json row{{"bytes", bytes}};
  for (const char* side : {"messages", "carrier", "trainer", "collectives", "two_servers"})
    row[std::string{side} + "_us"] = all.number(side, bytes);
  if (ps_lite != nullptr) row["ps_lite_us"] = all.number("ps_lite", bytes);
  report.row(std::move(row));
  report.at_most("push and answer / MPI's send and receive, with the same update",
                 all.ratio("carrier", "messages", bytes), 1.1);
  report.at_most("a server on each of 2 ranks / reduce-scatter, update and all-gather",
                 all.ratio("two_servers", "collectives", bytes), 1.3);
  if (ps_lite != nullptr)
    report.at_least("ps-lite's push and pull / push and answer", all.ratio("ps_lite", "carrier", bytes), 1.5);
  return report.finish();
}
