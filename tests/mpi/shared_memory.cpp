// Shared memory that cannot be had, on all ranks or on one: everyone falls back together.
#include "mpi/on_mpi.hpp"

#include <tutti/collectives/collectives.hpp>

#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>

#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <string>
#include <thread>
#include <utility>
#include <vector>

namespace {

/// While it lives this process can open no file.
class no_more_files {
public:
  explicit no_more_files(bool holds) : holds_{holds} {
    if (!holds_) return;
    getrlimit(RLIMIT_NOFILE, &before_);
    rlimit none = before_;
    none.rlim_cur = 0;
    setrlimit(RLIMIT_NOFILE, &none);
  }
  ~no_more_files() {
    if (holds_) setrlimit(RLIMIT_NOFILE, &before_);
  }
  no_more_files(const no_more_files&) = delete;
  no_more_files& operator=(const no_more_files&) = delete;

private:
  bool holds_;
  rlimit before_{};
};

template <class Comm> void sums(Comm& comm, report& r, const char* name, auto& data) {
  for (int& x : data) x = comm.rank() + 1;
  tutti::all_reduce(comm, data);
  const int expected = comm.size() * (comm.size() + 1) / 2;
  bool right = true;
  for (const int x : data) right = right && x == expected;
  r.check(right, std::string{name} + ": a sum is wrong");
}

} // namespace

BOOST_AUTO_TEST_SUITE(shared_memory)

BOOST_AUTO_TEST_CASE(ranks_of_one_node_share) {
  on_mpi("sharing", [](auto& comm, report& r) {
    auto buffer = comm.template allocate<int>(5000);
    r.check(comm.shared() != nullptr, "the ranks of one node share no memory");
    r.check(comm.reaches(*buffer.memory()), "a symmetric buffer is out of reach");
    bool zero = true;
    for (const int x : buffer) zero = zero && x == 0;
    r.check(zero, "its memory is not zero at first");
    sums(comm, r, "in a symmetric buffer", buffer);
    auto moved = std::move(buffer);
    sums(comm, r, "after a move", moved);
  });
}

BOOST_AUTO_TEST_CASE(without_it_everything_is_by_messages) {
  on_mpi("no sharing",
         [](auto& comm, report& r) {
           auto buffer = comm.template allocate<int>(5000);
           r.check(comm.shared() == nullptr, "shared memory is used although it was not asked for");
           r.check(!comm.reaches(*buffer.memory()), "a buffer is shared although nothing is");
           sums(comm, r, "in a symmetric buffer", buffer);
         },
         {.shared_memory = false});
}

BOOST_AUTO_TEST_CASE(one_rank_that_cannot_map_a_buffer) {
  on_mpi("one rank without files", [](auto& comm, report& r) {
    for (const int unlucky : {0, comm.size() - 1}) {
      auto buffer = [&] {
        no_more_files none{comm.rank() == unlucky};
        return comm.template allocate<int>(5000);
      }();
      r.check(!comm.reaches(*buffer.memory()), "one rank has none, and this one has");
      r.check(buffer.size() == 5000, "the buffer is of no use");
      sums(comm, r, "in a buffer that is not shared", buffer);
      std::vector<int> staged(50000);
      sums(comm, r, "in memory of its own", staged);
    }
    auto later = comm.template allocate<int>(5000);
    r.check(comm.reaches(*later.memory()), "what went wrong once goes wrong for ever");
    sums(comm, r, "later", later);
  });
}

namespace {

/// Every collective that works in memory, on data of this rank alone: the same as by messages.
template <class Comm> void all_of_them(Comm& comm, report& r, const std::string& path) {
  const int p = comm.size();
  const auto contribution = [&](std::vector<float>& x) {
    for (std::size_t i = 0; i < x.size(); ++i) x[i] = float((comm.rank() + 1) * int(i % 97 + 1));
  };
  const float all = float(p * (p + 1) / 2);
  for (const std::size_t n :
       {std::size_t{2500}, std::size_t{16384 * std::size_t(p) + 1}, std::size_t{100003}}) {
    std::vector<float> x(n);
    const auto expect = [&](const char* call, auto&& value, std::size_t begin, std::size_t end) {
      std::size_t wrong = 0;
      for (std::size_t i = begin; i < end; ++i) wrong += x[i] != value(i);
      r.check(wrong == 0, path + ", " + call + ", " + std::to_string(n) +
                              " floats: " + std::to_string(wrong) + " are wrong");
    };
    const auto sum = [&](std::size_t i) { return all * float(i % 97 + 1); };
    const auto mine = tutti::shard_of(n, comm.rank(), p);
    contribution(x);
    tutti::all_reduce(comm, x);
    expect("all_reduce", sum, 0, n);
    contribution(x);
    tutti::reduce_scatter(comm, x, tutti::direct{});
    expect("reduce_scatter", sum, mine.begin, mine.end);
    tutti::all_gather(comm, x, tutti::direct{});
    expect("all_gather", sum, 0, n);
    contribution(x);
    tutti::reduce(comm, x, p - 1, tutti::star{});
    if (comm.rank() == p - 1) expect("reduce", sum, 0, n);
    contribution(x);
    tutti::broadcast(comm, x, p - 1, tutti::star{});
    expect(
        "broadcast", [&](std::size_t i) { return float(p) * float(i % 97 + 1); }, 0, n);
  }
}

} // namespace

