// Shared memory while it is made: calls that signals interrupt, names that are left over, lengths that
// cannot be.
#include "communicators/conformance.hpp"
#include "mpi/on_mpi.hpp"

#include <tutti/collectives/collectives.hpp>

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <limits>
#include <string>

namespace {

/// A call that reserves more gives up as one that a signal interrupts, time and again: what a profiler does
/// to long calls. 0: none does.
off_t longest_call = 0;
int interrupted = 0;

} // namespace

// In the place of the C library's, for whatever this program calls.
extern "C" int posix_fallocate(int file, off_t begin, off_t bytes) {
  if (longest_call != 0 && bytes > longest_call) {
    ++interrupted;
    return EINTR;
  }
  return syscall(SYS_fallocate, file, 0, begin, bytes) == 0 ? 0 : errno;
}

namespace {

using tutti::mpi::detail::shared_object;

class interruptions {
public:
  explicit interruptions(off_t longest) { longest_call = longest, interrupted = 0; }
  ~interruptions() { longest_call = 0; }
  interruptions(const interruptions&) = delete;
  interruptions& operator=(const interruptions&) = delete;
};

bool is_there(const std::string& name) {
  const int file = shm_open(name.c_str(), O_RDONLY, 0);
  if (file >= 0) close(file);
  return file >= 0;
}

/// An object with a name like those of tutti's, which nobody holds.
std::string left_over(int rank, int number, uid_t owner) {
  const std::string name = "/tutti.left-" + std::to_string(getpid()) + "-" + std::to_string(rank) +
                           std::to_string(number);
  const int file = shm_open(name.c_str(), O_CREAT | O_EXCL | O_RDWR, 0600);
  if (file >= 0 && owner != geteuid() && fchown(file, owner, gid_t(-1)) != 0) shm_unlink(name.c_str());
  if (file >= 0) close(file);
  return name;
}

} // namespace

BOOST_AUTO_TEST_SUITE(segments)

BOOST_AUTO_TEST_CASE(that_are_reserved_although_every_long_call_is_interrupted) {
  on_mpi("interrupted calls", [](auto& comm, report& r) {
    for (const off_t longest : {off_t{5} << 20, off_t{1} << 20, off_t{100000}}) {
      const interruptions all{comm.rank() == comm.size() - 1 ? longest : 0};
      const std::size_t n = (std::size_t{24} << 20) + 12345;
      auto buffer = comm.template allocate<char>(n, conformance::patient);
      r.check(comm.reaches(*buffer.memory()), "there is no shared memory");
      r.check(comm.rank() + 1 < comm.size() || interrupted > 0, "no call was interrupted");
      buffer.data()[n - 1] = 7; // there, or this is a signal
      r.check(buffer.data()[n / 2] == 0, "its memory is not zero at first");
    }
  });
}

BOOST_AUTO_TEST_CASE(that_are_never_reserved_end_with_the_time_that_was_given) {
  on_mpi("every call is interrupted", [](auto& comm, report& r) {
    const bool here = comm.rank() == comm.size() - 1;
    const interruptions all{here ? 1 : 0};
    const auto got = conformance::failure_of([&] {
      (void)comm.template allocate<char>(1 << 20, {.timeout = std::chrono::milliseconds{300}});
    });
    using tutti::error_code;
    r.check(got.failed && got.what.code == error_code::timeout && got.what.call == "allocate" &&
                got.what.rank == comm.rank() && (here || got.what.peer == comm.size() - 1),
            [&] { return "a timeout of allocate on every rank - " + conformance::told(got); });
    if (here)
      r.check(got.what.detail.find("raise tutti::options::timeout") != std::string::npos,
              [&] { return "it does not say what to do - " + conformance::told(got); });
  });
}

// Beyond what there are addresses for: refused, or ordinary memory that cannot be had either; on all ranks.
BOOST_AUTO_TEST_CASE(that_are_longer_than_can_be) {
  on_mpi("lengths", [](auto& comm, report& r) {
    constexpr std::size_t most = std::numeric_limits<std::size_t>::max() / 2;
    for (const std::size_t bytes : {most - 4095, most, 2 * most + 1, most / 4}) {
      struct statvfs all {};
      if (bytes < most - 4095 && (statvfs("/dev/shm", &all) != 0 || all.f_blocks == 0)) continue;
      tutti::mpi::detail::complaint wrong;
      const auto made = tutti::mpi::detail::make_segment(comm, bytes, conformance::patient.until(tutti::clock::now()), wrong);
      r.check(made == nullptr && wrong, std::to_string(bytes) + " bytes on every rank");
    }
  });
}

BOOST_AUTO_TEST_CASE(whose_names_are_left_over_are_removed) {
  on_mpi("names", [](auto& comm, report& r) {
    shared_object mine;
    const auto wrong = mine.create(12345);
    r.check(!wrong, "an object - " + wrong.value_or(""));
    const std::string left = left_over(comm.rank(), 1, geteuid());
    const std::string strangers = left_over(comm.rank(), 2, geteuid() == 0 ? 12345 : geteuid());
    r.check(is_there(left), "there is nothing to remove");

    tutti::barrier(comm);
    { tutti::mpi::communicator fresh{MPI_COMM_WORLD}; }

    r.check(!is_there(left), "what nobody holds is left over");
    shared_object theirs;
    r.check(!theirs.open(mine.id()), "an object that somebody holds was removed");
    if (geteuid() == 0) r.check(is_there(strangers), "another user's was removed");
    shm_unlink(strangers.c_str());
    mine.unlink();
    shared_object late;
    r.check(late.open(mine.id()).has_value(), "the name is still there");
  });
}

BOOST_AUTO_TEST_SUITE_END()
