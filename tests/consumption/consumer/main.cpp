#include <tutti/tutti.hpp>

#ifdef WITH_MPI
#include <tutti/mpi/mpi.hpp>
#endif

#include <array>

int main([[maybe_unused]] int argc, [[maybe_unused]] char** argv) {
  std::array values{1, 2, 3};
#ifdef WITH_MPI
  tutti::mpi::environment mpi{argc, argv};
  auto comm = tutti::mpi::world();
#else
  tutti::self comm;
#endif

  tutti::all_reduce(comm, values);

  return values == std::array{1, 2, 3} ? 0 : 1;
}
