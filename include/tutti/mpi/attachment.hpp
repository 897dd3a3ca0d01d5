// Cross-memory attach: the kernel copies between the memories of two processes of one node, so that
// data which only its own rank can reach needs no stage.
#pragma once

#include <tutti/communicators/rendezvous.hpp>
#include <tutti/mpi/native.hpp>

#include <algorithm>
#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <memory>
#include <string>
#include <vector>

#include <sys/types.h>
#include <unistd.h>
#if defined(__linux__)
#include <sys/uio.h>
#endif

namespace tutti::mpi::detail {

/// The processes of one communicator, each of which every other one may read and write.
class attachment {
public:
  /// Collective. For data of at least the largest of all ranks' `from` bytes; null on every rank
  /// where that is SIZE_MAX on any, or the kernel forbids any of them.
  template <class Comm>
  static std::unique_ptr<attachment> make(Comm& comm, std::size_t from, deadline until) {
    const auto say = [&](const auto&... words) {
      const std::uint64_t mine[] = {std::uint64_t(words)...};
      return tutti::detail::rendezvous(comm, "communicator", std::span<const std::uint64_t>{mine},
                                       until);
    };
    const std::uint64_t word = sign + std::uint64_t(comm.rank());
    const auto said = say(from, getpid(), reinterpret_cast<std::uintptr_t>(&word));
    auto all = std::make_unique<attachment>();
    for (std::size_t r = 0; r < std::size_t(comm.size()); ++r) {
      all->from_ = (std::max)(all->from_, std::size_t(said[3 * r]));
      all->processes_.push_back(pid_t(said[3 * r + 1]));
    }
    if (all->from_ == SIZE_MAX) return nullptr;
    bool fine = true;
    for (int r = 0; r < comm.size(); ++r)
      fine = all->finds_sign(r, said[3 * std::size_t(r) + 2]) && fine;
    for (const std::uint64_t ok : say(fine)) fine = fine && ok != 0;
    return fine ? std::move(all) : nullptr;
  }

  std::size_t from() const noexcept { return from_; }

  /// From and to another rank's memory. Throws `transport` naming it.
  void read(int peer, void* to, const std::byte* from, std::size_t bytes) const {
    check(move(way::from, peer, to, reinterpret_cast<std::uintptr_t>(from), bytes),
          "process_vm_readv", peer);
  }
  void write(int peer, std::byte* to, const void* from, std::size_t bytes) const {
    check(move(way::to, peer, const_cast<void*>(from), reinterpret_cast<std::uintptr_t>(to), bytes),
          "process_vm_writev", peer);
  }

private:
  /// With a rank's number added, what the others are to find at the address that it gives: in
  /// another namespace of processes its number may be somebody else's.
  static constexpr std::uint64_t sign = 0x7475747469;

  bool finds_sign(int rank, std::uint64_t at) const {
    std::uint64_t found = 0;
    return move(way::from, rank, &found, std::uintptr_t(at), sizeof found) == 0 &&
           found == sign + std::uint64_t(rank);
  }
  enum class way { from, to };
  /// Between this rank's memory and a peer's; 0, or errno.
  int move(way direction, int peer, void* here, std::uintptr_t there, std::size_t bytes) const {
#if defined(__linux__)
    const auto call = direction == way::from ? &process_vm_readv : &process_vm_writev;
    for (std::size_t done = 0; done < bytes;) {
      const iovec local{static_cast<std::byte*>(here) + done, bytes - done};
      const iovec remote{reinterpret_cast<void*>(there + done), bytes - done};
      const auto moved = call(processes_[std::size_t(peer)], &local, 1, &remote, 1, 0);
      if (moved <= 0) return moved == 0 ? EFAULT : errno;
      done += std::size_t(moved);
    }
    return 0;
#else
    (void)direction, (void)peer, (void)here, (void)there, (void)bytes;
    return ENOSYS;
#endif
  }
  static void check(int error_number, const char* call, int peer) {
    if (error_number == 0) [[likely]]
      return;
    throw error{{.code = error_code::transport,
                 .peer = peer,
                 .detail = std::string{call} + " failed",
                 .native = std::strerror(error_number)}};
  }

  std::size_t from_ = 0;
  std::vector<pid_t> processes_;
};

} // namespace tutti::mpi::detail
