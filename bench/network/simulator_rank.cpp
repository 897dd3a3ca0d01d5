// One rank of a job on two nodes: what the simulator is told of them, and all_reduce of floats, which it predicts.
//
//   bench_simulator_rank KIB...   prints "SIDE BYTES MICROSECONDS": exchanges between nodes (`between`) and on one
//                                 (`within`) of 8 bytes and of 4 MiB, combining (`folding`), and each topology at
//                                 each size
#include "../collectives/timing.hpp"

#include <tutti/mpi/mpi.hpp>
#include <tutti/tutti.hpp>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <vector>

namespace {

constexpr std::size_t long_bytes = std::size_t{4} << 20;

/// The median of a few calls, each as long as its slowest rank takes.
template <class World, class Call>
double timed(World& world, std::vector<float>& data, int calls, Call&& call) {
  std::vector<double> times;
  for (int k = -1; k < calls; ++k) {
    timing::dirty(data.data(), data.size(), k + 1);
    tutti::barrier(world);
    const auto begin = std::chrono::steady_clock::now();
    call();
    const std::chrono::duration<double, std::micro> took = std::chrono::steady_clock::now() - begin;
    if (k >= 0) times.push_back(took.count());
  }
  tutti::all_reduce(world, times, tutti::max{}, tutti::ring{});
  std::sort(times.begin(), times.end());
  return times[times.size() / 2];
}

void say(const tutti::mpi::communicator& world, const char* side, std::size_t bytes, double microseconds) {
  if (world.rank() == 0) std::printf("%s %zu %.2f\n", side, bytes, microseconds);
}

/// Two ranks send each other as many bytes; the others wait.
template <class World>
void exchanges(World& world, const char* side, int partner) {
  auto pair = world.split(world.rank() == 0 || world.rank() == partner ? 0 : 1, world.rank());
  for (const std::size_t bytes : {std::size_t{8}, long_bytes}) {
    std::vector<float> data(2 * bytes / sizeof(float));
    double took = 0;
    if (pair.size() == 2 && (world.rank() == 0 || world.rank() == partner))
      took = timed(pair, data, bytes == 8 ? 51 : 3, [&] { tutti::all_gather(pair, data, tutti::ring{}); });
    tutti::barrier(world);
    say(world, side, bytes, took);
  }
}

double folding() {
  std::vector<float> x(long_bytes / sizeof(float), 1.0f), y(x.size(), 2.0f);
  std::vector<double> times;
  for (int k = 0; k < 5; ++k) {
    const auto begin = std::chrono::steady_clock::now();
    for (std::size_t i = 0; i < x.size(); ++i) x[i] += y[i];
    const std::chrono::duration<double, std::micro> took = std::chrono::steady_clock::now() - begin;
    times.push_back(took.count());
    y[std::size_t(k)] = x[0];
  }
  std::sort(times.begin(), times.end());
  return times[2];
}

} // namespace

int main(int argc, char** argv) {
  return tutti::mpi::run(argc, argv, [&](auto& world) {
    exchanges(world, "between", world.size() / 2);
    if (world.size() > 2) exchanges(world, "within", 1);
    say(world, "folding", long_bytes, folding());
    for (int k = 1; k < argc; ++k) {
      const std::size_t bytes = std::size_t(std::atol(argv[k])) * 1024;
      std::vector<float> data(bytes / sizeof(float));
      const auto one = [&](const char* side, const auto& topology) {
        say(world, side, bytes, timed(world, data, 3, [&] { tutti::all_reduce(world, data, topology); }));
      };
      one("ring", tutti::ring{});
      one("halving_doubling", tutti::halving_doubling{});
      one("binomial_tree", tutti::binomial_tree{});
      one("hierarchical", tutti::hierarchical<>{});
      one("in_segments",
          tutti::pipelined{tutti::hierarchical<>{}, tutti::segments_for(bytes, world.size())});
    }
  });
}
