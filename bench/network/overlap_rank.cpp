// One of two ranks with a slow cable between them, that computes while an all_reduce is under way.
//
// The data is reduced in four buckets, all in flight at the same time, as a trainer does it.
//
//   comm      the all_reduce alone, waited for
//   comp      the computation alone, made as long as that
//   thread    both, a progress thread moving the data
//   polled    both, the computation asking for the request now and then
//   silent    both, nobody asking until the computation is over
//   native    both, by MPI_Iallreduce of the library, nobody asking
//   sockets   both, two threads that wait in send and recv moving as many bytes
#include "sockets.hpp"

#include <tutti/mpi/mpi.hpp>
#include <tutti/tutti.hpp>

#include <algorithm>
#include <array>
#include <chrono>
#include <cstddef>
#include <cstdio>
#include <span>
#include <thread>
#include <vector>

namespace {

using world_type = tutti::mpi::communicator;

/// A thousand steps of a computation in registers.
double thousand(double x) {
  for (int k = 0; k < 1000; ++k) x = x * 1.0000001 + 1e-9;
  return x;
}
/// `blocks` thousands, asking in between.
template <class Ask> void compute(long blocks, Ask&& ask) {
  volatile double result = 1;
  for (long k = 0; k < blocks; ++k) {
    result = thousand(result);
    if (k % 64 == 0) ask(); // every 0.1 ms or so
  }
}

template <class Call> double timed(world_type& world, Call&& call) {
  std::vector<double> times;
  for (int k = -1; k < 5; ++k) {
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

/// An all_reduce in buckets.
class in_flight {
public:
  in_flight(world_type& on, std::span<float> data) {
    const std::size_t each = data.size() / buckets_.size();
    const auto segments = (std::max)(each * sizeof(float) / segment_bytes, std::size_t{1});
    for (std::size_t k = 0; k < buckets_.size(); ++k)
      buckets_[k] =
          tutti::async_all_reduce(on, data.subspan(k * each, each),
                                  tutti::pipelined{tutti::halving_doubling{}, int(segments)});
  }
  void test() {
    for (tutti::request& r : buckets_) (void)r.test();
  }
  void wait() {
    for (tutti::request& r : buckets_) r.wait();
  }

private:
  static constexpr std::size_t segment_bytes = std::size_t{128} << 10;
  std::array<tutti::request, 4> buckets_;
};

void measure(world_type& world, world_type& driven, std::size_t bytes) {
  std::vector<float> data(bytes / sizeof(float), 1.0f);
  const auto nothing = [] {};
  const auto start = [&](world_type& on) { return in_flight{on, data}; };
  const auto say = [&](const char* side, double us) {
    if (world.rank() == 0) std::printf("%s %zu %.1f\n", side, bytes, us);
  };
  const double comm = timed(world, [&] { start(world).wait(); });
  say("comm", comm);

  long blocks = 1000;
  const double first = timed(world, [&] { compute(blocks, nothing); });
  blocks = long(double(blocks) * comm / first);
  std::vector<double> same{double(blocks)}; // on both ranks
  tutti::broadcast(world, same);
  blocks = long(same[0]);
  say("comp", timed(world, [&] { compute(blocks, nothing); }));

  say("thread", timed(world, [&] {
        auto request = start(driven);
        compute(blocks, nothing);
        request.wait();
      }));
  say("polled", timed(world, [&] {
        auto request = start(world);
        compute(blocks, [&] { request.test(); });
        request.wait();
      }));
  say("silent", timed(world, [&] {
        auto request = start(world);
        compute(blocks, nothing);
        request.wait();
      }));
  say("native", timed(world, [&] {
        MPI_Request request = MPI_REQUEST_NULL;
        MPI_Iallreduce(MPI_IN_PLACE, data.data(), int(data.size()), MPI_FLOAT, MPI_SUM,
                       MPI_COMM_WORLD, &request);
        compute(blocks, nothing);
        MPI_Wait(&request, MPI_STATUS_IGNORE);
      }));

  const bench::sockets plain{world};
  std::vector<char> out(bytes), in(bytes);
  say("sockets", timed(world, [&] {
        std::thread mover{[&] { plain.exchange(out, in); }};
        compute(blocks, nothing);
        mover.join();
      }));
}

} // namespace

int main(int argc, char** argv) {
  tutti::mpi::environment env{argc, argv, tutti::mpi::threading::at_once};
  world_type world = tutti::mpi::world();
  world_type driven{MPI_COMM_WORLD, {.progress_thread = true}};
  for (const std::size_t mib : {4, 16}) measure(world, driven, mib << 20);
}
