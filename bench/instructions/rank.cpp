// One rank of bench/instructions.cpp: bench_instructions_rank_O2 tutti|by_hand N REPETITIONS.
// Prints "rank R pid P posts X": how many MPI_Isend and MPI_Irecv one call made.
//
// Callgrind counts while measured() runs (--toggle-collect). MPI's functions that this program
// calls are wrapped: posting calls are counted, and a test of all requests returns when they are
// complete, so that the number of polls, which depends on the other process, does not count. The
// wrappers themselves are left out of the count by their names.
#include <tutti/mpi/mpi.hpp>
#include <tutti/tutti.hpp>

#include <sched.h>
#include <unistd.h>

#include <cstddef>
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <stdexcept>
#include <string_view>
#include <vector>

namespace {

long posts = 0;
bool counting = false;

constexpr int warm_up_calls = 3;

void check(int code) {
  if (code != MPI_SUCCESS) throw std::runtime_error("MPI failed");
}

void finish(MPI_Request* requests, int count) {
  for (int done = 0;;) {
    check(MPI_Testall(count, requests, &done, MPI_STATUSES_IGNORE));
    if (done) return;
    sched_yield();
  }
}

void exchange(MPI_Comm comm, int peer, const float* out, std::size_t sent, float* in,
              std::size_t received) {
  MPI_Request requests[2];
  int count = 0;
  if (received > 0)
    check(MPI_Irecv(in, static_cast<int>(received), MPI_FLOAT, peer, 0, comm, &requests[count++]));
  if (sent > 0)
    check(MPI_Isend(out, static_cast<int>(sent), MPI_FLOAT, peer, 0, comm, &requests[count++]));
  finish(requests, count);
}

void add(float* __restrict mine, const float* __restrict received, std::size_t n) {
  for (std::size_t i = 0; i < n; ++i) mine[i] += received[i];
}

/// What an expert writes for this one case: the sum of floats, in place, two ranks, two chunks,
/// reduce-scatter then all-gather. Rank r completes chunk r.
void all_reduce_by_hand(MPI_Comm comm, int rank, float* data, std::size_t n) {
  const std::size_t first = (n + 1) / 2;
  float* mine = rank == 0 ? data : data + first;
  float* other = rank == 0 ? data + first : data;
  const std::size_t mine_n = rank == 0 ? first : n - first, other_n = n - mine_n;
  const std::unique_ptr<float[]> received(new float[mine_n]);

  exchange(comm, 1 - rank, other, other_n, received.get(), mine_n);
  add(mine, received.get(), mine_n);
  exchange(comm, 1 - rank, mine, mine_n, other, other_n);
}

} // namespace

extern "C" {

[[gnu::noinline]] int MPI_Isend(const void* buffer, int count, MPI_Datatype type, int peer, int tag,
                                MPI_Comm comm, MPI_Request* request) {
  ++posts;
  return PMPI_Isend(buffer, count, type, peer, tag, comm, request);
}

[[gnu::noinline]] int MPI_Irecv(void* buffer, int count, MPI_Datatype type, int peer, int tag,
                                MPI_Comm comm, MPI_Request* request) {
  ++posts;
  return PMPI_Irecv(buffer, count, type, peer, tag, comm, request);
}

[[gnu::noinline]] int MPI_Testall(int count, MPI_Request* requests, int* done,
                                  MPI_Status* statuses) {
  int code = PMPI_Testall(count, requests, done, statuses);
  while (counting && code == MPI_SUCCESS && !*done) {
    sched_yield();
    code = PMPI_Testall(count, requests, done, statuses);
  }
  return code;
}

} // extern "C"

namespace {

/// Called through a pointer, so that neither side is compiled into the other's caller.
struct side {
  tutti::mpi::communicator world = tutti::mpi::world();
  MPI_Comm plain = MPI_COMM_WORLD;

  void tutti_call(std::vector<float>& data) {
    tutti::all_reduce(world, data, tutti::ring{}, tutti::sum{});
  }
  void by_hand_call(std::vector<float>& data) {
    all_reduce_by_hand(plain, world.rank(), data.data(), data.size());
  }
};
using call = void (side::*)(std::vector<float>&);

} // namespace

extern "C" [[gnu::noinline]] void measured(void* ranks, void* which, void* data) {
  (static_cast<side*>(ranks)->**static_cast<call*>(which))(*static_cast<std::vector<float>*>(data));
}

int main(int argc, char** argv) {
  if (argc != 4) {
    std::fputs("bench_instructions_rank tutti|by_hand FLOATS REPETITIONS\n", stderr);
    return 2;
  }
  tutti::mpi::environment env(argc, argv);
  side ranks;
  call which = std::string_view(argv[1]) == "tutti" ? &side::tutti_call : &side::by_hand_call;
  const auto n = static_cast<std::size_t>(std::atoll(argv[2]));
  const int repetitions = std::atoi(argv[3]);
  std::vector<float> data(n, 1.0f);
  if (ranks.world.size() != 2) return 2;

  for (int k = 0; k < warm_up_calls; ++k) (ranks.*which)(data);
  posts = 0;
  counting = true;
  for (int k = 0; k < repetitions; ++k) measured(&ranks, &which, &data);
  counting = false;

  float expected = 1;
  for (int k = 0; k < warm_up_calls + repetitions; ++k) expected *= 2;
  for (const float x : data)
    if (x != expected) {
      std::fprintf(stderr, "%s: %g instead of %g\n", argv[1], x, expected);
      return 1;
    }
  std::printf("rank %d pid %d posts %g\n", ranks.world.rank(), static_cast<int>(getpid()),
              static_cast<double>(posts) / repetitions);
  return 0;
}