BOOST_AUTO_TEST_CASE(memory_of_one_rank_by_the_kernel_through_stages_and_by_messages) {
  on_mpi("attached",
         [](auto& comm, report& r) {
           if (!comm.attached()) return; // this kernel forbids it, and all ranks know
           all_of_them(comm, r, "attached");
         },
         {.attached_bytes = 0});
  on_mpi("staged",
         [](auto& comm, report& r) {
           r.check(!comm.attached() || comm.attached()->from() == SIZE_MAX, "it is still wanted");
           all_of_them(comm, r, "staged");
         },
         {.attached_bytes = SIZE_MAX});
  on_mpi("messages", [](auto& comm, report& r) { all_of_them(comm, r, "messages"); },
         {.shared_memory = false});
}

// What ranks want differs: the largest length counts on all of them.
BOOST_AUTO_TEST_CASE(one_rank_that_wants_no_attachment) {
  on_mpi("one without attachment", [](auto& world, report& r) {
    tutti::mpi::communicator comm{
        MPI_COMM_WORLD, {.attached_bytes = world.rank() == 0 ? SIZE_MAX : std::size_t{0}}};
    r.check(!comm.attached() || comm.attached()->from() == SIZE_MAX, "ranks go different ways");
    all_of_them(comm, r, "not attached");
  });
}

namespace {

/// From here on the kernel forbids the calling thread to read the memory of other processes. Whether it
/// could be asked for that.
bool forbid_attaching() {
  sock_filter program[] = {
      BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(seccomp_data, nr)),
      BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_process_vm_readv, 0, 1),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EPERM),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
  };
  const sock_fprog filter{std::size(program), program};
  return prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 &&
         prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &filter) == 0;
}

} // namespace

// On a thread of its own, which alone keeps what it is forbidden.
BOOST_AUTO_TEST_CASE(one_rank_whose_kernel_forbids_attaching) {
  on_mpi("one forbidden", [](auto& world, report& r) {
    int level = MPI_THREAD_SINGLE;
    MPI_Query_thread(&level);
    if (level != MPI_THREAD_MULTIPLE || world.size() == 1) return; // seen with --at-once
    for (const int forbidden : {0, world.size() - 1})
      std::thread{[&] {
        const bool asked = world.rank() != forbidden || forbid_attaching();
        tutti::mpi::communicator comm{MPI_COMM_WORLD, {.attached_bytes = 0}};
        int everyone_asked[] = {asked};
        tutti::all_reduce(comm, everyone_asked, tutti::min{});
        if (everyone_asked[0] == 0) return; // no filters in this kernel
        r.check(comm.attached() == nullptr, "one rank may not attach, and this one will");
        if (!comm.attached() && !comm.stages().empty()) all_of_them(comm, r, "one forbidden");
      }}.join();
  });
}

BOOST_AUTO_TEST_CASE(ranks_that_ask_for_different_lengths) {
  on_mpi("different lengths", [](auto& comm, report& r) {
    if (comm.size() == 1) return;
    try {
      auto buffer = comm.template allocate<int>(comm.rank() == 1 ? 10 : 20);
      r.check(false, "nothing was thrown");
    } catch (const tutti::error& e) {
      r.check(e.code() == tutti::error_code::mismatch, e.what());
    }
    std::vector<int> data(3000);
    sums(comm, r, "afterwards", data);
  });
}

// After a short broadcast, whose root waits for nobody, a staged call.
BOOST_AUTO_TEST_CASE(staged_calls_behind_short_broadcasts) {
  on_mpi("staged behind short", [](auto& comm, report& r) {
    std::vector<int> staged(100000), small(2);
    for (int turn = 0; turn < 300; ++turn) {
      small[0] = turn * (comm.rank() == turn % comm.size());
      tutti::broadcast(comm, small, turn % comm.size());
      r.check(small[0] == turn, "a broadcast is wrong");
      if (turn % 10 == 0) sums(comm, r, "staged", staged);
    }
  });
}

BOOST_AUTO_TEST_CASE(elements_that_are_longer_than_a_window) {
  on_mpi("long elements", [](auto& comm, report& r) {
    struct long_element {
      char bytes[200000];
    };
    std::vector<long_element> data(3);
    for (auto& x : data) x.bytes[199999] = char(comm.rank() + 1);
    tutti::broadcast(comm, data, comm.size() - 1);
    for (const auto& x : data) r.check(x.bytes[199999] == char(comm.size()), "a byte is wrong");
  });
}

BOOST_AUTO_TEST_CASE(a_communicator_on_which_one_rank_can_share_nothing) {
  report mine;
  going_on("no lines");
  try {
    auto comm = [] {
      int rank = 0;
      MPI_Comm_rank(MPI_COMM_WORLD, &rank);
      no_more_files none{rank == 0};
      return tutti::mpi::world();
    }();
    mine.check(comm.shared() == nullptr, "one rank can share nothing, and this one does");
    std::vector<int> data(3000);
    sums(comm, mine, "by messages", data);
  } catch (const std::exception& e) {
    mine.check(false, std::string{"threw "} + e.what());
  }
  BOOST_CHECK_MESSAGE(agreed(mine), "failed on some rank, see above");
}

BOOST_AUTO_TEST_SUITE_END()
