// One rank of a job on two nodes: all_reduce of floats by tutti's hierarchy, in segments and as a whole, by the
// MPI library, and where every rank sends to every other: as they are (`plain`) and through codecs.
//
//   bench_slow_link_rank KIB SIDE...   prints "SIDE BYTES MICROSECONDS" for every size to KIB; for the
//                                      side `crossing` the bytes that node 0 sends to the other one
#include "../collectives/timing.hpp"

#include <tutti/communicators/decorator.hpp>
#include <tutti/mpi/mpi.hpp>
#include <tutti/tutti.hpp>

#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <string_view>
#include <vector>

namespace {

/// Counts what goes to ranks of other nodes.
template <class Inner> class crossing : public tutti::decorator<Inner> {
public:
  explicit crossing(Inner&& inner) : tutti::decorator<Inner>{std::forward<Inner>(inner)} {}

  template <class Execution>
  auto exchange(Execution execution, tutti::channel on, const tutti::exchange_round& round) {
    const auto nodes = this->inner_.nodes();
    for (const tutti::outgoing& m : round.sends)
      if (nodes[std::size_t(m.peer)] != nodes[std::size_t(this->rank())]) bytes += m.bytes.size();
    return this->inner_.exchange(execution, on, round);
  }

  std::uint64_t bytes = 0;
};
template <class Inner> crossing(Inner&&) -> crossing<Inner>;

/// The median of a few calls, each as long as its slowest rank takes.
template <class World, class Call>
double timed(World& world, std::vector<float>& data, Call&& call) {
  std::vector<double> times;
  for (int k = -1; k < 3; ++k) {
    timing::dirty(data.data(), data.size(), k + 1);
    tutti::barrier(world);
    const auto begin = std::chrono::steady_clock::now();
    call();
    const std::chrono::duration<double, std::micro> took = std::chrono::steady_clock::now() - begin;
    if (k >= 0) times.push_back(took.count());
  }
  tutti::all_reduce(world, times, tutti::max{});
  std::sort(times.begin(), times.end());
  return times[times.size() / 2];
}

template <class World> double one(World& world, std::string_view side, std::size_t n) {
  std::vector<float> data(n);
  const tutti::pipelined in_segments{tutti::hierarchical<>{}, tutti::segments_for(n * sizeof(float), world.size())};
  if (side == "hierarchical")
    return timed(world, data, [&] { tutti::all_reduce(world, data, in_segments); });
  if (side == "whole")
    return timed(world, data, [&] { tutti::all_reduce(world, data, tutti::hierarchical<>{}); });
  if (side == "crossing") {
    crossing counting{world};
    tutti::all_reduce(counting, data, in_segments);
    std::vector<std::uint64_t> sent{world.nodes()[std::size_t(world.rank())] == 0 ? counting.bytes
                                                                                  : 0};
    tutti::all_reduce(world, sent);
    return double(sent[0]);
  }
  const auto coded = [&](const auto& codec) {
    return timed(world, data, [&] { tutti::all_reduce(world, data, tutti::mean{}, codec); });
  };
  if (side == "plain") return coded(tutti::identity{});
  if (side == "bfloat16") return coded(tutti::cast<tutti::bfloat16>{});
  if (side == "int8") return coded(tutti::int8_block{});
  return timed(world, data, [&] {
    MPI_Allreduce(MPI_IN_PLACE, data.data(), int(n), MPI_FLOAT, MPI_SUM, MPI_COMM_WORLD);
  });
}

} // namespace

int main(int argc, char** argv) {
  if (argc < 3) {
    std::fputs("bench_slow_link_rank KIB SIDE...\n", stderr);
    return 2;
  }
  return tutti::mpi::run(argc, argv, [&](auto& world) {
    const auto most = std::size_t(std::atol(argv[1])) * 1024;
    for (std::size_t bytes = 65536; bytes <= most; bytes *= 4)
      for (int k = 2; k < argc; ++k) {
        const double value = one(world, argv[k], bytes / sizeof(float));
        if (world.rank() == 0) std::printf("%s %zu %.1f\n", argv[k], bytes, value);
      }
  });
}
