// One collective, side by side: tutti on symmetric buffers and on ordinary memory, Open MPI with
// its own choice and with each of its algorithms, MPICH, Gloo, and the floor. Every round runs
// every side once; a claim is about the median of the rounds' ratios against the best peer at that
// size.
#pragma once

#include "../report.hpp"
#include "support/plot.hpp"

#include <array>
#include <cmath>
#include <cstdio>
#include <filesystem>
#include <map>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

namespace bench {

/// microseconds[side][bytes] of one round.
using round_times = std::map<std::string, std::map<std::size_t, double>>;

class comparison {
public:
  static constexpr int ranks = 2, rounds = 5;

  /// `parameter` is what Open MPI calls the choice of an algorithm, of which there are
  /// `algorithms`.
  comparison(std::string collective, const std::string& parameter, int algorithms)
      : collective_{std::move(collective)} {
    const std::filesystem::path here{TUTTI_SCRATCH_DIR};
    const std::string rank = (here / "bench_collectives_rank").string();
    const std::string start = std::string(TUTTI_MPIEXEC) + " --bind-to core -n 2 ";
    jobs_.push_back({"", start + rank + " " + collective_ + " symmetric private native floor" +
                             (collective_ == "all_reduce" ? " handover" : "")});
    for (int k = 1; k <= algorithms; ++k)
      jobs_.push_back({"open_mpi_" + std::to_string(k),
                       start + "--mca coll_tuned_use_dynamic_rules 1 --mca coll_tuned_" +
                           parameter + "_algorithm " + std::to_string(k) + " " + rank + " " +
                           collective_ + " native"});
    if (const auto mpich = here / "../../bench-mpich/bench/bench_collectives_rank";
        std::filesystem::exists(mpich))
      jobs_.push_back({"mpich", "mpiexec.mpich -bind-to core -n 2 " + mpich.string() + " " +
                                    collective_ + " native"});
    const std::string gloo = (here / "bench_collectives_gloo").string();
    if (collective_ != "reduce_scatter" && std::filesystem::exists(gloo)) {
      const std::string folder = (here / "gloo").string();
      const auto process = [&](int r) {
        return "taskset -c " + std::to_string(r) + " " + gloo + " " + collective_ + " " + folder +
               " " + std::to_string(r) + " 2";
      };
      jobs_.push_back({"gloo", "rm -rf " + folder + " && mkdir " + folder + " && { " + process(1) +
                                   " & " + process(0) + " && wait; }"});
    }
    for (int k = 0; k < rounds; ++k) {
      std::fprintf(stderr, "\r%s: round %d of %d", collective_.c_str(), k + 1, rounds);
      rounds_.push_back(one_round());
    }
    std::fputc('\n', stderr);
  }

  std::vector<std::size_t> sizes() const {
    std::vector<std::size_t> all;
    for (const auto& [bytes, us] : rounds_.front().at("symmetric")) all.push_back(bytes);
    return all;
  }
  double us(const std::string& side, std::size_t bytes) const {
    std::vector<double> all;
    for (const auto& r : rounds_)
      if (const auto times = r.find(side); times != r.end()) all.push_back(times->second.at(bytes));
    return median(all);
  }
  std::vector<std::string> peers() const {
    std::vector<std::string> all;
    for (const auto& [side, times] : rounds_.front())
      if (side.starts_with("open_mpi") || side == "mpich" || side == "gloo") all.push_back(side);
    return all;
  }
  /// The MPI library's setting that is fastest at this size.
  std::string best_peer(std::size_t bytes) const {
    std::string best = "open_mpi";
    for (const std::string& peer : peers())
      if (peer != "gloo" && us(peer, bytes) < us(best, bytes)) best = peer;
    return best;
  }
  /// How many times longer the other takes: the median of the rounds' ratios.
  double ratio(const std::string& other, const std::string& side, std::size_t bytes) const {
    std::vector<double> all;
    for (const auto& r : rounds_)
      if (r.contains(other)) all.push_back(r.at(other).at(bytes) / r.at(side).at(bytes));
    return median(all);
  }
  /// The least, over these sizes, against the best peer of each; and the geometric mean.
  double least(const std::string& side, std::size_t from, std::size_t to) const {
    double found = INFINITY;
    for (const std::size_t b : sizes())
      if (b >= from && b <= to) found = std::min(found, ratio(best_peer(b), side, b));
    return found;
  }
  double mean(const std::string& side) const {
    double sum = 0;
    for (const std::size_t b : sizes()) sum += std::log(ratio(best_peer(b), side, b));
    return std::exp(sum / double(sizes().size()));
  }

  void add_rows(report& to) const {
    const double share = collective_ == "all_reduce"  ? 2.0 * (ranks - 1) / ranks
                         : collective_ == "broadcast" ? 1.0
                                                      : double(ranks - 1) / ranks;
    for (const std::size_t b : sizes()) {
      json others;
      for (const std::string& peer : peers()) others[peer] = us(peer, b);
      to.row({{"bytes", b},
              {"symmetric_us", us("symmetric", b)},
              {"private_us", us("private", b)},
              {"best_peer", best_peer(b)},
              {"best_us", us(best_peer(b), b)},
              {"symmetric_x", ratio(best_peer(b), "symmetric", b)},
              {"private_x", ratio(best_peer(b), "private", b)},
              {"floor_us", us("floor", b)},
              {"busbw", double(b) / us("symmetric", b) * share / 1000}, // GB/s
              {"peers", others}});
    }
  }

  /// Beside the results: FILE.svg.
  void plot(const std::string& json_file) const {
    if (json_file.empty()) return;
    const std::pair<const char*, const char*> sides[] = {{"symmetric", "#2563eb"},
                                                         {"private", "#60a5fa"},
                                                         {"open_mpi", "#f97316"},
                                                         {"mpich", "#a855f7"},
                                                         {"gloo", "#22c55e"},
                                                         {"floor", "#808080"}};
    std::vector<support::line> lines;
    for (const auto& [side, colour] : sides) {
      if (!rounds_.front().contains(side)) continue;
      support::line l{side, {}, colour};
      for (const std::size_t b : sizes()) l.points.push_back({double(b), us(side, b)});
      lines.push_back(std::move(l));
    }
    support::write_plot(std::filesystem::path{json_file}.replace_extension(".svg"),
                        collective_ + " of floats, 2 ranks", "bytes", "microseconds",
                        std::move(lines), support::scale::logarithmic);
  }

private:
  struct job {
    std::string name; ///< of its native side
    std::string command;
  };

  round_times one_round() const {
    round_times all;
    for (const job& j : jobs_) {
      FILE* out = popen((j.command + " 2>/dev/null").c_str(), "r");
      if (out == nullptr) throw std::runtime_error("cannot start " + j.command);
      round_times got;
      std::array<char, 32> side{};
      std::size_t bytes = 0;
      for (double us = 0; std::fscanf(out, "%31s %zu %lf", side.data(), &bytes, &us) == 3;) {
        std::string name = side.data();
        if (name == "native") name = j.name.empty() ? "open_mpi" : j.name;
        got[name][bytes] = us;
      }
      if (pclose(out) == 0) all.merge(got); // an algorithm that does not run here is left out
      else if (j.name.empty()) throw std::runtime_error("failed: " + j.command);
    }
    return all;
  }

  std::string collective_;
  std::vector<job> jobs_;
  std::vector<round_times> rounds_;
};

} // namespace bench
