// Ranks that are processes of one machine, with device memory each, average it in three ways: through pinned memory of
// the host, in messages of an MPI that takes device memory, and by reading each other's (CUDA IPC). All have the bits
// of the host.
//
//   mpiexec -n 4 cuda_mpi [--always]        --always: MPI takes device memory, whatever it says
//
// test(mpi 2):
// test(mpi 4):
#include <tutti/cuda/aware_all_reduce.cuh>
#include <tutti/cuda/direct.cuh>
#include <tutti/mpi/mpi.hpp>
#include <tutti/tutti.hpp>

#include <cstdio>
#include <string_view>
#include <vector>

namespace gpu = tutti::cuda; // CUB has a cuda of its own

namespace {

constexpr std::size_t n = 1'000'003;

void copy(const gpu::stream& on, void* to, const void* from) {
  gpu::check(cudaMemcpyAsync(to, from, n * sizeof(float), cudaMemcpyDefault, on.handle()), "copy");
  on.wait();
}

/// Says whether `data` holds what is wanted on every rank.
bool holds(tutti::mpi::communicator& world, const gpu::stream& on, gpu::device_span<const float> data,
           const std::vector<float>& wanted, const char* way) {
  std::vector<float> got(n);
  copy(on, got.data(), data.data());
  std::vector<std::uint64_t> right{got == wanted};
  tutti::all_reduce(world, right, tutti::min{});
  if (world.rank() == 0)
    std::printf("%d ranks on %d devices, %s: %s\n", world.size(), gpu::device_count(), way,
                right[0] ? "the bits of the host" : "WRONG");
  return right[0] != 0;
}

} // namespace

int main(int argc, char** argv) {
  const tutti::mpi::environment env{argc, argv};
  if (gpu::device_count() == 0) {
    std::puts("skipped: there is no GPU here");
    return 77;
  }
  const bool always = argc > 1 && std::string_view{argv[1]} == "--always";
  auto world = tutti::mpi::world(
      {.device_memory = always ? tutti::mpi::device_messages::always : tutti::mpi::device_messages::as_queried});
  const gpu::stream on{world.rank() % gpu::device_count()};

  std::vector<float> mine(n);
  for (std::size_t i = 0; i < n; ++i) mine[i] = float(world.rank() + 1) / float(i % 1000 + 3);
  std::vector<float> wanted = mine;
  tutti::all_reduce(world, wanted, tutti::mean{}, tutti::direct{});

  bool good = true;
  {
    gpu::staging through;
    const gpu::plain_buffer<float> data{on, n};
    copy(on, data.span().data(), mine.data());
    gpu::all_reduce(world, on, data.span(), through, tutti::mean{}, tutti::direct{});
    good = holds(world, on, data.span(), wanted, "through the host") && good;
  }
  {
    gpu::host_transport by{world, on};
    const gpu::plain_buffer<float> data{on, n};
    copy(on, data.span().data(), mine.data());
    gpu::aware_all_reduce(world, on, data.span(), by, tutti::mean{}, tutti::direct{});
    good = holds(world, on, data.span(), wanted,
                 by.is_staged() ? "through the host, as this MPI takes no device memory" : "in messages of MPI") &&
           good;
  }
  gpu::peer_buffer<float> data{world, on, n};
  if (data.reaches()) {
    copy(on, data.span().data(), mine.data());
    gpu::direct_all_reduce(tutti::mean{}, data);
    good = holds(world, on, data.span(), wanted, "in each other's memory") && good;
  } else if (world.rank() == 0) {
    std::printf("ranks do not reach each other's memory - %s\n", data.why_not().c_str());
  }
  return good ? 0 : 1;
}
