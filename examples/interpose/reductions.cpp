#include "reductions.hpp"

#include <tutti/collectives/collectives.hpp>

#include <concepts>
#include <cstdint>
#include <span>
#include <type_traits>

namespace interpose {

namespace {

/// A type of C by its size and its sign.
template <class T> constexpr element element_for() {
  if constexpr (std::same_as<T, float>) return element::f32;
  else if constexpr (std::same_as<T, double>) return element::f64;
  else if constexpr (sizeof(T) == 1) return std::is_signed_v<T> ? element::i8 : element::u8;
  else if constexpr (sizeof(T) == 4) return std::is_signed_v<T> ? element::i32 : element::u32;
  else return std::is_signed_v<T> ? element::i64 : element::u64;
}

struct known_type {
  MPI_Datatype handle;
  element of;
  std::size_t bytes;
};
template <class T> known_type known(MPI_Datatype handle) {
  static_assert(sizeof(T) == 1 || sizeof(T) == 4 || sizeof(T) == 8);
  return {handle, element_for<T>(), sizeof(T)};
}

const known_type* find_type(MPI_Datatype type) {
  static const known_type all[] = {known<float>(MPI_FLOAT),
                                   known<double>(MPI_DOUBLE),
                                   known<int>(MPI_INT),
                                   known<long>(MPI_LONG),
                                   known<long long>(MPI_LONG_LONG),
                                   known<unsigned>(MPI_UNSIGNED),
                                   known<unsigned long>(MPI_UNSIGNED_LONG),
                                   known<unsigned long long>(MPI_UNSIGNED_LONG_LONG),
                                   known<signed char>(MPI_SIGNED_CHAR),
                                   known<unsigned char>(MPI_UNSIGNED_CHAR),
                                   known<std::int8_t>(MPI_INT8_T),
                                   known<std::uint8_t>(MPI_UINT8_T),
                                   known<std::int32_t>(MPI_INT32_T),
                                   known<std::uint32_t>(MPI_UINT32_T),
                                   known<std::int64_t>(MPI_INT64_T),
                                   known<std::uint64_t>(MPI_UINT64_T),
                                   known<MPI_Aint>(MPI_AINT),
                                   known<MPI_Offset>(MPI_OFFSET),
                                   known<MPI_Count>(MPI_COUNT)};
  for (const known_type& t : all)
    if (t.handle == type) return &t;
  return nullptr;
}

std::optional<reducer> find_reducer(MPI_Op op) {
  if (op == MPI_SUM) return reducer::sum;
  if (op == MPI_PROD) return reducer::product;
  if (op == MPI_MIN) return reducer::min;
  if (op == MPI_MAX) return reducer::max;
  return std::nullopt;
}

template <class T, class Reducer>
tutti::request start_by(reducing what, tutti::mpi::communicator& comm, std::span<T> data, int root,
                        const Reducer& by) {
  switch (what) {
  case reducing::all_reduce:
    return tutti::async_all_reduce(comm, data, by, forever);
  case reducing::reduce:
    return tutti::async_reduce(comm, data, root, by, forever);
  case reducing::reduce_scatter:
    return tutti::async_reduce_scatter(comm, data, by, forever);
  }
  return {};
}

template <class T>
tutti::request start_of(reducing what, tutti::mpi::communicator& comm, reducer by, void* at,
                        std::size_t n, int root) {
  const std::span data{static_cast<T*>(at), n};
  switch (by) {
  case reducer::sum:
    return start_by(what, comm, data, root, tutti::sum{});
  case reducer::product:
    return start_by(what, comm, data, root, tutti::product{});
  case reducer::min:
    return start_by(what, comm, data, root, tutti::min{});
  case reducer::max:
    return start_by(what, comm, data, root, tutti::max{});
  }
  return {};
}

} // namespace

std::optional<reduction> reduction_of(MPI_Datatype type, MPI_Op op) {
  const known_type* of = find_type(type);
  const auto by = find_reducer(op);
  if (!of || !by) return std::nullopt;
  return reduction{of->of, *by, of->bytes};
}

tutti::request start(reducing what, tutti::mpi::communicator& comm, const reduction& how,
                     void* data, std::size_t n, int root) {
  switch (how.of) {
  case element::f32:
    return start_of<float>(what, comm, how.by, data, n, root);
  case element::f64:
    return start_of<double>(what, comm, how.by, data, n, root);
  case element::i8:
    return start_of<std::int8_t>(what, comm, how.by, data, n, root);
  case element::u8:
    return start_of<std::uint8_t>(what, comm, how.by, data, n, root);
  case element::i32:
    return start_of<std::int32_t>(what, comm, how.by, data, n, root);
  case element::u32:
    return start_of<std::uint32_t>(what, comm, how.by, data, n, root);
  case element::i64:
    return start_of<std::int64_t>(what, comm, how.by, data, n, root);
  case element::u64:
    return start_of<std::uint64_t>(what, comm, how.by, data, n, root);
  }
  return {};
}

} // namespace interpose
