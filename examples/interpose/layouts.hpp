// What MPI's datatypes describe, as bytes in a row.
#pragma once

#include <tutti/mpi/native.hpp>

#include <cstddef>
#include <cstring>

namespace interpose {

/// Ranks that name a datatype each in its own way agree on the bytes of it.
inline std::size_t size_of(MPI_Datatype type) {
  MPI_Count bytes = 0;
  PMPI_Type_size_x(type, &bytes);
  return bytes > 0 ? std::size_t(bytes) : 0;
}
/// From one element to the next.
inline std::ptrdiff_t extent_of(MPI_Datatype type) {
  MPI_Aint least = 0, extent = 0;
  PMPI_Type_get_extent(type, &least, &extent);
  return extent;
}

/// The k-th element.
inline std::byte* place(void* first, std::ptrdiff_t k, MPI_Datatype type) {
  return static_cast<std::byte*>(first) + k * extent_of(type);
}

/// Whether elements lie in a row as they travel. A type that was built may be as long as its bytes
/// and still name them in another order.
inline bool lies_in_a_row(MPI_Datatype type) {
  int integers = 0, addresses = 0, types = 0, combiner = 0;
  PMPI_Type_get_envelope(type, &integers, &addresses, &types, &combiner);
  return combiner == MPI_COMBINER_NAMED && std::size_t(extent_of(type)) == size_of(type);
}

/// MPI's answer to a type that cannot be sent, which it gives to this rank alone.
inline int answer_to(MPI_Datatype type, MPI_Comm comm) {
  if (lies_in_a_row(type)) return MPI_SUCCESS;
  char nothing = 0;
  int position = 0;
  return PMPI_Pack(&nothing, 0, type, &nothing, 1, &position, comm);
}

/// count elements as one. Those that lie at MPI_BOTTOM, from which MPICH 4.0 packs nothing, lie
/// somewhere else when they are counted from there.
class seen_from_somewhere {
public:
  seen_from_somewhere(int count, MPI_Datatype type) {
    MPI_Aint here = 0;
    PMPI_Get_address(&somewhere_, &here);
    const MPI_Aint back = -here;
    PMPI_Type_create_hindexed(1, &count, &back, type, &type_);
    PMPI_Type_commit(&type_);
  }
  seen_from_somewhere(const seen_from_somewhere&) = delete;
  seen_from_somewhere& operator=(const seen_from_somewhere&) = delete;
  ~seen_from_somewhere() { PMPI_Type_free(&type_); }

  char* start() { return &somewhere_; }
  MPI_Datatype type() const { return type_; }

private:
  char somewhere_ = 0;
  MPI_Datatype type_ = MPI_DATATYPE_NULL;
};

/// count elements at `from` into a row; at most INT_MAX bytes.
inline int pack(const void* from, int count, MPI_Datatype type, std::byte* to, MPI_Comm comm) {
  const std::size_t bytes = std::size_t(count) * size_of(type);
  if (bytes == 0) return MPI_SUCCESS;
  if (lies_in_a_row(type)) return std::memmove(to, from, bytes), MPI_SUCCESS;
  int position = 0;
  if (from != MPI_BOTTOM) return PMPI_Pack(from, count, type, to, int(bytes), &position, comm);
  seen_from_somewhere all{count, type};
  return PMPI_Pack(all.start(), 1, all.type(), to, int(bytes), &position, comm);
}
inline int unpack(const std::byte* from, void* to, int count, MPI_Datatype type, MPI_Comm comm) {
  const std::size_t bytes = std::size_t(count) * size_of(type);
  if (bytes == 0) return MPI_SUCCESS;
  if (lies_in_a_row(type)) return std::memcpy(to, from, bytes), MPI_SUCCESS;
  int position = 0;
  if (to != MPI_BOTTOM) return PMPI_Unpack(from, int(bytes), &position, to, count, type, comm);
  seen_from_somewhere all{count, type};
  return PMPI_Unpack(from, int(bytes), &position, all.start(), 1, all.type(), comm);
}

} // namespace interpose
