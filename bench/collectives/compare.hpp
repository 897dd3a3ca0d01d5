// One collective, side by side: tutti on symmetric buffers and on ordinary memory, Open MPI with
// its own choice and with each of its algorithms, MPICH, Gloo, and the floor. Every round runs
// every side once; a claim is about the median of the rounds' ratios against the best peer at that
// size.
#pragma once

#include "../interleaved.hpp"
#include "support/plot.hpp"

#include <cmath>
#include <filesystem>
#include <string>
#include <utility>
#include <vector>

namespace bench {

class comparison {
public:
  static constexpr int ranks = 2, rounds = 5;

  /// `parameter` is what Open MPI calls the choice of an algorithm, of which there are
  /// `algorithms`.
  comparison(std::string collective, const std::string& parameter, int algorithms)
      : collective_{std::move(collective)}, all_{collective_,
                                                 jobs_for(collective_, parameter, algorithms),
                                                 rounds} {}

  std::vector<std::size_t> sizes() const { return all_.sizes("symmetric"); }
  double us(const std::string& side, std::size_t bytes) const { return all_.number(side, bytes); }
  std::vector<std::string> peers() const {
    std::vector<std::string> all;
    for (const std::string& side : all_.sides())
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
    return all_.ratio(other, side, bytes);
  }
  bool has(const std::string& side) const { return all_.has(side); }
  /// The least, over these sizes, against the best peer of each; and the geometric mean.
  double least(const std::string& side, std::size_t from, std::size_t to) const {
    std::vector<double> all;
    for (const std::size_t b : sizes())
      if (b >= from && b <= to) all.push_back(ratio(best_peer(b), side, b));
    return bench::least(all);
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
    const std::pair<const char*, const char*> sides[] = {
        {"symmetric", "#2563eb"}, {"private", "#60a5fa"}, {"open_mpi", "#f97316"},
        {"mpich", "#a855f7"},     {"gloo", "#22c55e"},    {"floor", "#808080"}};
    std::vector<support::line> lines;
    for (const auto& [side, colour] : sides) {
      if (!all_.has(side)) continue;
      support::line l{side, {}, colour};
      for (const std::size_t b : sizes()) l.points.push_back({double(b), us(side, b)});
      lines.push_back(std::move(l));
    }
    support::write_plot(std::filesystem::path{json_file}.replace_extension(".svg"),
                        collective_ + " of floats, 2 ranks", "bytes", "microseconds",
                        std::move(lines), support::scale::logarithmic);
  }

private:
  static std::vector<job> jobs_for(const std::string& collective, const std::string& parameter,
                                   int algorithms) {
    const std::filesystem::path here{TUTTI_SCRATCH_DIR};
    const std::string rank = (here / "bench_collectives_rank").string();
    const std::string start = std::string(TUTTI_MPIEXEC) + " --bind-to core -n 2 ";
    const bool sums = collective == "all_reduce";
    std::vector<job> jobs{{"open_mpi", start + rank + " " + collective +
                                           " symmetric private native floor" +
                                           (sums ? " staged attached handover exchange" : "")}};
    for (int k = 1; k <= algorithms; ++k)
      jobs.push_back({"open_mpi_" + std::to_string(k),
                      start + "--mca coll_tuned_use_dynamic_rules 1 --mca coll_tuned_" + parameter +
                          "_algorithm " + std::to_string(k) + " " + rank + " " + collective +
                          " native",
                      true});
    if (const auto mpich = here / "../../bench-mpich/bench/bench_collectives_rank";
        std::filesystem::exists(mpich))
      jobs.push_back({"mpich", "mpiexec.mpich -bind-to core -n 2 " + mpich.string() + " " +
                                   collective + " native"});
    const std::string gloo = (here / "bench_collectives_gloo").string();
    if (collective != "reduce_scatter" && std::filesystem::exists(gloo)) {
      const std::string folder = (here / "gloo").string();
      const auto process = [&](int r) {
        return "taskset -c " + std::to_string(r) + " " + gloo + " " + collective + " " + folder +
               " " + std::to_string(r) + " 2";
      };
      jobs.push_back({"gloo", "rm -rf " + folder + " && mkdir " + folder + " && { " + process(1) +
                                  " & " + process(0) + " && wait; }"});
    }
    return jobs;
  }

  std::string collective_;
  interleaved all_;
};

} // namespace bench
