// An MPI program that something happens to: fault_program MODE [RANK]. The scripts beside it start
// it, break it, and look at what is left. Every rank first prints its process id.
//
//   throws         RANK throws in the midst of the others' all_reduce
//   unwinds        the same without mpi::run: an environment, a communicator, and a handler in main
//   returns        RANK returns early
//   stops          RANK stops itself as SIGSTOP does; the others wait two seconds for it
//   goes-on        nothing happens for a minute: to be killed
//   throws-long    throws, with messages that are long enough not to be sent before they are asked
//                  for
//   reserving      RANK is killed while it reserves memory that all of them share
//   splitting      RANK aborts while a part of them does, in split
//   naming         rank 0 is killed while what they are to share has a name
//   holding        rank 0 stops itself there
//   nothing        shares memory, and ends
//   child-throws, child-unwinds, child-returns
//                  RANK forks a child that leaves as its name says; the ranks go on
// A mode that ends in -shared does it where ranks work in each other's memory: in slots, in symmetric
// buffers and through stages in turn.
#include <tutti/collectives/collectives.hpp>
#include <tutti/mpi/mpi.hpp>
#include <tutti/topologies/ring.hpp>

#include <cerrno>
#include <chrono>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

namespace {

int file_signal = 0; ///< raised in the next call that ...
bool when_named = false; ///< ... gives a file its length, or in the next that reserves space

void raise_in(bool naming) {
  if (file_signal != 0 && naming == when_named) raise(file_signal);
}

} // namespace

// In the place of the C library's, for what this program calls.
extern "C" int ftruncate(int file, off_t bytes) noexcept {
  raise_in(true);
  return int(syscall(SYS_ftruncate, file, bytes));
}
extern "C" int posix_fallocate(int file, off_t begin, off_t bytes) {
  const bool done = syscall(SYS_fallocate, file, 0, begin, bytes) == 0;
  raise_in(false);
  return done ? 0 : errno;
}

namespace {

struct plan {
  std::string mode;
  int rank;

  bool shared() const { return mode.ends_with("-shared"); }
  bool is(std::string_view what) const { return mode == what || mode == std::string{what} + "-shared"; }
};

void introduce(int rank) {
  std::printf("rank %d is process %d\n", rank, int(getpid()));
  std::fflush(stdout);
}

/// What happens to the chosen rank, in the two hundredth round.
void break_down(const plan& what) {
  if (what.mode.starts_with("throws") || what.is("unwinds"))
    throw std::runtime_error("the disk is full");
  if (what.is("stops")) raise(SIGSTOP);
}

void work(tutti::mpi::communicator& world, const plan& what) {
  introduce(world.rank());
  std::vector<float> data(what.mode == "throws-long" ? 1000000 : 10, 1.0f), staged(100000, 1.0f);
  auto symmetric = world.allocate<float>(100000);
  const tutti::options how{.timeout = std::chrono::seconds{what.is("stops") ? 2 : 120}};
  const auto end = std::chrono::steady_clock::now() + std::chrono::seconds{60};
  for (int round = 0; std::chrono::steady_clock::now() < end; ++round) {
    if (round == (what.mode == "throws-long" ? 10 : 200) && world.rank() == what.rank) {
      if (what.is("returns")) return;
      break_down(what);
    }
    if (!what.shared()) tutti::all_reduce(world, data, tutti::ring{}, tutti::max{}, how);
    else if (round % 3 == 0) tutti::all_reduce(world, data, tutti::max{}, how);
    else if (round % 3 == 1) tutti::all_reduce(world, symmetric, tutti::max{}, how);
    else tutti::all_reduce(world, staged, tutti::max{}, how);
  }
}

/// Memory that all share, and then some share, and what happens to one rank meanwhile.
void share(tutti::mpi::communicator& world, const plan& what) {
  introduce(world.rank());
  const bool here = world.rank() == what.rank;
  when_named = what.is("naming") || what.is("holding");
  if (what.is("reserving") || what.is("naming")) file_signal = here ? SIGKILL : 0;
  if (what.is("holding")) file_signal = here ? SIGSTOP : 0;
  auto all = world.allocate<char>(std::size_t{64} << 20);
  if (what.is("splitting")) file_signal = here ? SIGABRT : 0;
  auto some = world.split(world.rank() / 2, world.rank());
  tutti::barrier(some);
}

/// Leaves the parent's program as the mode says, with what its parent has in flight; ends in any case.
void be_a_child(const plan& what) {
  alarm(30);
  if (!what.is("child-returns")) throw std::runtime_error("the disk is full");
}

/// One rank forks a child while collectives are in flight, which that rank then completes.
void fork_and_go_on(tutti::mpi::communicator& world, const plan& what) {
  introduce(world.rank());
  const int p = world.size();
  std::vector<float> sent(300000, 1.0f), staged(100000, 1.0f);
  auto symmetric = world.allocate<float>(100000);
  for (int round = 0; round < 3; ++round) {
    sent.assign(sent.size(), 1.0f), staged.assign(staged.size(), 1.0f);
    pid_t child = -1;
    {
      auto by_messages = tutti::async_all_reduce(world, sent, tutti::ring{});
      auto in_stages = tutti::async_all_reduce(world, staged);
      auto in_place = tutti::async_all_reduce(world, symmetric);
      if (world.rank() == what.rank && what.is("child-returns")) {
        by_messages.wait(), in_stages.wait(), in_place.wait();
      }
      if (world.rank() == what.rank && (child = fork()) == 0) return be_a_child(what);
      by_messages.wait(), in_stages.wait(), in_place.wait();
    }
    if (child > 0) {
      int status = 0;
      waitpid(child, &status, 0);
      const int wanted = what.is("child-returns") ? 0 : 1;
      if (!WIFEXITED(status) || WEXITSTATUS(status) != wanted)
        throw std::runtime_error("the child ended with status " + std::to_string(status));
    }
    tutti::all_reduce(world, sent, tutti::ring{});
    tutti::all_reduce(world, staged);
    for (const float x : sent)
      if (x != float(p * p)) throw std::runtime_error("a sum by messages is wrong");
    for (const float x : staged)
      if (x != float(p * p)) throw std::runtime_error("a sum in stages is wrong");
  }
}

/// The error is printed while MPI still runs: Open MPI's launcher ends the job as soon as one rank
/// has ended with an error.
int by_hand(int argc, char** argv, const plan& what) {
  try {
    tutti::mpi::environment env{argc, argv};
    int rank = -1;
    try {
      auto world = tutti::mpi::world();
      rank = world.rank();
      if (what.is("unwinds")) work(world, what);
      else fork_and_go_on(world, what);
    } catch (const std::exception& e) {
      std::fprintf(stderr, "rank %d: %s\n", rank, e.what());
      throw;
    }
  } catch (const std::exception&) {
    return 1;
  }
  return 0;
}

} // namespace

int main(int argc, char** argv) {
  const plan what{argc > 1 ? argv[1] : "goes-on", argc > 2 ? std::atoi(argv[2]) : -1};
  if (what.is("unwinds") || what.is("child-unwinds")) return by_hand(argc, argv, what);
  if (what.mode.starts_with("child-"))
    return tutti::mpi::run(argc, argv, [&](auto& world) { fork_and_go_on(world, what); });
  for (const char* mode : {"reserving", "splitting", "naming", "holding", "nothing"})
    if (what.is(mode))
      return tutti::mpi::run(argc, argv, [&](auto& world) { share(world, what); });
  return tutti::mpi::run(argc, argv, [&](auto& world) { work(world, what); });
}
