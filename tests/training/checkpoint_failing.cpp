// Checkpoints where something fails on one rank: all ranks say the same, and what was there is
// there still.
#include "training/checkpoint_run.hpp"

#include <boost/test/unit_test.hpp>

#include <cerrno>
#include <filesystem>
#include <mutex>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#if defined(__linux__)
#include <sched.h>
#endif
#include <unistd.h>

namespace {

using namespace checkpoints;

/// The system, in which one call on files of some name fails on the threads that say so.
struct failing_system : tutti::detail::system_calls {
  static inline thread_local std::string_view breaks = "", file = "";
  static inline thread_local off_t full_at = -1;
  static inline thread_local std::string opened = ""; ///< the last one
  static void mend() { breaks = "", file = "", full_at = -1; }

  static bool fails(std::string_view call, std::string_view path, int error) {
    if (breaks != call || !has(path, file)) return false;
    errno = error;
    return true;
  }
  static int open(const char* path, int flags) {
    if (fails("open", path, EACCES)) return -1;
    opened = path;
    return system_calls::open(path, flags);
  }
  static ssize_t pwrite(int fd, const void* from, std::size_t n, off_t at) {
    if (full_at >= 0 && path_of(fd, file)) {
      if (at >= full_at) return errno = ENOSPC, -1;
      n = std::min(n, std::size_t(full_at - at));
    }
    return system_calls::pwrite(fd, from, n, at);
  }
  static int fsync(int fd) {
    if (breaks == "fsync" && path_of(fd, file)) return errno = EIO, -1;
    return system_calls::fsync(fd);
  }
  static int close(int fd) {
    const bool broken = breaks == "close" && path_of(fd, file);
    const int closed = system_calls::close(fd);
    return broken ? (errno = EDQUOT, -1) : closed;
  }
  static int mkdir(const char* path) {
    return fails("mkdir", path, EACCES) ? -1 : system_calls::mkdir(path);
  }
  static int rmdir(const char* path) {
    return fails("rmdir", path, EBUSY) ? -1 : system_calls::rmdir(path);
  }
  static int unlink(const char* path) {
    return fails("unlink", path, EBUSY) ? -1 : system_calls::unlink(path);
  }
  static int rename(const char* from, const char* to) {
    return fails("rename", from, EACCES) ? -1 : system_calls::rename(from, to);
  }
  static int exchange(const char* one, const char* other) {
    if (fails("no exchange", one, EINVAL)) return -1;
    return fails("exchange", one, EACCES) ? -1 : system_calls::exchange(one, other);
  }

private:
  static bool path_of(int fd, std::string_view part) {
    char path[4096] = {};
    const std::string link = "/proc/self/fd/" + std::to_string(fd);
    return ::readlink(link.c_str(), path, sizeof path - 1) > 0 && has(path, part);
  }
};

struct fault {
  int rank;
  std::string_view breaks, file;
  off_t full_at;
  std::string_view wanted;
};

/// Saves step 2 over step 1 on three ranks.
std::vector<std::string> said_by_saving(const std::string& path, const fault& f, int steps = 2,
                                        int keep = 0) {
  auto said = said_by(3, [&](tutti::control& all) {
    small_run run{all.rank(), 3};
    run.train(steps);
    if (all.rank() == f.rank)
      failing_system::breaks = f.breaks, failing_system::file = f.file,
      failing_system::full_at = f.full_at;
    save<failing_system>(all, run, path, keep);
  });
  failing_system::mend();
  return said;
}

void check_said(const std::vector<std::string>& said, std::string_view code,
                std::string_view wanted) {
  for (const std::string& one : said)
    BOOST_CHECK_MESSAGE(one.starts_with(code) && has(one, wanted),
                        "expected " << code << " with " << wanted << ", got " << one);
}

} // namespace

BOOST_AUTO_TEST_SUITE(checkpoint_failing)

