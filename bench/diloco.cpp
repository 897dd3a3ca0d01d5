// DiLoCo beside synchronous training: examples/train_text on two ranks, an agreement every 20 steps; how much
// worse it writes, and how much less it sends.
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
  double loss[2], sent[2];
  int k = 0;
  for (const std::string sync : {"synchronous", "diloco"}) {
    const bench::json got = trained(sync);
    loss[k] = got["held_out_loss"];
    sent[k++] = got["bytes_sent"];
    report.row({{"sync", sync},
                {"held_out_loss", got["held_out_loss"]},
                {"bytes_sent", got["bytes_sent"]},
                {"tokens_per_second", got["tokens_per_second"]}});
  }
  report.at_most("held-out loss / that of synchronous", loss[1] / loss[0], 1.03);
  report.at_most("bytes sent / those of synchronous", sent[1] / sent[0], 1.0 / 15);
  return report.finish();
} catch (const std::exception& e) {
  std::cerr << e.what() << '\n';
  return 1;
}
