// What a parameter server adds to the messages and the update that it is made of: a push of 1 MiB and its answer,
// one worker and one server, beside the same by MPI alone; and with a server on each of two ranks beside reduce-scatter
// and all-gather.
#include "interleaved.hpp"

int main(int argc, char** argv) {
  bench::report report("parameter_server", argc, argv);
  const bench::interleaved all(
      "parameter_server", {{"", TUTTI_MPIEXEC " -n 2 " TUTTI_SCRATCH_DIR "/bench_parameter_server_rank"}}, 5);
  const std::size_t bytes = all.sizes("messages").front();
  bench::json row{{"bytes", bytes}};
  for (const char* side : {"messages", "carrier", "trainer", "collectives", "two_servers"})
    row[std::string{side} + "_us"] = all.number(side, bytes);
  report.row(std::move(row));
  report.at_most("push and answer / MPI's send and receive, with the same update",
                 all.ratio("carrier", "messages", bytes), 1.1);
  report.at_most("a server on each of 2 ranks / reduce-scatter, update and all-gather",
                 all.ratio("two_servers", "collectives", bytes), 1.3);
  return report.finish();
}
