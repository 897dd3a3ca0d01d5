// interpose_program RANKS [--served] [--at-once] [--only counted|no_memory|mismatch|CHECK]
// RANKS is what the launcher was asked for: under another MPI's launcher there would be as many
// jobs of one rank.
#include "check.hpp"

#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string_view>
#include <unistd.h>

namespace {

const char* volatile now = "the beginning";
int failed = 0, failed_here = 0, world_rank = -1;

void took_too_long(int) {
  static const char text[] = "took longer than 250 s: ";
  (void)!write(2, text, sizeof text - 1);
  (void)!write(2, now, std::strlen(now));
  (void)!write(2, "\n", 1);
  _exit(3);
}

} // namespace

namespace check {

bool served = false;

void begin(const char* name) {
  now = name;
  failed_here = 0;
  alarm(250);
}

void that(bool right, const std::string& what) {
  if (right) return;
  ++failed;
  if (++failed_here <= 3) std::fprintf(stderr, "rank %d: %s: %s\n", world_rank, now, what.c_str());
}

int failures() {
  return failed;
}

} // namespace check

int main(int argc, char** argv) {
  enum class when { always, at_once_too, at_once, by_itself };
  struct {
    const char* name;
    void (*run)();
    when in;
  } const all[] = {{"reductions", check::reductions, when::always},
                   {"copies", check::copies, when::always},
                   {"communicators", check::communicators, when::always},
                   {"requests", check::requests, when::at_once_too},
                   {"in_flight", check::in_flight, when::always},
                   {"refusals", check::refusals, when::always},
                   {"at_random", check::at_random, when::at_once_too},
                   {"doors", check::doors, when::always},
                   {"at_once", check::at_once, when::at_once},
                   {"small_stacks", check::small_stacks, when::at_once},
                   {"no_memory", check::no_memory, when::by_itself},
                   {"counted", check::known_numbers_of_calls, when::by_itself},
                   {"mismatch", check::mismatch, when::by_itself}};
  const char* only = nullptr;
  bool at_once = false;
  for (int k = 2; k < argc; ++k) {
    if (std::string_view{argv[k]} == "--served") check::served = true;
    if (std::string_view{argv[k]} == "--at-once") at_once = true;
    if (std::string_view{argv[k]} == "--only" && k + 1 < argc) only = argv[++k];
  }

  std::signal(SIGALRM, took_too_long);
  check::begin("MPI_Init");
  int given = MPI_THREAD_SINGLE;
  if (at_once) MPI_Init_thread(&argc, &argv, MPI_THREAD_MULTIPLE, &given);
  else MPI_Init(&argc, &argv);
  world_rank = check::rank_in(MPI_COMM_WORLD);
  if (argc < 2 || check::size_of(MPI_COMM_WORLD) != std::atoi(argv[1])) {
    std::fprintf(stderr, "there are %d ranks, not %s\n", check::size_of(MPI_COMM_WORLD),
                 argc < 2 ? "as many as the first argument says" : argv[1]);
    MPI_Abort(MPI_COMM_WORLD, 2);
  }

  if (at_once && given < MPI_THREAD_MULTIPLE) {
    std::fprintf(stderr, "this MPI has no threads at once\n");
    MPI_Abort(MPI_COMM_WORLD, 77);
  }

  int ran = 0;
  for (const auto& c : all) {
    const bool wanted = at_once ? c.in == when::at_once || c.in == when::at_once_too
                                : c.in == when::always || c.in == when::at_once_too;
    if (only ? std::string_view{only} == c.name : wanted) c.run(), ++ran;
  }
  check::begin("MPI_Finalize");
  check::that(ran > 0, "nothing was checked");
  MPI_Finalize();
  if (failed == 0 && world_rank == 0) std::printf("%d checks, all right\n", ran);
  return failed == 0 ? 0 : 1;
}
