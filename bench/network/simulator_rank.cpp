// One rank of a job on two nodes: what the simulator is told of them, and all_reduce of floats, which it predicts.
//
//   bench_simulator_rank KIB...   prints "SIDE BYTES MICROSECONDS": messages between nodes (`between`) and on one
//                                 (`within`) of 8 bytes and of 4 MiB, combining (`folding`), and each topology at
//                                 each size, in segments as the default is between nodes
//
// Not in one piece: a long message each way waits in Open MPI for a word that stands behind data in the cable's queue,
// which takes up to twice the time, or does not.
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

/// Two ranks: 8 bytes each way, and a long message one way, in pieces; the others wait.
template <class World>
void exchanges(World& world, const char* side, int partner) {
  const bool here = world.rank() == 0 || world.rank() == partner;
  auto pair = world.split(here ? 0 : 1, world.rank());
  std::vector<float> two(4), data(long_bytes / sizeof(float));
  const tutti::pipelined in_pieces{tutti::binomial_tree{}, 32};
  double latency = 0, took = 0;
  if (here) {
    latency = timed(pair, two, 51, [&] { tutti::all_gather(pair, two, tutti::ring{}); });
    took = timed(pair, data, 5, [&] { tutti::broadcast(pair, data, 0, in_pieces); });
  }
  tutti::barrier(world);
  say(world, side, 8, latency);
  say(world, side, long_bytes, took);
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
      const int segments = tutti::segments_for(bytes, world.size());
      one("ring", tutti::pipelined{tutti::ring{}, segments});
      one("halving_doubling", tutti::pipelined{tutti::halving_doubling{}, segments});
      one("binomial_tree", tutti::pipelined{tutti::binomial_tree{}, segments});
      one("hierarchical", tutti::pipelined{tutti::hierarchical<>{}, segments});
    }
  });
}