// pytorch/pytorch#77091, #122529: one rank's error is everyone's, and says whose it was.
BOOST_AUTO_TEST_CASE(what_one_rank_cannot_write_all_ranks_report) {
  const scratch folder;
  const std::string x = folder / "x";
  save_on(3, x, 1);
  const std::string model = "x.partial/model.safetensors", state = "x.partial/state.safetensors";
  for (const int rank : {0, 1, 2}) {
    const fault faults[] = {
        {rank, "open", model, -1, "model.safetensors.partial: cannot be opened"},
        {rank, "open", state, -1, "state.safetensors.partial: cannot be opened"},
        {rank, "fsync", model, -1, "model.safetensors.partial: cannot be flushed"},
        {rank, "fsync", state, -1, "state.safetensors.partial: cannot be flushed"},
        {rank, "close", state, -1, "state.safetensors.partial: cannot be closed"},
        {rank, "", model, 1, "No space left on device"},
        {rank, "", state, 1, "No space left on device"}};
    for (const fault& f : faults) {
      const auto said = said_by_saving(x, f);
      check_said(said, "transport: tutti: save: transport on rank", f.wanted);
      check_said(said, "transport",
                 "(peer " + std::to_string(rank) + "): rank " + std::to_string(rank) + ": ");
      BOOST_CHECK_EQUAL(steps_in(3, x), 1);
      BOOST_CHECK_EQUAL(folder.listing(), "x ");
    }
  }
  for (const fault& f :
       {fault{0, "mkdir", "x.partial", -1, "x.partial: cannot be made [Permission denied]"},
        fault{0, "rename", model, -1, "cannot be renamed to"},
        fault{0, "exchange", "x", -1, "x.partial: cannot be exchanged with"}}) {
    check_said(said_by_saving(x, f), "transport", f.wanted);
    BOOST_CHECK_EQUAL(steps_in(3, x), 1);
    BOOST_CHECK_EQUAL(folder.listing(), "x ");
  }
  check_said(said_by_saving(x, {-1, "", "", -1, ""}), "nothing", "");
  BOOST_CHECK_EQUAL(steps_in(3, x), 2);
  BOOST_CHECK_EQUAL(folder.listing(), "x ");
}

// CanReader/FastNN#13, NodeDB-Lab/nodedb#78: wherever the disk is full, the old one loads.
BOOST_AUTO_TEST_CASE(a_disk_that_is_full_at_any_byte_leaves_the_old_checkpoint) {
  const scratch folder;
  const std::string x = folder / "x";
  save_on(3, x, 1);
  for (const std::string_view file : {"model.safetensors", "state.safetensors"}) {
    const std::string bytes = file_bytes(x + "/" + std::string{file});
    const off_t header = 8 + off_t(std::uint8_t(bytes[0])) + 256 * off_t(std::uint8_t(bytes[1]));
    for (const off_t at : {off_t{0}, off_t{8}, header - 1, header, off_t(bytes.size()) - 1}) {
      for (int rank = 0; rank < 3; ++rank) {
        const fault f{rank, "", file, at, ""};
        const auto said = said_by_saving(x, f);
        if (said[0] == "nothing") { // this rank writes nothing behind it
          save_on(3, x, 1);
          continue;
        }
        check_said(said, "transport", "No space left on device");
        check_said(said, "transport", "x.partial/" + std::string{file} + ".partial: writing ");
        BOOST_CHECK_EQUAL(steps_in(2, x), 1);
        BOOST_CHECK_EQUAL(folder.listing(), "x ");
      }
      check_said(said_by_saving(x, {0, "", file, 0, ""}), "transport", "at byte ");
    }
  }
}

BOOST_AUTO_TEST_CASE(what_cannot_be_deleted_is_reported_and_the_new_checkpoint_is_there) {
  const scratch folder;
  const std::string x = folder / "x";
  save_on(3, x, 1);
  check_said(said_by_saving(x, {0, "rmdir", "x.partial", -1, ""}), "transport",
             "x.partial: cannot be deleted; " + x + " itself is saved [Device or resource busy]");
  BOOST_CHECK_EQUAL(steps_in(3, x), 2);
  check_said(said_by_saving(x, {-1, "", "", -1, ""}, 3), "nothing", "");
  BOOST_CHECK_EQUAL(steps_in(3, x), 3);
  BOOST_CHECK_EQUAL(folder.listing(), "x ");
}

