// One rank of `selection`: all_reduce on every candidate of tutti::automatic, on its choice and on
// the default; or the MPI library's.
//
//   bench_selection_rank SIDE...     SIDE is tutti or native; prints "NAME BYTES MICROSECONDS"
#include <tutti/collectives/priced.hpp>
#include <tutti/mpi/mpi.hpp>
#include <tutti/tutti.hpp>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <string>
#include <string_view>
#include <vector>

namespace {

using world_type = tutti::mpi::communicator;

/// The median of calls, each as long as its slowest rank takes; short ones in batches, long ones less often.
template <class Call> double timed(world_type& world, Call&& call) {
  const auto take = [&](int batch) {
    tutti::barrier(world);
    const auto begin = std::chrono::steady_clock::now();
    for (int j = 0; j < batch; ++j) call();
    const std::chrono::duration<double, std::micro> took = std::chrono::steady_clock::now() - begin;
    return took.count() / batch;
  };
  take(1);
  std::vector<double> about{take(1)};
  tutti::all_reduce(world, about, tutti::max{});
  const int batch = int(std::clamp(2000 / about[0], 1.0, 20.0));
  const int repetitions = int(std::clamp(200'000 / (about[0] * batch), 5.0, 15.0));
  std::vector<double> times;
  for (int k = 0; k < repetitions; ++k) times.push_back(take(batch));
  tutti::all_reduce(world, times, tutti::max{});
  std::sort(times.begin(), times.end());
  return times[times.size() / 2];
}

void say(world_type& world, std::string name, std::size_t bytes, double us) {
  std::replace(name.begin(), name.end(), ' ', '_');
  if (world.rank() == 0) std::printf("%s %zu %.3f\n", name.c_str(), bytes, us);
}

void ours(world_type& world, const tutti::automatic& automatic, std::size_t bytes) {
  std::vector<float> data(bytes / sizeof(float));
  const auto on = [&](const std::string& name, const auto& topology) {
    say(world, name, bytes, timed(world, [&] { tutti::all_reduce(world, data, topology); }));
  };
  on("automatic", automatic);
  on("default", tutti::default_topology{});
  std::apply(
      [&](const auto&... candidate) {
        (on(std::string{"on_"} + candidate.name, candidate.topology), ...);
      },
      tutti::detail::candidates<tutti::collective::all_reduce, false>());
}

} // namespace

int main(int argc, char** argv) {
  return tutti::mpi::run(argc, argv, [&](world_type& world) {
    const tutti::automatic automatic{world};
    for (std::size_t bytes = 64; bytes <= (std::size_t{16} << 20); bytes *= 16)
      for (int k = 1; k < argc; ++k) {
        if (std::string_view{argv[k]} == "tutti") {
          ours(world, automatic, bytes);
          continue;
        }
        std::vector<float> data(bytes / sizeof(float));
        say(world, "native", bytes, timed(world, [&] {
              MPI_Allreduce(MPI_IN_PLACE, data.data(), int(data.size()), MPI_FLOAT, MPI_SUM,
                            MPI_COMM_WORLD);
            }));
      }
  });
}
