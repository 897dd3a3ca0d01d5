// How fast kernels are: each as a fraction of what a copy within the device moves in the same run, by replays of a
// graph. bench/run.sh checks first that they are right.
#include "cuda/measured.hpp"
#include "report.hpp"

#include <tutti/cuda/runtime.hpp>

#include <cstdio>

int main(int argc, char** argv) {
  bench::report report{"cuda", argc, argv};
  const std::string gpu = measured::gpu();
  if (gpu.empty()) {
    std::puts("skipped: there is no GPU here");
    return 77;
  }
  report.machine("gpu", gpu);
  for (const auto& k : measured::all()) {
    const double rate = k.bytes / k.median, fraction = rate / k.copy;
    report.row({{"kernel", k.name},
                {"microseconds", k.median * 1e6},
                {"p10", k.low * 1e6},
                {"p90", k.high * 1e6},
                {"GB/s", rate * 1e-9},
                {"copy GB/s", k.copy * 1e-9},
                {"of copy", fraction}});
    report.at_least(k.name + ": fraction of the copy rate", fraction, k.bar);
  }
  return report.finish();
}