BOOST_AUTO_TEST_CASE(a_system_that_cannot_exchange_folders_replaces_them_in_two_steps) {
  const scratch folder;
  const std::string x = folder / "x";
  save_on(3, x, 1);
  check_said(said_by_saving(x, {0, "no exchange", "x", -1, ""}), "nothing", "");
  BOOST_CHECK_EQUAL(steps_in(3, x), 2);
  BOOST_CHECK_EQUAL(folder.listing(), "x ");
  // Killed between the two.
  std::filesystem::rename(x, x + ".previous");
  BOOST_CHECK_EQUAL(steps_in(3, x), 2);
  check_said(said_by_saving(x, {0, "", "", -1, ""}, 3), "nothing", "");
  BOOST_CHECK_EQUAL(steps_in(3, x), 3);
  BOOST_CHECK_EQUAL(folder.listing(), "x ");
}

BOOST_AUTO_TEST_CASE(what_is_no_checkpoint_is_not_replaced) {
  const scratch folder;
  const std::string x = folder / "x";
  std::filesystem::create_directory(x);
  check_said(said_by_saving(x, {-1, "", "", -1, ""}, 1), "nothing", "");
  put_file(x + "/thesis.tex", "precious");
  check_said(
      said_by_saving(x, {-1, "", "", -1, ""}), "invalid_argument",
      "x: holds thesis.tex, which is of no checkpoint - give a folder that holds nothing else");
  BOOST_CHECK_EQUAL(file_bytes(x + "/thesis.tex"), "precious");
  BOOST_CHECK_EQUAL(steps_in(3, x), 1);

  std::filesystem::create_directory(folder / "y.partial");
  put_file(folder / "y.partial/thesis.tex", "precious");
  check_said(said_by_saving(folder / "y", {-1, "", "", -1, ""}), "invalid_argument",
             "y.partial: holds thesis.tex");
  put_file(folder / "file", "precious");
  std::filesystem::create_directory_symlink(x, folder / "link");
  for (const char* name : {"file", "link"})
    check_said(said_by_saving(folder / name, {-1, "", "", -1, ""}), "invalid_argument",
               "is a file or a link - give the folder of the checkpoint itself");
  BOOST_CHECK_EQUAL(steps_in(3, folder / "link"), 1); // which can be loaded
  BOOST_CHECK_EQUAL(folder.listing(), "file link x y.partial ");
}

BOOST_AUTO_TEST_CASE(folders_above_are_made) {
  const scratch folder;
  save_on(2, folder / "runs/today/step-1/", 1);
  BOOST_CHECK_EQUAL(steps_in(3, folder / "runs/today/step-1"), 1);
  put_file(folder / "file", "");
  check_said(said_by_saving(folder / "file/step-1", {-1, "", "", -1, ""}), "transport",
             "file/step-1.partial: cannot be made [Not a directory]");
}

// deepspeedai/DeepSpeed#801, allenai/allennlp#4693: save on one rank, another call on another.
BOOST_AUTO_TEST_CASE(one_rank_saves_while_the_other_steps) {
  const scratch folder;
  for (const int saver : {0, 1}) {
    const auto said = said_by(2, [&](tutti::control& all) {
      if (all.rank() == saver) {
        small_run run{all.rank(), 2};
        save(all, run, folder / "x");
      } else {
        all.say(std::vector<std::uint64_t>(1));
        (void)all.all();
      }
    });
    for (const std::string& one : said)
      BOOST_CHECK_MESSAGE(one.starts_with("mismatch") && has(one, "broadcast of") &&
                              has(one, "all_gather of"),
                          one);
    BOOST_CHECK_EQUAL(folder.listing(), "");
  }
}

BOOST_AUTO_TEST_CASE(one_rank_saves_while_the_other_loads) {
  const scratch folder;
  save_on(2, folder / "x", 1);
  const auto said = said_by(2, [&](tutti::control& all) {
    small_run run{all.rank(), 2};
    if (all.rank() == 0) save(all, run, folder / "x");
    else load(all, run, folder / "x");
  });
  check_said(said, "mismatch", "rank 1: calls load of " + (folder / "x") + ", and rank 0 save of ");
  BOOST_CHECK_EQUAL(steps_in(2, folder / "x"), 1);
}

