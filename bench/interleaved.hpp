// Jobs that are run in turn, again and again, so that whatever else the machine does meets all of
// them.
//
// A job prints lines "SIDE BYTES NUMBER". A side's number at a size is the median of the rounds,
// and a comparison of two is the median of the rounds' ratios.
#pragma once

#include "report.hpp"

#include <array>
#include <cstdio>
#include <map>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

namespace bench {

struct job {
  std::string side; ///< what its side `native` is called
  std::string command;
  bool may_fail = false; ///< it is left out where it does not run
};

class interleaved {
public:
  interleaved(const std::string& name, const std::vector<job>& jobs, int rounds) {
    for (int k = 0; k < rounds; ++k) {
      std::fprintf(stderr, "\r%s: round %d of %d", name.c_str(), k + 1, rounds);
      times all;
      for (const job& j : jobs) add(j, all);
      rounds_.push_back(std::move(all));
    }
    std::fputc('\n', stderr);
  }

  bool has(const std::string& side) const { return rounds_.front().contains(side); }
  std::vector<std::string> sides() const {
    std::vector<std::string> all;
    for (const auto& [side, numbers] : rounds_.front()) all.push_back(side);
    return all;
  }
  std::vector<std::size_t> sizes(const std::string& side) const {
    std::vector<std::size_t> all;
    for (const auto& [bytes, number] : rounds_.front().at(side)) all.push_back(bytes);
    return all;
  }
  double number(const std::string& side, std::size_t bytes) const {
    std::vector<double> all;
    for (const times& r : rounds_)
      if (const auto found = r.find(side); found != r.end()) all.push_back(found->second.at(bytes));
    return median(all);
  }
  /// How many times as much `side` has as `other`.
  double ratio(const std::string& side, const std::string& other, std::size_t bytes) const {
    std::vector<double> all;
    for (const times& r : rounds_)
      if (r.contains(side) && r.contains(other))
        all.push_back(r.at(side).at(bytes) / r.at(other).at(bytes));
    return median(all);
  }

private:
  using times = std::map<std::string, std::map<std::size_t, double>>;

  static void add(const job& j, times& all) {
    FILE* out = popen((j.command + " 2>/dev/null").c_str(), "r");
    if (out == nullptr) throw std::runtime_error("cannot start " + j.command);
    times got;
    std::array<char, 32> side{};
    std::size_t bytes = 0;
    for (double value = 0; std::fscanf(out, "%31s %zu %lf", side.data(), &bytes, &value) == 3;) {
      const std::string name = side.data();
      got[name == "native" && !j.side.empty() ? j.side : name][bytes] = value;
    }
    if (pclose(out) == 0) all.merge(got);
    else if (!j.may_fail) throw std::runtime_error("failed: " + j.command);
  }

  std::vector<times> rounds_;
};

} // namespace bench
