// One rank under MPI: tutti, the MPI library's own collectives, and what nobody can beat. See
// timing.hpp.
//
//   symmetric, private   tutti, on symmetric buffers and on ordinary memory
//   staged, attached     ordinary memory, always through stages, and always by the kernel's copies
//   native               the MPI library that this was built with
//   floor                the bytes that the collective has to move, moved by the same cores with
//                        non-temporal stores: every input read once, every result written once
//   handover             a cache line from one rank to the other and nothing else
//   exchange             a line of each rank's to the other and nothing else: what a call must do
#include "timing.hpp"

#include <tutti/mpi/mpi.hpp>
#include <tutti/tutti.hpp>

#include <atomic>
#include <cstdint>
#include <cstring>
#include <stdexcept>
#include <string_view>

namespace {

using world_type = tutti::mpi::communicator;

/// The calls of one collective, on n elements in all.
struct calls {
  std::string_view name;

  void tutti_on(world_type& world, auto& data) const {
    if (name == "all_reduce") tutti::all_reduce(world, data);
    else if (name == "reduce_scatter") (void)tutti::reduce_scatter(world, data);
    else if (name == "all_gather") tutti::all_gather(world, data);
    else tutti::broadcast(world, data, 0);
  }
  /// Where shards are not equal MPI has no name for it: `n` is a multiple of the ranks.
  void native_on(float* data, float* part, int n, int rank, int size) const {
    const int each = n / size;
    if (name == "all_reduce")
      MPI_Allreduce(MPI_IN_PLACE, data, n, MPI_FLOAT, MPI_SUM, MPI_COMM_WORLD);
    else if (name == "reduce_scatter")
      MPI_Reduce_scatter_block(data, part, each, MPI_FLOAT, MPI_SUM, MPI_COMM_WORLD);
    else if (name == "all_gather")
      MPI_Allgather(MPI_IN_PLACE, each, MPI_FLOAT, data, each, MPI_FLOAT, MPI_COMM_WORLD);
    else MPI_Bcast(data, n, MPI_FLOAT, 0, MPI_COMM_WORLD);
    (void)rank;
  }
};

struct bench_rank {
  world_type world = tutti::mpi::world();
  world_type staged = tutti::mpi::world({.attached_bytes = SIZE_MAX});
  world_type attached = tutti::mpi::world({.attached_bytes = 0});
  calls what;

  double timed(float* data, std::size_t n, auto&& call) {
    return timing::microseconds(
        data, n, [&] { tutti::barrier(world); },
        [&](std::vector<double>& times) {
          MPI_Allreduce(MPI_IN_PLACE, times.data(), int(times.size()), MPI_DOUBLE, MPI_MAX,
                        MPI_COMM_WORLD);
        },
        call);
  }

  /// What rank r is in charge of is read from all who contribute and stored with all who are to
  /// have it: the sum is left out.
  double floor(std::size_t n) {
    auto data = world.allocate<float>(n);
    const auto part = tutti::shard_of(n, world.rank(), world.size());
    const bool reads_all = what.name == "all_reduce" || what.name == "reduce_scatter";
    const bool writes_all = what.name != "reduce_scatter";
    return timed(data.data(), n, [&] {
      const std::size_t bytes = (part.end - part.begin) * sizeof(float);
      const auto& places = data.memory()->places;
      for (std::size_t at = 0; at < bytes; at += 4096) {
        alignas(64) std::byte block[4096];
        const std::size_t length = std::min<std::size_t>(4096, bytes - at);
        const auto in = [&](int r) {
          return places[std::size_t(r)] + part.begin * sizeof(float) + at;
        };
        const int from = what.name == "broadcast" ? 0 : world.rank();
        for (int r = 0; r < world.size(); ++r)
          if (reads_all || r == from) std::memcpy(block, in(r), length);
        for (int r = 0; r < world.size(); ++r) {
          const bool has_it = !reads_all && r == from;
          if (writes_all ? !has_it : r == world.rank())
            tutti::detail::store_bytes(in(r), block, length, tutti::detail::stores::streaming);
        }
      }
      tutti::detail::published_stores();
    });
  }

  /// Half of the time of a line that goes to and fro.
  double handover() {
    auto line = world.allocate<std::uint64_t>(8);
    auto* const here = reinterpret_cast<std::atomic<std::uint64_t>*>(line.memory()->places[0]);
    constexpr std::uint64_t turns = 20000;
    tutti::barrier(world);
    const auto begin = std::chrono::steady_clock::now();
    for (std::uint64_t k = 0; k < turns && world.rank() < 2; ++k) {
      const std::uint64_t wanted = 2 * k + std::uint64_t(world.rank());
      while (here->load(std::memory_order_acquire) != wanted) {
      }
      here->store(wanted + 1, std::memory_order_release);
    }
    const std::chrono::duration<double, std::micro> took = std::chrono::steady_clock::now() - begin;
    tutti::barrier(world);
    return took.count() / double(2 * turns);
  }

  /// Each writes a line and reads the other's; two lines a rank take turns, so that none is written
  /// before it was read.
  double exchange() {
    auto lines = world.allocate<std::uint64_t>(16);
    const auto line = [&](int rank, std::uint64_t turn) {
      return reinterpret_cast<std::atomic<std::uint64_t>*>(lines.memory()->places[std::size_t(rank)] +
                                                           turn % 2 * 64);
    };
    constexpr std::uint64_t turns = 20000;
    tutti::barrier(world);
    const auto begin = std::chrono::steady_clock::now();
    for (std::uint64_t k = 1; k <= turns && world.rank() < 2; ++k) {
      line(world.rank(), k)->store(k, std::memory_order_release);
      while (line(1 - world.rank(), k)->load(std::memory_order_acquire) < k) {
      }
    }
    const std::chrono::duration<double, std::micro> took = std::chrono::steady_clock::now() - begin;
    tutti::barrier(world);
    return took.count() / double(turns);
  }

  double one(std::string_view side, std::size_t n) {
    if (side == "symmetric") {
      auto data = world.allocate<float>(n);
      return timed(data.data(), n, [&] { what.tutti_on(world, data); });
    }
    std::vector<float> data(n), part(n);
    if (side == "staged") return timed(data.data(), n, [&] { what.tutti_on(staged, data); });
    if (side == "attached") return timed(data.data(), n, [&] { what.tutti_on(attached, data); });
    if (side == "private") return timed(data.data(), n, [&] { what.tutti_on(world, data); });
    return timed(data.data(), n, [&] {
      what.native_on(data.data(), part.data(), int(n), world.rank(), world.size());
    });
  }
};

} // namespace

int main(int argc, char** argv) {
  if (argc < 3) {
    std::fputs("bench_collectives_rank COLLECTIVE SIDE...\n", stderr);
    return 2;
  }
  return tutti::mpi::run(argc, argv, [&](world_type&) {
    bench_rank me{.what = {argv[1]}};
    for (const std::size_t bytes : timing::sizes())
      for (int k = 2; k < argc; ++k) {
        const std::string_view side = argv[k];
        const bool is_of_lines = side == "handover" || side == "exchange";
        if (is_of_lines && bytes > 8) continue;
        const std::size_t n = bytes / sizeof(float);
        const double us = side == "handover"   ? me.handover()
                          : side == "exchange" ? me.exchange()
                          : side == "floor"    ? me.floor(n)
                                               : me.one(side, n);
        if (me.world.rank() == 0) std::printf("%s %zu %.4f\n", argv[k], bytes, us);
      }
  });
}
