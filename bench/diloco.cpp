// DiLoCo beside synchronous training, and streaming DiLoCo beside DiLoCo: examples/train_text on two ranks, an agreement
// every 20 steps; how much worse it writes, how much less it sends, and how much less at once.
#include "report.hpp"

#include <filesystem>
#include <stdexcept>

namespace {

namespace fs = std::filesystem;

const fs::path build = fs::path(TUTTI_SOURCE_DIR) / "build" / "bench-examples";

void run(const std::string& command) {
  if (std::system((command + " >" + (build / "log").string() + " 2>&1").c_str()) != 0)
    throw std::runtime_error("failed: " + command + ", see " + (build / "log").string());
}

/// What a run of train_text reports.
bench::json trained(const std::string& sync) {
  const char* data = std::getenv("TUTTI_DATA");
  const fs::path out = build / (sync + ".json");
  std::string command = (build / "examples" / "train_text").string() + " --ranks 2 --seed 1 --sync " + sync +
                        " --period 20 --json " + out.string();
  if (data != nullptr) command += " --data " + std::string(data) + "/text/tiny_shakespeare.txt";
  std::cerr << "diloco: training, " << sync << '\n';
  run(command);
  std::ifstream file(out);
  return bench::json::parse(file);
}

} // namespace

int main(int argc, char** argv) try {
  bench::report report("diloco", argc, argv);
  fs::create_directories(build);
  const std::string source = TUTTI_SOURCE_DIR;
  std::cerr << "diloco: building train_text\n";
  run("cd " + source + " && cmake --preset release -B " + build.string() +
      " -DTUTTI_BUILD_TESTS=OFF -DTUTTI_BUILD_BENCH=OFF && cmake --build " + build.string() +
      " -j --target train_text");
  double loss[3], sent[3], burst[3];
  int k = 0;
  for (const std::string sync : {"synchronous", "diloco", "streaming_diloco"}) {
    const bench::json got = trained(sync);
    loss[k] = got["held_out_loss"];
    burst[k] = got["largest_burst"];
    sent[k++] = got["bytes_sent"];
    report.row({{"sync", sync},
                {"held_out_loss", got["held_out_loss"]},
                {"bytes_sent", got["bytes_sent"]},
                {"largest_burst", got["largest_burst"]},
                {"tokens_per_second", got["tokens_per_second"]}});
  }
  report.at_most("held-out loss / that of synchronous", loss[1] / loss[0], 1.03);
  report.at_most("bytes sent / those of synchronous", sent[1] / sent[0], 1.0 / 15);
  report.at_most("streaming: held-out loss / that of diloco", loss[2] / loss[1], 1.03);
  report.at_most("streaming: most bytes in a step / those of diloco", burst[2] / burst[1], 1.0 / 3);
  return report.finish();
} catch (const std::exception& e) {
  std::cerr << e.what() << '\n';
  return 1;
}
