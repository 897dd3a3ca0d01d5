// Files by POSIX calls, each of which is checked: what the system refuses is a tutti::error with
// the path, what was tried, and the system's own text.
#pragma once

#include <tutti/core/error.hpp>

#include <algorithm>
#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <span>
#include <string>
#include <string_view>
#include <utility>

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/types.h>
#include <unistd.h>

namespace tutti::detail {

static_assert(sizeof(off_t) == 8, "tutti: files longer than 2 GiB need -D_FILE_OFFSET_BITS=64");

/// The calls that writing a file takes. Tests give others, which fail where they are told to.
struct system_calls {
  static int open(const char* path, int flags) { return ::open(path, flags, 0666); }
  static ssize_t pread(int fd, void* to, std::size_t n, off_t at) { return ::pread(fd, to, n, at); }
  static ssize_t pwrite(int fd, const void* from, std::size_t n, off_t at) {
    return ::pwrite(fd, from, n, at);
  }
  static int ftruncate(int fd, off_t bytes) { return ::ftruncate(fd, bytes); }
  static int fsync(int fd) { return ::fsync(fd); }
  static int close(int fd) { return ::close(fd); }
  static int rename(const char* from, const char* to) { return ::rename(from, to); }
  static int unlink(const char* path) { return ::unlink(path); }
  static int mkdir(const char* path) { return ::mkdir(path, 0777); }
  static int rmdir(const char* path) { return ::rmdir(path); }
  /// What was the one is the other from now on. Not every system can.
  static int exchange(const char* one, const char* other) {
#ifdef RENAME_EXCHANGE
    return ::renameat2(AT_FDCWD, one, AT_FDCWD, other, RENAME_EXCHANGE);
#else
    (void)one, (void)other;
    errno = ENOSYS;
    return -1;
#endif
  }
};

[[noreturn]] inline void system_refused(const char* call, const std::string& path,
                                        std::string_view what, int error) {
  throw tutti::error{{.code = error_code::transport,
                      .call = call,
                      .detail = path + ": " + std::string{what},
                      .native = std::strerror(error)}};
}

/// An open file. `call` is whose name errors bear.
template <class Calls = system_calls> class open_file {
public:
  open_file(const char* call, std::string path, int flags) : call_{call}, path_{std::move(path)} {
    do fd_ = Calls::open(path_.c_str(), flags | O_CLOEXEC);
    while (fd_ < 0 && errno == EINTR);
    if (fd_ < 0) refused("cannot be opened");
  }
  open_file(open_file&& other) noexcept
      : call_{other.call_}, path_{std::move(other.path_)}, fd_{std::exchange(other.fd_, -1)} {}
  open_file& operator=(open_file&& other) noexcept {
    std::swap(call_, other.call_), std::swap(path_, other.path_), std::swap(fd_, other.fd_);
    return *this;
  }
  ~open_file() {
    if (fd_ >= 0) Calls::close(fd_);
  }

  bool is_open() const noexcept { return fd_ >= 0; }

  /// The bytes of a regular file; of anything else (a folder, a pipe) an error.
  std::uint64_t bytes() const {
    struct stat about = {};
    if (::fstat(fd_, &about) != 0) refused("cannot be looked at");
    if (!S_ISREG(about.st_mode))
      throw error{{.code = error_code::bad_data, .call = call_, .detail = path_ + ": is no file"}};
    return std::uint64_t(about.st_size);
  }

  void read(std::uint64_t at, std::span<std::byte> into) const {
    whole(at, into, "reading", [this](std::span<std::byte> rest, off_t from) {
      const ssize_t n = Calls::pread(fd_, rest.data(), rest.size(), from);
      if (n == 0)
        throw error{{.code = error_code::bad_data,
                     .call = call_,
                     .detail = path_ + ": ends at byte " + std::to_string(from) +
                               ", and was longer when it was opened"}};
      return n;
    });
  }

  void write(std::uint64_t at, std::span<const std::byte> from) const {
    whole(at, from, "writing", [this](std::span<const std::byte> rest, off_t to) {
      const ssize_t n = Calls::pwrite(fd_, rest.data(), rest.size(), to);
      if (n == 0) errno = EIO; // the system takes nothing, and does not say why
      return n == 0 ? -1 : n;
    });
  }

  void resize(std::uint64_t bytes) const {
    if (Calls::ftruncate(fd_, off_t(bytes)) != 0)
      refused("cannot be made " + std::to_string(bytes) + " bytes long");
  }

  /// On the disk, and closed.
  void flush_and_close() {
    if (Calls::fsync(fd_) != 0) refused("cannot be flushed to the disk");
    if (Calls::close(std::exchange(fd_, -1)) != 0 && errno != EINTR) refused("cannot be closed");
  }

private:
  [[noreturn]] void refused(std::string_view what) const {
    system_refused(call_, path_, what, errno);
  }

  // As many calls as it takes, none of more than 1 GiB: some systems take no more at once.
  template <class Bytes, class Some>
  void whole(std::uint64_t at, Bytes bytes, const char* doing, Some&& some) const {
    while (!bytes.empty()) {
      const ssize_t n =
          some(bytes.first((std::min)(bytes.size(), std::size_t{1} << 30)), off_t(at));
      if (n < 0 && errno == EINTR) continue;
      if (n < 0)
        refused(std::string{doing} + " " + std::to_string(bytes.size()) + " bytes at byte " +
                std::to_string(at) + " failed");
      bytes = bytes.subspan(std::size_t(n));
      at += std::uint64_t(n);
    }
  }

  const char* call_;
  std::string path_;
  int fd_ = -1;
};

/// The folder that path is in.
inline std::string folder_of(const std::string& path) {
  const std::size_t slash = path.find_last_of('/');
  return slash == std::string::npos ? "." : path.substr(0, (std::max)(slash, std::size_t{1}));
}

/// What was made, renamed or taken away in a folder stays so after a power cut.
template <class Calls> void flush_folder(const char* call, const std::string& path) {
  open_file<Calls> folder{call, path, O_RDONLY | O_DIRECTORY};
  folder.flush_and_close();
}

/// From now on, and after a power cut, `to` is what `from` was. `there` is false as soon as `from`
/// is gone.
template <class Calls>
void rename_for_good(const char* call, const std::string& from, const std::string& to,
                     bool& there) {
  if (Calls::rename(from.c_str(), to.c_str()) != 0)
    system_refused(call, from, "cannot be renamed to " + to, errno);
  there = false;
  flush_folder<Calls>(call, folder_of(to));
}

} // namespace tutti::detail
