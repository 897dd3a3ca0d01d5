// Memory that the processes of one node share: a POSIX shared-memory object of our own. (With
// MPI_Win_allocate_shared, a full /dev/shm ended in SIGBUS with Open MPI 4.1 and a hang with
// MPICH 4.0.)
#pragma once

#include <tutti/collectives/failed_call.hpp>
#include <tutti/communicators/direct_access.hpp>
#include <tutti/communicators/rendezvous.hpp>
#include <tutti/mpi/shared_object.hpp>

#include <sys/mman.h>
#include <unistd.h>

#include <cstdint>
#include <memory>
#include <string>
#include <utility>

namespace tutti::mpi::detail {

/// A mapped object, in which every rank has a part of the same length on pages of its own.
class segment {
public:
  segment(std::byte* begin, std::size_t bytes, std::size_t part)
      : begin_{begin}, bytes_{bytes}, part_{part} {}
  segment(const segment&) = delete;
  segment& operator=(const segment&) = delete;
  ~segment() { munmap(begin_, bytes_); }

  std::byte* part(int rank) const noexcept { return begin_ + std::size_t(rank) * part_; }

private:
  std::byte* begin_;
  std::size_t bytes_, part_;
};

/// Collective over ranks of one node: `bytes` of zeros for each. Where any rank cannot, none has
/// it; `wrong` then says what this rank could not do, or that another one could not.
template <class Comm>
std::shared_ptr<segment> make_segment(Comm& comm, std::size_t bytes, deadline until,
                                      complaint& wrong) {
  const std::size_t page = std::size_t(sysconf(_SC_PAGESIZE)), size = std::size_t(comm.size());
  const bool fits = bytes <= std::size_t(PTRDIFF_MAX) / size - page;
  const std::size_t part = fits ? (bytes + page - 1) / page * page : 0, total = part * size;
  const auto say = [&](auto... words) {
    const std::uint64_t mine[] = {std::uint64_t(words)...};
    return tutti::detail::rendezvous(comm, "allocate", std::span<const std::uint64_t>{mine}, until);
  };
  const auto everyone = [&](bool fine) {
    for (const std::uint64_t theirs : say(fine)) fine = fine && theirs != 0;
    return fine;
  };
  shared_object object;
  const bool first = comm.rank() == 0;
  if (!fits) wrong = "more than there are addresses";
  else if (first) wrong = object.create(total);
  const auto said = say(object.id(), bytes, first && wrong ? 0 : 1); // created before anyone opens it
  for (std::size_t r = 1; r < size; ++r)
    if (said[3 * r + 1] != said[1])
      throw error{{.code = error_code::mismatch,
                   .call = "allocate",
                   .rank = comm.rank(),
                   .peer = comm.rank() == int(r) ? 0 : int(r),
                   .detail = "rank 0 asks for " + std::to_string(said[1]) + " bytes, rank " +
                             std::to_string(r) + " for " + std::to_string(said[3 * r + 1]) +
                             " - give the same length on every rank"}};
  if (said[2] == 0) {
    if (!wrong) wrong = "rank 0 could not create it";
    return nullptr;
  }
  if (!first) wrong = object.open(said[0]);
  if (!everyone(!wrong)) {
    if (!wrong) wrong = "another rank could not open it";
    return nullptr;
  }
  object.unlink(); // whoever is killed from here on leaves nothing behind
  std::byte* begin = nullptr;
  wrong = object.reserve(std::size_t(comm.rank()) * part, part, until);
  if (wrong && clock::now() >= until)
    tutti::detail::fail_call(comm, "allocate",
                             {.code = error_code::timeout,
                              .peer = comm.rank(),
                              .detail = "rank " + std::to_string(comm.rank()) + " could not reserve " +
                                        std::to_string(part) + " bytes of shared memory in time - raise "
                                        "tutti::options::timeout"},
                             [] {});
  if (!wrong) begin = object.map(total, wrong);
  if (everyone(begin != nullptr)) return std::make_shared<segment>(begin, total, part);
  if (begin) munmap(begin, total);
  if (!wrong) wrong = "another rank could not map it";
  return nullptr;
}

/// One rank's view of a segment.
struct shared_memory final : tutti::detail::symmetric_memory {
  shared_memory(std::shared_ptr<const segment> all, int rank, int size) : whole{std::move(all)} {
    for (int r = 0; r < size; ++r) places.push_back(whole->part(r));
    own = places[std::size_t(rank)];
  }
  std::shared_ptr<const segment> whole;
};

/// Where nothing is shared: zeroed memory of this rank alone.
struct private_memory final : tutti::detail::symmetric_memory {
  explicit private_memory(std::size_t bytes) : all{new (std::align_val_t{64}) std::byte[bytes]{}} {
    own = all.get();
  }
  struct release {
    void operator()(std::byte* at) const { ::operator delete[](at, std::align_val_t{64}); }
  };
  std::unique_ptr<std::byte[], release> all;
};

} // namespace tutti::mpi::detail
