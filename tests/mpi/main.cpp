// The main program of the tests under MPI:
//   test_mpi --ranks N [--at-once] [--begun single|funneled] [--cut BYTES] [Boost.Test's own arguments]
// --at-once asks MPI for threads that call it at the same time; with --begun somebody else has initialised
// it before, as a program does that uses tutti in one of its parts; --cut has every message of BYTES or more
// travel in pieces, as one does that is longer than MPI can count.
// N is what the launcher was asked for. Under the launcher of another MPI the ranks would be N jobs
// of one, and pass; here they fail.
#include "mpi/on_mpi.hpp"

#include <tutti/mpi/environment.hpp>

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstdio>
#include <cstdlib>
#include <mutex>
#include <optional>
#include <string_view>
#include <thread>
#include <vector>

namespace {

constexpr std::chrono::seconds longest_silence{120};

int this_rank = -1;

/// Ends the job when nothing has been heard for too long.
class watchdog {
public:
  watchdog() : thread_{[this] { watch(); }} {}
  ~watchdog() {
    {
      std::scoped_lock lock{guard_};
      over_ = true;
    }
    bell_.notify_all();
    thread_.join();
  }
  void hear(std::string_view what) {
    std::scoped_lock lock{guard_};
    last_ = what;
    ++count_;
  }

private:
  void watch() {
    std::unique_lock lock{guard_};
    while (!over_) {
      const auto before = count_;
      const bool heard =
          bell_.wait_for(lock, longest_silence, [&] { return over_ || count_ != before; });
      if (heard || over_) {
        bell_.wait_for(lock, std::chrono::milliseconds{100}, [&] { return over_; });
        continue;
      }
      const auto& now = boost::unit_test::framework::current_test_case();
      std::fprintf(stderr, "rank %d: no progress for %d s in test %s, last heard of: %s\n",
                   this_rank, static_cast<int>(longest_silence.count()), now.p_name->c_str(),
                   last_.c_str());
      std::abort();
    }
  }

  std::mutex guard_;
  std::condition_variable bell_;
  std::string last_ = "nothing";
  unsigned long count_ = 0;
  bool over_ = false;
  std::thread thread_;
};

watchdog* dog = nullptr;
int cut = 0; ///< bytes; 0: messages travel whole

/// Somebody else who has initialised MPI, if the command line says so, and finalises it.
class elsewhere {
public:
  elsewhere(int& argc, char**& argv) {
    for (int k = 1; k + 1 < argc; ++k)
      if (std::string_view{argv[k]} == "--begun") begun_ = argv[k + 1];
    int given = 0;
    if (begun_ == "single") MPI_Init(&argc, &argv);
    else if (!begun_.empty()) MPI_Init_thread(&argc, &argv, MPI_THREAD_FUNNELED, &given);
  }
  elsewhere(const elsewhere&) = delete;
  elsewhere& operator=(const elsewhere&) = delete;
  ~elsewhere() {
    if (!begun_.empty()) MPI_Finalize();
  }

private:
  std::string_view begun_;
};

/// Before there is an environment.
bool world_is_refused() {
  try {
    (void)tutti::mpi::world();
  } catch (const tutti::error& e) {
    return e.code() == tutti::error_code::unsupported;
  }
  return false;
}

} // namespace

tutti::mpi::limits of_this_run(tutti::mpi::limits asked) {
  if (cut > 0 && asked.message_bytes == tutti::mpi::limits{}.message_bytes)
    asked.message_bytes = std::size_t(cut);
  return asked;
}

void going_on(std::string_view what) {
  dog->hear(what);
}

bool agreed(const report& mine) {
  if (!mine.passed()) std::fprintf(stderr, "rank %d: %s\n", this_rank, mine.text().c_str());
  int failed = mine.passed() ? 0 : 1, done = 0;
  MPI_Request request = MPI_REQUEST_NULL;
  MPI_Iallreduce(MPI_IN_PLACE, &failed, 1, MPI_INT, MPI_MAX, MPI_COMM_WORLD, &request);
  while (!done) {
    MPI_Test(&request, &done, MPI_STATUS_IGNORE);
    if (!done) std::this_thread::yield();
  }
  return failed == 0;
}

int main(int argc, char** argv) {
  if (!world_is_refused()) {
    std::fputs("tutti::mpi::world() has to throw error_code::unsupported without an environment\n",
               stderr);
    return 3;
  }
  std::optional<tutti::mpi::communicator> outlives_the_environment;
  std::optional<tutti::mpi::environment> env;
  bool at_once = false;
  const elsewhere begun{argc, argv};
  for (int k = 1; k < argc; ++k) at_once = at_once || std::string_view{argv[k]} == "--at-once";
  if (at_once) env.emplace(argc, argv, tutti::mpi::threading::at_once);
  else env.emplace(argc, argv);
  outlives_the_environment.emplace(tutti::mpi::world());

  int size = 0, expected = 0;
  MPI_Comm_size(MPI_COMM_WORLD, &size);
  MPI_Comm_rank(MPI_COMM_WORLD, &this_rank);

  char leave_signals_alone[] = "--catch_system_errors=no";
  char plain_text[] = "--color_output=no";
  std::vector<char*> arguments{argv[0], leave_signals_alone, plain_text};
  for (int k = 1; k < argc; ++k) {
    const std::string_view argument = argv[k];
    if (argument == "--ranks" && k + 1 < argc) expected = std::atoi(argv[++k]);
    else if (argument == "--cut" && k + 1 < argc) cut = std::atoi(argv[++k]);
    else if (argument == "--begun") ++k;
    else if (argument != "--at-once") arguments.push_back(argv[k]);
  }
  if (size != expected) {
    std::fprintf(stderr,
                 "expected %d ranks (--ranks), this job has %d: is it the launcher of another "
                 "MPI?\n",
                 expected, size);
    return 2;
  }

  watchdog watching;
  dog = &watching;
  const int status = boost::unit_test::unit_test_main(
      [] { return true; }, static_cast<int>(arguments.size()), arguments.data());
  env.reset();
  return status;
}
