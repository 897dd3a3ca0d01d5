// How fast kernels are: each as a fraction of what a copy within the device moves in the same run, by replays of a
// graph, and beside what CUB alone and PyTorch take for the same. bench/run.sh checks first that they are right, and
// names in TUTTI_TORCH_PEERS a file of what cuda/torch_peers.py has printed. A drawing lies beside the results:
// FILE.svg.
#include "bars.hpp"
#include "cuda/measured.hpp"
#include "report.hpp"

#include <tutti/cuda/runtime.hpp>

#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <map>
#include <string>
#include <vector>

namespace {

/// Seconds by name, of PyTorch; none where it was not there.
std::map<std::string, double> torch_seconds() {
  std::map<std::string, double> all;
  const char* const file = std::getenv("TUTTI_TORCH_PEERS");
  std::ifstream in{file ? file : ""};
  std::string name;
  for (double seconds; in >> seconds && std::getline(in >> std::ws, name);) all[name] = seconds;
  return all;
}

} // namespace

int main(int argc, char** argv) {
  bench::report report{"cuda", argc, argv};
  const std::string gpu = measured::gpu();
  if (gpu.empty()) {
    std::puts("skipped: there is no GPU here");
    return 77;
  }
  report.machine("gpu", gpu);
  const auto torch = torch_seconds();
  std::vector<bench::bar> bars;
  for (const auto& k : measured::all()) {
    const double rate = k.bytes / k.median, fraction = rate / k.copy;
    const auto peer = torch.find(k.name);
    bars.push_back({k.name, fraction, k.bar});
    report.row({{"kernel", k.name},
                {"microseconds", k.median * 1e6},
                {"p10", k.low * 1e6},
                {"p90", k.high * 1e6},
                {"GB/s", rate * 1e-9},
                {"copy GB/s", k.copy * 1e-9},
                {"of copy", fraction},
                {"x CUB", k.cub / k.median},
                {"x torch", peer == torch.end() ? 0 : peer->second / k.median}});
    report.at_least(k.name + ": fraction of the copy rate", fraction, k.bar);
    if (k.cub > 0) report.at_least(k.name + ": times as fast as CUB alone", k.cub / k.median, k.beats);
  }
  if (!report.json_file().empty())
    bench::write_bars(std::filesystem::path{report.json_file()}.replace_extension(".svg"),
                      "Fraction of the copy rate, and its bar: " + gpu, bars);
  return report.finish();
}
