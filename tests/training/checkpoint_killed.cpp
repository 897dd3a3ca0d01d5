// Checkpoints of programs that are killed: before every call of the system, one after another; and,
//   test_training --run_test=checkpoint_killed -- --kills 200 [--seed S]
// at random moments.
#include "training/arguments.hpp"
#include "training/checkpoint_run.hpp"

#include <boost/test/unit_test.hpp>

#include <atomic>
#include <chrono>
#include <csignal>
#include <cstdint>
#include <cstdio>
#include <filesystem>
#include <map>
#include <mutex>
#include <random>
#include <string>
#include <thread>
#include <vector>

#include <sys/wait.h>
#include <unistd.h>

namespace {

using namespace checkpoints;

/// The system, which kills the program before the n-th call, or in the middle of it.
struct deadly_system : tutti::detail::system_calls {
  static inline std::atomic<int> left = 0;
  static inline bool exchanges = true;

  static bool is_last() { return --left == 0; }
  static void die() { ::kill(::getpid(), SIGKILL), ::pause(); }
  static void perhaps_die() {
    if (is_last()) die();
  }

  static int open(const char* path, int flags) {
    return perhaps_die(), system_calls::open(path, flags);
  }
  static ssize_t pwrite(int fd, const void* from, std::size_t n, off_t at) {
    if (!is_last()) return system_calls::pwrite(fd, from, n, at);
    (void)system_calls::pwrite(fd, from, n / 2, at);
    die();
    return -1;
  }
  static int ftruncate(int fd, off_t bytes) {
    return perhaps_die(), system_calls::ftruncate(fd, bytes);
  }
  static int fsync(int fd) { return perhaps_die(), system_calls::fsync(fd); }
  static int close(int fd) { return perhaps_die(), system_calls::close(fd); }
  static int rename(const char* from, const char* to) {
    return perhaps_die(), system_calls::rename(from, to);
  }
  static int unlink(const char* path) { return perhaps_die(), system_calls::unlink(path); }
  static int mkdir(const char* path) { return perhaps_die(), system_calls::mkdir(path); }
  static int rmdir(const char* path) { return perhaps_die(), system_calls::rmdir(path); }
  static int exchange(const char* one, const char* other) {
    perhaps_die();
    return exchanges ? system_calls::exchange(one, other) : (errno = ENOSYS, -1);
  }
};

/// program() in a child, which has no threads yet; whether it was killed.
template <class Program> bool child_is_killed(Program&& program) {
  std::fflush(nullptr);
  const pid_t child = ::fork();
  if (child == 0) {
    int status = 1;
    try {
      program();
      status = 0;
    } catch (const std::exception& e) {
      std::fprintf(stderr, "%s\n", e.what());
    }
    std::_Exit(status);
  }
  int status = 0;
  while (::waitpid(child, &status, 0) < 0 && errno == EINTR) {
  }
  const bool killed = WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL;
  BOOST_CHECK_MESSAGE(killed || (WIFEXITED(status) && WEXITSTATUS(status) == 0),
                      "the child ended otherwise: " << status);
  return killed;
}

template <class Calls> void save_steps(const std::string& path, int steps, int keep) {
  on_ranks(2, [&](tutti::control& all) {
    small_run run{all.rank(), 2};
    run.train(steps);
    save<Calls>(all, run, path, keep);
  });
}

} // namespace

BOOST_AUTO_TEST_SUITE(checkpoint_killed)

BOOST_AUTO_TEST_CASE(before_every_call_over_a_checkpoint_of_the_same_name) {
  for (const bool exchanges : {true, false}) {
    const scratch folder;
    const std::string x = folder / "x";
    deadly_system::exchanges = exchanges;
    save_on(2, x, 1);
    int calls = 0, old_ones = 0;
    for (bool killed = true; killed && calls < 1000;) {
      ++calls;
      killed = child_is_killed([&] {
        deadly_system::left = calls;
        save_steps<deadly_system>(x, 2, 0);
      });
      const int found = steps_in(3, x);
      BOOST_CHECK_MESSAGE(found == 2 || (found == 1 && killed),
                          "killed before call " << calls << ": " << found << " steps");
      old_ones += found == 1;
      save_steps<tutti::detail::system_calls>(x, 1, 0);
      BOOST_CHECK_EQUAL(folder.listing(), "x ");
      BOOST_CHECK_EQUAL(steps_in(1, x), 1);
    }
    BOOST_CHECK_GT(calls, 40);
    BOOST_CHECK_GT(old_ones, 30);
    BOOST_CHECK_LT(old_ones, calls - 5); // the last ones are before what is old is taken away
  }
}

