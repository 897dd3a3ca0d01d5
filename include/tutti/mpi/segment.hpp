// Memory that the processes of one node share: a POSIX shared-memory object of our own. (With
// MPI_Win_allocate_shared, a full /dev/shm ended in SIGBUS with Open MPI 4.1 and a hang with
// MPICH 4.0.)
#pragma once

#include <tutti/communicators/direct_access.hpp>
#include <tutti/communicators/rendezvous.hpp>

#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <memory>
#include <optional>
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

/// What a rank could not do; nothing when it could.
using complaint = std::optional<std::string>;

/// A shared-memory object until everyone has mapped it: its name goes away with it.
class named_object {
public:
  explicit named_object(std::uint64_t id) {
    constexpr char digits[] = "0123456789abcdef";
    name_ = "/tutti-";
    for (int shift = 60; shift >= 0; shift -= 4) name_ += digits[id >> shift & 15];
  }
  named_object(const named_object&) = delete;
  named_object& operator=(const named_object&) = delete;
  ~named_object() {
    if (fd_ >= 0) close(fd_);
    if (mine_) shm_unlink(name_.c_str());
  }

  complaint create(std::size_t bytes) {
    fd_ = shm_open(name_.c_str(), O_CREAT | O_EXCL | O_RDWR, 0600);
    if (fd_ < 0) return text("shm_open");
    mine_ = true;
    if (ftruncate(fd_, off_t(bytes)) != 0) return text("ftruncate");
    return {};
  }
  complaint open() {
    fd_ = shm_open(name_.c_str(), O_RDWR, 0600);
    return fd_ < 0 ? text("shm_open") : complaint{};
  }
  /// The pages are there from then on: touching them cannot fail.
  complaint reserve(std::size_t begin, std::size_t bytes) {
    int failed = EINTR;
    while (failed == EINTR) failed = posix_fallocate(fd_, off_t(begin), off_t(bytes));
    errno = failed;
    return failed ? text("posix_fallocate") : complaint{};
  }
  std::byte* map(std::size_t bytes, complaint& wrong) {
    void* at = mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd_, 0);
    if (at != MAP_FAILED) return static_cast<std::byte*>(at);
    wrong = text("mmap");
    return nullptr;
  }

private:
  static complaint text(const char* call) {
    return std::string{call} + ": " + std::strerror(errno);
  }

  std::string name_;
  int fd_ = -1;
  bool mine_ = false;
};

/// A number that no other object of this machine has.
inline std::uint64_t fresh_id() {
  const auto now = std::uint64_t(clock::now().time_since_epoch().count());
  return now * 0x9e3779b97f4a7c15u ^ std::uint64_t(getpid()) << 40;
}

/// Collective over ranks of one node: `bytes` of zeros for each. Where any rank cannot, none has
/// it; `wrong` then says what this rank could not do, or that another one could not.
template <class Comm>
std::shared_ptr<segment> make_segment(Comm& comm, std::size_t bytes, deadline until,
                                      complaint& wrong) {
  const std::size_t page = std::size_t(sysconf(_SC_PAGESIZE));
  const std::size_t part = (bytes + page - 1) / page * page,
                    total = part * std::size_t(comm.size());
  const std::uint64_t mine = fresh_id();
  const auto say = [&](std::uint64_t a, std::uint64_t b) {
    const std::uint64_t words[] = {a, b};
    return tutti::detail::rendezvous(comm, "allocate", std::span<const std::uint64_t>{words},
                                     until);
  };
  std::optional<named_object> object;
  const bool first = comm.rank() == 0;
  if (first) wrong = object.emplace(mine).create(total);
  const auto said = say(first && wrong ? 0 : mine, bytes); // created before anyone opens it
  for (int r = 1; r < comm.size(); ++r)
    if (said[2 * std::size_t(r) + 1] != said[1])
      throw error{{.code = error_code::mismatch,
                   .call = "allocate",
                   .rank = comm.rank(),
                   .peer = comm.rank() == r ? 0 : r,
                   .detail = "rank 0 asks for " + std::to_string(said[1]) + " bytes, rank " +
                             std::to_string(r) + " for " +
                             std::to_string(said[2 * std::size_t(r) + 1]) +
                             " - give the same length on every rank"}};
  const std::uint64_t id = said[0];
  std::byte* begin = nullptr;
  if (id == 0) {
    if (!wrong) wrong = "rank 0 could not create it";
  } else {
    if (!first) wrong = object.emplace(id).open();
    if (!wrong) wrong = object->reserve(std::size_t(comm.rank()) * part, part);
    if (!wrong) begin = object->map(total, wrong);
  }
  bool everyone = true;
  for (const std::uint64_t fine : say(begin != nullptr, 1)) everyone = everyone && fine != 0;
  if (everyone) return std::make_shared<segment>(begin, total, part);
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
