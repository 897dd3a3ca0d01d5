// The reductions that tutti computes: which of MPI's they are, and how one is started.
#pragma once

#include <tutti/communicators/operation.hpp>
#include <tutti/mpi/communicator.hpp>

#include <chrono>
#include <cstddef>
#include <optional>

namespace interpose {

/// No call of MPI has a time limit.
inline constexpr tutti::options forever{.timeout = (std::chrono::milliseconds::max)()};

enum class element { f32, f64, i8, u8, i32, u32, i64, u64 };
enum class reducer { sum, product, min, max };
enum class reducing { all_reduce, reduce, reduce_scatter };

struct reduction {
  element of;
  reducer by;
  std::size_t element_bytes;
};

/// By the handles, which are the same on all ranks; none for what MPI has to do.
std::optional<reduction> reduction_of(MPI_Datatype type, MPI_Op op);

/// In place, on n elements; the root is that of `reduce`.
tutti::request start(reducing what, tutti::mpi::communicator& comm, const reduction& how,
                     void* data, std::size_t n, int root = 0);

} // namespace interpose
