// MPI's own functions, beneath the names that the interposer takes.
//
// It takes both names of a call, MPI_X and PMPI_X (CMakeLists.txt): Fortran's bindings, tools and
// programs come by either, and ranks that come by different doors have to meet in one place. So
// nothing here says PMPI_X of a call that is taken, which leads back to the interposer, but
// mpi().X.
#pragma once

#include <tutti/mpi/native.hpp>

#include <dlfcn.h>

// clang-format off
#if MPI_VERSION >= 4
#define TUTTI_TAKEN_OF_MPI_4(X) X(Comm_idup_with_info) X(Allreduce_c) X(Iallreduce_c) X(Reduce_c)  \
  X(Bcast_c) X(Allgather_c) X(Allgatherv_c) X(Reduce_scatter_c) X(Reduce_scatter_block_c)
#else
#define TUTTI_TAKEN_OF_MPI_4(X)
#endif

/// Every call that the interposer takes.
#define TUTTI_TAKEN(X)                                                                             \
  X(Init) X(Init_thread) X(Finalize)                                                               \
  X(Allreduce) X(Reduce) X(Bcast) X(Allgather) X(Allgatherv) X(Reduce_scatter)                     \
  X(Reduce_scatter_block) X(Iallreduce) X(Barrier)                                                 \
  X(Gather) X(Gatherv) X(Scatter) X(Scatterv) X(Alltoall) X(Alltoallv) X(Alltoallw) X(Scan)        \
  X(Exscan) X(Neighbor_allgather) X(Neighbor_allgatherv) X(Neighbor_alltoall)                      \
  X(Neighbor_alltoallv) X(Neighbor_alltoallw)                                                      \
  X(Comm_dup) X(Comm_dup_with_info) X(Comm_idup) X(Comm_create) X(Comm_split) X(Comm_split_type)   \
  X(Intercomm_create) X(Intercomm_merge) X(Cart_create) X(Cart_sub) X(Graph_create)                \
  X(Dist_graph_create) X(Dist_graph_create_adjacent) X(Comm_free) X(Comm_disconnect)               \
  X(Win_create) X(Win_allocate) X(Win_allocate_shared) X(Win_create_dynamic) X(File_open)          \
  X(Send) X(Ssend) X(Rsend) X(Bsend) X(Recv) X(Mrecv) X(Sendrecv) X(Sendrecv_replace)              \
  X(Probe) X(Mprobe) X(Iprobe) X(Improbe)                                                          \
  X(Wait) X(Waitall) X(Waitany) X(Waitsome) X(Test) X(Testall) X(Testany) X(Testsome)              \
  X(Request_get_status) X(Request_free)                                                            \
  TUTTI_TAKEN_OF_MPI_4(X)
// clang-format on

namespace interpose {

class next_of {
public:
  explicit next_of(const char* name) noexcept : at_{dlsym(RTLD_NEXT, name)} {}
  template <class Function> operator Function*() const noexcept {
    return reinterpret_cast<Function*>(at_);
  }

private:
  void* at_;
};

/// As the next library has them, which is MPI.
struct functions {
#define TUTTI_FUNCTION(name) decltype(&PMPI_##name) name = next_of{"PMPI_" #name};
  TUTTI_TAKEN(TUTTI_FUNCTION)
#undef TUTTI_FUNCTION
};

inline const functions& mpi() noexcept {
  static const functions all;
  return all;
}

} // namespace interpose