BOOST_AUTO_TEST_CASE(before_every_call_where_the_last_one_is_kept) {
  const scratch folder;
  deadly_system::exchanges = true;
  int calls = 0;
  for (bool killed = true; killed && calls < 1000;) {
    ++calls;
    save_steps<tutti::detail::system_calls>(folder / "step-9", 9, 0);
    killed = child_is_killed([&] {
      deadly_system::left = calls;
      save_steps<deadly_system>(folder / "step-10", 10, 1);
    });
    const std::string latest = tutti::latest_checkpoint(folder / "");
    const int found = steps_in(2, latest);
    BOOST_CHECK_MESSAGE(found == 10 || (found == 9 && killed),
                        "killed before call " << calls << ": " << latest << " has " << found);
    save_steps<tutti::detail::system_calls>(folder / "step-11", 11, 1);
    BOOST_CHECK_EQUAL(folder.listing(), "step-11 ");
    std::filesystem::remove_all(folder / "step-11");
  }
  BOOST_CHECK_GT(calls, 40);
}

// matiaszanolli/ByroRedux#1702, NodeDB-Lab/nodedb#78: a rename is of what is on the disk, and is
// itself there before the next thing happens.
BOOST_AUTO_TEST_CASE(everything_is_flushed_before_it_is_renamed_and_then_its_folder) {
  static std::vector<std::string> log;
  static std::map<int, std::string> names;
  static std::string root;
  struct listening_system : tutti::detail::system_calls {
    static std::string name(std::string path) {
      return path.starts_with(root) ? "." + path.substr(root.size()) : path;
    }
    static int open(const char* path, int flags) {
      const int fd = system_calls::open(path, flags);
      names[fd] = name(path);
      return fd;
    }
    static int fsync(int fd) {
      return log.push_back("flush " + names[fd]), system_calls::fsync(fd);
    }
    static int rename(const char* from, const char* to) {
      log.push_back("rename " + name(from) + " to " + name(to));
      return system_calls::rename(from, to);
    }
    static int exchange(const char* one, const char* other) {
      log.push_back("exchange " + name(one) + " and " + name(other));
      return system_calls::exchange(one, other);
    }
  };
  const scratch folder;
  root = folder / "";
  root.pop_back();
  const std::vector<std::string> files{
      "flush ./x.partial/model.safetensors.partial",
      "flush ./x.partial/state.safetensors.partial",
      "flush ./x.partial/model.safetensors.partial",
      "rename ./x.partial/model.safetensors.partial to ./x.partial/model.safetensors",
      "flush ./x.partial",
      "flush ./x.partial/state.safetensors.partial",
      "rename ./x.partial/state.safetensors.partial to ./x.partial/state.safetensors",
      "flush ./x.partial"};
  for (const char* last : {"rename ./x.partial to ./x", "exchange ./x.partial and ./x"}) {
    log.clear();
    on_ranks(1, [&](tutti::control& all) {
      small_run run{0, 1};
      save<listening_system>(all, run, folder / "x");
    });
    std::vector<std::string> wanted = files;
    wanted.push_back(last);
    wanted.push_back("flush .");
    BOOST_CHECK_EQUAL_COLLECTIONS(log.begin(), log.end(), wanted.begin(), wanted.end());
  }
}

// The last checkpoint that a program has said is saved, or the one behind it, can be loaded.
BOOST_AUTO_TEST_CASE(at_random_moments) {
  const int kills = std::stoi(argument("--kills", "0"));
  std::mt19937_64 random{std::stoull(argument("--seed", "1"))};
  const scratch folder;
  int last = 0, moved = 0;
  for (int k = 0; k < kills; ++k) {
    int said[2];
    BOOST_REQUIRE(::pipe(said) == 0);
    const bool replaces = random() % 2;
    const std::string same = folder / "same-0";
    std::fflush(nullptr);
    const pid_t child = ::fork();
    if (child == 0) {
      for (int step = last + 1;; ++step) {
        save_steps<tutti::detail::system_calls>(
            replaces ? same : folder / ("step-" + std::to_string(step)), step, 2);
        if (::write(said[1], &step, sizeof step) != sizeof step) std::_Exit(1);
      }
    }
    ::close(said[1]);
    std::this_thread::sleep_for(std::chrono::microseconds{random() % 30000});
    ::kill(child, SIGKILL);
    int status = 0, step = 0, before = last;
    ::waitpid(child, &status, 0);
    while (::read(said[0], &step, sizeof step) == sizeof step) last = step;
    ::close(said[0]);
    const std::string at = replaces ? same : tutti::latest_checkpoint(folder / "");
    const bool any =
        last > before || tutti::detail::holds_checkpoint(tutti::detail::where_published(at));
    const int found = any ? steps_in(3, at) : before;
    BOOST_CHECK_MESSAGE(found == last || found == last + 1 || (last == before && found >= 0),
                        "kill " << k << ": " << at << " has " << found << " steps, and " << last
                                << " were said to be saved");
    last = std::max(last, found);
    moved += last > before;
  }
  BOOST_TEST_MESSAGE(kills << " kills, in " << moved << " of which there was a new checkpoint");
  BOOST_CHECK(kills == 0 || moved > kills / 10);
}

BOOST_AUTO_TEST_SUITE_END()
