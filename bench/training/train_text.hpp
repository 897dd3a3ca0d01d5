// examples/train_text as benchmarks run it: built once, and what a run reports.
#pragma once

#include "../report.hpp"

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iostream>
#include <stdexcept>
#include <string>

namespace bench {

class train_text {
public:
  /// `name` is the benchmark's.
  explicit train_text(std::string name) : name_{std::move(name)} {
    std::filesystem::create_directories(build_);
    std::cerr << name_ << ": building train_text\n";
    run("cd " TUTTI_SOURCE_DIR " && cmake --preset release -B " + build_.string() +
        " -DTUTTI_BUILD_TESTS=OFF -DTUTTI_BUILD_BENCH=OFF && cmake --build " + build_.string() +
        " -j --target train_text");
  }

  /// What it reports with these arguments, started by `launcher`: alone it starts its ranks itself. With TUTTI_DATA set
  /// it learns tiny Shakespeare.
  json operator()(const std::string& arguments, const std::string& launcher = {}) const {
    const std::filesystem::path out = build_ / "results.json";
    std::string command = launcher + " " + (build_ / "examples" / "train_text").string() + " --seed 1 " + arguments +
                          " --json " + out.string();
    if (const char* data = std::getenv("TUTTI_DATA"); data != nullptr)
      command += " --data " + std::string(data) + "/text/tiny_shakespeare.txt";
    std::cerr << name_ << ": training, " << arguments << '\n';
    run(command);
    std::ifstream file(out);
    return json::parse(file);
  }

private:
  void run(const std::string& command) const {
    const std::string log = (build_ / "log").string();
    if (std::system(("{ " + command + "; } >" + log + " 2>&1").c_str()) != 0)
      throw std::runtime_error("failed: " + command + ", see " + log);
  }

  std::string name_;
  std::filesystem::path build_ = std::filesystem::path(TUTTI_SOURCE_DIR) / "build" / "bench-examples";
};

} // namespace bench
