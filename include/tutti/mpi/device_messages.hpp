// Whether this MPI moves memory of CUDA devices: what it says of itself when it runs.
#pragma once

#include <tutti/mpi/native.hpp>

#if defined(OPEN_MPI) && __has_include(<mpi-ext.h>)
#include <mpi-ext.h>
#endif

namespace tutti::mpi {

/// Whether messages may name memory of a CUDA device. An MPI that was built for it may not be able to when it runs, and
/// the other way round (open-mpi/ompi#7963), so by default it is asked then, on every rank. Who moves device memory
/// looks once more whether it does (cuda/device_execution.cuh); an MPI that is told to and cannot may end the job.
enum class device_messages {
  as_queried, ///< MPIX_Query_cuda_support of Open MPI, MPIX_GPU_query_support of MPICH; others do not
  never,
  always ///< for an MPI that does and does not say so
};

namespace detail {

/// Of this process.
inline bool takes_device_memory(device_messages asked_for) {
  if (asked_for != device_messages::as_queried) return asked_for == device_messages::always;
#if defined(OPEN_MPI) && defined(MPIX_CUDA_AWARE_SUPPORT)
  return MPIX_Query_cuda_support() == 1;
#elif defined(MPIX_GPU_SUPPORT_CUDA)
  int it_does = 0;
  return MPIX_GPU_query_support(MPIX_GPU_SUPPORT_CUDA, &it_does) == MPI_SUCCESS && it_does == 1;
#else
  return false;
#endif
}

/// Of all of them.
inline bool all_take_device_memory(MPI_Comm comm, device_messages asked_for) {
  int mine = detail::takes_device_memory(asked_for), all = 0;
  check(MPI_Allreduce(&mine, &all, 1, MPI_INT, MPI_MIN, comm), "MPI_Allreduce");
  return all == 1;
}

} // namespace detail
} // namespace tutti::mpi