// deepspeedai/DeepSpeed#667
BOOST_AUTO_TEST_CASE(ranks_with_other_folder_names) {
  const scratch folder;
  const auto path = [&](tutti::control& all) { return folder / (all.rank() == 1 ? "y" : "x"); };
  const std::string wanted = "rank 1: calls save of " + (folder / "y") + ", and rank 0 save of " +
                             (folder / "x") +
                             " - make the same call with the same name on every rank";
  check_said(said_by(3,
                     [&](tutti::control& all) {
                       small_run run{all.rank(), 3};
                       save(all, run, path(all));
                     }),
             "mismatch", wanted);
  BOOST_CHECK_EQUAL(folder.listing(), "");
}

// NVIDIA-NeMo/Speech#7952, InternLM/xtuner#1703: a rank that leaves before, in or after its part.
BOOST_AUTO_TEST_CASE(a_rank_that_leaves_leaves_the_old_checkpoint) {
  const scratch folder;
  save_on(3, folder / "x", 1);
  for (const int visits : {0, 1, 2}) {
    std::vector<std::string> said(3, "nothing");
    int visited = 0;
    try {
      on_ranks(3, [&](tutti::control& all) {
        small_run run{all.rank(), 3};
        run.train(2);
        if (all.rank() == 2) {
          if (visits == 0) return;
          run.more = [&](tutti::archive&) {
            if (++visited == visits) throw std::runtime_error{"gone"};
          };
        }
        said[std::size_t(all.rank())] = thrown_by([&] { save(all, run, folder / "x"); });
      });
    } catch (const std::exception&) { // which it leaves with
    }
    for (const int rank : {0, 1})
      BOOST_CHECK_MESSAGE(said[std::size_t(rank)].starts_with("peer_lost"),
                          said[std::size_t(rank)]);
    BOOST_CHECK_EQUAL(steps_in(3, folder / "x"), 1);
    BOOST_CHECK_EQUAL(folder.listing(), "x ");
  }
}

#if defined(__linux__)
// horovod/horovod#526, #1774: ranks see folders of their own.
BOOST_AUTO_TEST_CASE(a_folder_on_one_rank_only_and_unlike_folders) {
  const scratch folder;
  save_on(3, folder / "here/x", 1);
  std::filesystem::create_directory(folder / "nowhere");
  save_on(3, folder / "later/x", 2);
  on_ranks(3, [&](tutti::control& all) { // the same numbers, and other values
    small_run run{all.rank(), 3};
    run.train(1);
    run.model[0].values[1] += all.rank() == 0;
    save(all, run, folder / "other/x");
  });
  bool possible = true;
  const auto apart = [&](const std::string& place) { // a folder of this thread's own
    possible = possible && ::unshare(CLONE_FS) == 0 && ::chdir(place.c_str()) == 0;
    return possible;
  };
  const auto said = [&](const std::string& place, bool saves) {
    std::vector<std::string> out;
    std::thread{[&] {
      if (!apart(folder / "here")) return;
      out = said_by(3, [&](tutti::control& all) {
        if (all.rank() == 1) apart(place);
        small_run run{all.rank(), 3};
        run.train(99);
        const std::string why =
            thrown_by([&] { saves ? save(all, run, "x") : void(load(all, run, "x")); });
        if (!run.is_as_after(99)) throw std::logic_error{"the run has changed"};
        if (const std::size_t colon = why.find(": "); colon != std::string::npos)
          throw tutti::error{{.detail = why.substr(colon + 2)}};
      });
    }}.join();
    return out;
  };
  check_said(said(folder / "nowhere", false), "transport", "load: transport on rank ");
  check_said(said(folder / "nowhere", false), "transport",
             "rank 1: x/model.safetensors: cannot be opened [No such file or directory]");
  check_said(said(folder / "later", false), "transport", "ranks 0 and 1 read unlike files under x");
  check_said(said(folder / "other", false), "transport", "ranks 0 and 1 read unlike files under x");
  check_said(
      said(folder / "nowhere", true), "transport",
      "rank 1: x.partial: is not there, and rank 0 has made it - give a folder that all ranks see");
  if (!possible) BOOST_TEST_MESSAGE("threads cannot have folders of their own here");
  BOOST_CHECK_EQUAL(steps_in(3, folder / "here/x"), 1);
}
#endif

BOOST_AUTO_TEST_SUITE_END()
