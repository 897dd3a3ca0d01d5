// A POSIX shared-memory object whose name is there only until everyone has opened it, and what becomes of
// the names of those who were killed in between.
#pragma once

#include <tutti/core/options.hpp>

#include <fcntl.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#if defined(__linux__)
#include <dirent.h>
#endif

#include <algorithm>
#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <optional>
#include <string>
#include <string_view>

namespace tutti::mpi::detail {

/// What a rank could not do; nothing when it could.
using complaint = std::optional<std::string>;

/// As long as its name is there, who has made it holds a lock on it (flock), which ends with the process
/// however that ends: so a name without one is left over, and may be removed by anyone of the same user. A
/// process id in the name, and when that process began, would be others in another namespace of processes
/// or of time that shares /dev/shm, and a living owner might be taken for dead; a lock is of the object.
class shared_object {
public:
  shared_object() = default;
  shared_object(const shared_object&) = delete;
  shared_object& operator=(const shared_object&) = delete;
  ~shared_object() {
    if (mine_) unlink();
    close();
  }

  /// Of `bytes` without space: what is left when it is not unlinked is a name.
  complaint create(std::size_t bytes) {
    for (int tries = 0; tries < 100; ++tries) {
      id_ = fresh_id();
      fd_ = shm_open(name(id_).c_str(), O_CREAT | O_EXCL | O_RDWR, 0600);
      if (fd_ < 0 && errno == EEXIST) continue;
      if (fd_ < 0) return text("shm_open");
      mine_ = true;
      while (flock(fd_, LOCK_EX) != 0 && errno == EINTR) {}
      struct stat now {};
      if (fstat(fd_, &now) != 0) return text("fstat");
      if (now.st_nlink == 0) { // removed as left over, before the lock
        mine_ = false;
        close();
        continue;
      }
      if (!has_room(bytes)) return "there is no room for " + std::to_string(bytes) + " bytes";
      return ftruncate(fd_, off_t(bytes)) != 0 ? text("ftruncate") : complaint{};
    }
    return "shm_open: no name that is free";
  }
  std::uint64_t id() const noexcept { return id_; }

  complaint open(std::uint64_t id) {
    id_ = id;
    fd_ = shm_open(name(id).c_str(), O_RDWR, 0600);
    return fd_ < 0 ? text("shm_open") : complaint{};
  }
  /// The object lives on in those who have opened it. By each of them, before it reserves: whoever is first,
  /// nobody reserves while the name is there.
  void unlink() {
    mine_ = false;
    shm_unlink(name(id_).c_str());
  }

  /// The pages are there from then on: touching them cannot fail. Piece by piece: a call that a signal
  /// interrupts gives back what it had reserved, and where signals keep coming none of all would ever end.
  complaint reserve(std::size_t begin, std::size_t bytes, deadline until) {
    constexpr std::size_t most = std::size_t{8} << 20, least = std::size_t{64} << 10;
    const std::size_t end = begin + bytes;
    for (std::size_t piece = most; begin < end;) {
      const std::size_t length = (std::min)(piece, end - begin);
      const int failed = posix_fallocate(fd_, off_t(begin), off_t(length));
      if (failed != 0 && failed != EINTR) {
        errno = failed;
        return text("posix_fallocate");
      }
      if (failed == 0) begin += length;
      piece = failed == 0 ? (std::min)(2 * piece, most) : (std::max)(piece / 2, least);
      if (begin < end && clock::now() >= until) return "posix_fallocate: it took too long";
    }
    return {};
  }
  std::byte* map(std::size_t bytes, complaint& wrong) {
    void* at = mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd_, 0);
    if (at != MAP_FAILED) return static_cast<std::byte*>(at);
    wrong = text("mmap");
    return nullptr;
  }

  /// Removes what processes of this user have left that were killed while the name was there.
  static void remove_leftovers() {
#if defined(__linux__)
    DIR* const all = opendir("/dev/shm");
    if (all == nullptr) return;
    while (const dirent* entry = readdir(all))
      if (std::string_view{entry->d_name}.starts_with(prefix)) remove_if_left(entry->d_name);
    closedir(all);
#endif
  }

private:
  static constexpr std::string_view prefix = "tutti.";

  static std::string name(std::uint64_t id) {
    constexpr char digits[] = "0123456789abcdef";
    std::string text = "/" + std::string{prefix};
    for (int shift = 60; shift >= 0; shift -= 4) text += digits[id >> shift & 15];
    return text;
  }
  /// A number that no other object of this machine has.
  static std::uint64_t fresh_id() {
    const auto now = std::uint64_t(clock::now().time_since_epoch().count());
    return now * 0x9e3779b97f4a7c15u ^ std::uint64_t(getpid()) << 40;
  }
  /// Pieces would fill what there is before they fail.
  bool has_room(std::size_t bytes) const {
    struct statvfs all {};
    if (fstatvfs(fd_, &all) != 0 || all.f_blocks == 0 || all.f_frsize == 0) return true; // not limited
    return bytes / all.f_frsize < all.f_bavail;
  }
  static void remove_if_left(const char* found) {
    shared_object object;
    const std::string path = "/" + std::string{found};
    object.fd_ = shm_open(path.c_str(), O_RDONLY, 0);
    struct stat now {};
    if (object.fd_ < 0 || fstat(object.fd_, &now) != 0 || now.st_uid != geteuid()) return;
    if (flock(object.fd_, LOCK_EX | LOCK_NB) == 0) shm_unlink(path.c_str());
  }
  void close() noexcept {
    if (fd_ >= 0) ::close(fd_);
    fd_ = -1;
  }
  static complaint text(const char* call) {
    return std::string{call} + ": " + std::strerror(errno);
  }

  std::uint64_t id_ = 0;
  int fd_ = -1;
  bool mine_ = false;
};

} // namespace tutti::mpi::detail
