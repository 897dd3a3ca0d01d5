// One call by all of its names, each rank by another at the same time: those of C and of Fortran,
// which are called as Fortran does it.
#include "check.hpp"

#include <dlfcn.h>

#include <initializer_list>

namespace check {
namespace {

/// From the first of these libraries that is there and has it.
void* found(std::initializer_list<const char*> libraries, const char* name) {
  for (const char* library : libraries)
    if (void* opened = dlopen(library, RTLD_NOW | RTLD_GLOBAL))
      if (void* at = dlsym(opened, name)) return at;
  return nullptr;
}
#ifdef OPEN_MPI
void* in_mpifh(const char* name) {
  return found({"libmpi_mpifh.so", "libmpi_mpifh.so.40"}, name);
}
void* in_f08(const char* name) {
  return found({"libmpi_usempif08.so", "libmpi_usempif08.so.40"}, name);
}
#else
void* in_mpifh(const char* name) {
  return found({"libmpichfort.so", "libmpichfort.so.12"}, name);
}
void* in_f08(const char* name) {
  return in_mpifh(name);
}
#endif

using barrier = void (*)(MPI_Fint* comm, MPI_Fint* code);
using all_reduce = void (*)(const void* from, void* to, MPI_Fint* n, MPI_Fint* type, MPI_Fint* op,
                            MPI_Fint* comm, MPI_Fint* code);

struct fortran {
  MPI_Fint world = MPI_Comm_c2f(MPI_COMM_WORLD), type = MPI_Type_c2f(MPI_INT),
           op = MPI_Op_c2f(MPI_SUM), one = 1, code = 0;
  barrier mpifh = reinterpret_cast<barrier>(in_mpifh("mpi_barrier_")),
          profiled = reinterpret_cast<barrier>(in_mpifh("pmpi_barrier_")),
          f08 = reinterpret_cast<barrier>(in_f08("mpi_barrier_f08_"));
  all_reduce sum = reinterpret_cast<all_reduce>(in_mpifh("mpi_allreduce_"));
};

constexpr int all_doors = 5;

void meet_by(int door, fortran& f) {
  if (door == 1) PMPI_Barrier(MPI_COMM_WORLD);
  else if (door == 2 && f.mpifh) f.mpifh(&f.world, &f.code);
  else if (door == 3 && f.f08) f.f08(&f.world, &f.code);
  else if (door == 4 && f.profiled) f.profiled(&f.world, &f.code);
  else MPI_Barrier(MPI_COMM_WORLD);
}

void sum_by(int door, int* mine, int* sum, fortran& f) {
  if (door == 1) PMPI_Allreduce(mine, sum, 1, MPI_INT, MPI_SUM, MPI_COMM_WORLD);
  else if (door == 2 && f.sum) f.sum(mine, sum, &f.one, &f.type, &f.op, &f.world, &f.code);
#if MPI_VERSION >= 4
  else if (door == 3) MPI_Allreduce_c(mine, sum, 1, MPI_INT, MPI_SUM, MPI_COMM_WORLD);
#endif
  else MPI_Allreduce(mine, sum, 1, MPI_INT, MPI_SUM, MPI_COMM_WORLD);
}

#if MPI_VERSION >= 4
/// Odd ranks count in MPI_Count.
void by_either_count(int rank, int size) {
  begin("ranks that count in int and in MPI_Count");
  std::vector<int> counts(std::size_t(size), 1), at(counts), all(counts), got(counts);
  std::vector<MPI_Count> wide(std::size_t(size), 1);
  std::vector<MPI_Aint> wide_at(std::size_t(size), 0);
  for (int r = 0; r < size; ++r) wide_at[std::size_t(r)] = at[std::size_t(r)] = r;
  const bool odd = rank % 2 != 0;
  const MPI_Comm c = MPI_COMM_WORLD;
  int told = rank == 0 ? 7 : 0, one = 1, sum = 0;
  if (odd) MPI_Bcast_c(&told, 1, MPI_INT, 0, c);
  else MPI_Bcast(&told, 1, MPI_INT, 0, c);
  that(told == 7, "MPI_Bcast");
  if (odd) MPI_Reduce_c(&one, &sum, 1, MPI_INT, MPI_SUM, 0, c);
  else MPI_Reduce(&one, &sum, 1, MPI_INT, MPI_SUM, 0, c);
  that(rank != 0 || sum == size, "MPI_Reduce");
  if (odd) MPI_Allgather_c(&rank, 1, MPI_INT, got.data(), 1, MPI_INT, c);
  else MPI_Allgather(&rank, 1, MPI_INT, got.data(), 1, MPI_INT, c);
  that(got == at, "MPI_Allgather");
  got.assign(got.size(), -1);
  if (odd) MPI_Allgatherv_c(&rank, 1, MPI_INT, got.data(), wide.data(), wide_at.data(), MPI_INT, c);
  else MPI_Allgatherv(&rank, 1, MPI_INT, got.data(), counts.data(), at.data(), MPI_INT, c);
  that(got == at, "MPI_Allgatherv");
  if (odd) MPI_Reduce_scatter_c(all.data(), &sum, wide.data(), MPI_INT, MPI_SUM, c);
  else MPI_Reduce_scatter(all.data(), &sum, counts.data(), MPI_INT, MPI_SUM, c);
  that(sum == size, "MPI_Reduce_scatter");
  sum = 0;
  if (odd) MPI_Reduce_scatter_block_c(all.data(), &sum, 1, MPI_INT, MPI_SUM, c);
  else MPI_Reduce_scatter_block(all.data(), &sum, 1, MPI_INT, MPI_SUM, c);
  that(sum == size, "MPI_Reduce_scatter_block");
  MPI_Request r = MPI_REQUEST_NULL;
  sum = 0;
  if (odd) MPI_Iallreduce_c(&one, &sum, 1, MPI_INT, MPI_SUM, c, &r);
  else MPI_Iallreduce(&one, &sum, 1, MPI_INT, MPI_SUM, c, &r);
  MPI_Wait(&r, MPI_STATUS_IGNORE);
  that(sum == size, "MPI_Iallreduce");
}
#endif

} // namespace

void doors() {
  begin("ranks that enter by different doors");
  const int size = size_of(MPI_COMM_WORLD);
  int rank = rank_in(MPI_COMM_WORLD);
  fortran f;
  that(f.mpifh && f.profiled && f.f08 && f.sum, "Fortran's bindings were not found");
  for (int turn = 0; turn < all_doors * all_doors; ++turn) {
    meet_by((rank * (1 + turn / all_doors) + turn) % all_doors, f);
    int sum = 0;
    sum_by((rank + turn) % 4, &rank, &sum, f);
    that(sum == size * (size - 1) / 2, "MPI_Allreduce by different doors");
  }
  that(f.code == MPI_SUCCESS, "Fortran's calls failed");
#if MPI_VERSION >= 4
  by_either_count(rank, size);
#endif
}

} // namespace check
