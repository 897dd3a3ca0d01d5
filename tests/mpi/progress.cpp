// The progress thread: refused where MPI does not allow it, and where it does, calls complete while
// their ranks do something else.
#include "mpi/on_mpi.hpp"

#include <tutti/collectives/collectives.hpp>
#include <tutti/topologies/halving_doubling.hpp>
#include <tutti/topologies/ring.hpp>

#include <chrono>
#include <string>
#include <thread>
#include <vector>

namespace {

/// Not a test of the request, nor any other call that would move it along.
template <class Comm> void until_nothing_is_pending(Comm& comm) {
  for (bool pending = true; pending; std::this_thread::yield()) {
    const auto held = comm.in_flight().hold();
    pending = comm.in_flight().pending();
  }
}

template <class Comm> void several(Comm& comm, report& r, const char* name) {
  const int p = comm.size(), sum = p * (p + 1) / 2;
  std::vector<int> a(300000), b(3), c(70000);
  for (int turn = 0; turn < 5; ++turn) {
    a.assign(a.size(), comm.rank() + 1);
    b.assign(b.size(), comm.rank() + 1);
    c.assign(c.size(), comm.rank() + 1);
    auto first = tutti::async_all_reduce(comm, a, tutti::ring{});
    auto second = tutti::async_all_reduce(comm, b);
    auto third = tutti::async_all_reduce(comm, c, tutti::halving_doubling{});
    if (turn % 2 == 0) until_nothing_is_pending(comm);
    tutti::barrier(comm); // a call of the rank's own beside them
    third.wait();
    first.wait();
    second.wait();
    bool right = true;
    for (const auto* x : {&a, &b, &c})
      for (const int v : *x) right = right && v == sum;
    r.check(right, std::string{name} + ": a sum is wrong");
  }
}

} // namespace

BOOST_AUTO_TEST_SUITE(progress_thread)

BOOST_AUTO_TEST_CASE(refused_or_at_work) {
  const bool may = may_have_threads();
  on_mpi("a progress thread", [may](auto&, report& r) {
    for (const bool shares : {true, false}) {
      try {
        tutti::mpi::communicator comm{MPI_COMM_WORLD,
                                      {.shared_memory = shares, .progress_thread = true}};
        r.check(may, "a thread runs although MPI does not allow it");
        several(comm, r, shares ? "in shared memory" : "by messages");
        auto half = comm.split(comm.rank() % 2, 0);
        several(half, r, "on half of the ranks");
        several(comm, r, "on all of them, again");
        tutti::mpi::communicator moved = std::move(comm);
        several(moved, r, "after a move");
      } catch (const tutti::error& e) {
        const std::string text = e.what();
        r.check(!may, text);
        r.check(e.code() == tutti::error_code::unsupported &&
                    text.find("tutti::mpi::threading::at_once") != std::string::npos,
                text);
      }
    }
  });
}

/// Rank 0 waits on the whole communicator for those who still wait for it on another one.
template <class Comm>
void in_crossed_order(Comm& comm, Comm& other, report& r, const char* name) {
  std::vector<int> a(50000, 1), b(50000, 1);
  const tutti::options soon{.timeout = std::chrono::seconds{20}};
  auto there = tutti::async_all_reduce(other, a, tutti::ring{}, soon);
  if (comm.rank() != 0) there.wait();
  tutti::all_reduce(comm, b, tutti::ring{}, soon);
  there.wait();
  r.check(a.front() == comm.size() && b.back() == comm.size(), name);
}

BOOST_AUTO_TEST_CASE(waiting_on_one_communicator_stops_no_other) {
  if (!may_have_threads()) return;
  on_mpi("crossed waits", [](auto&, report& r) {
    tutti::mpi::communicator comm{MPI_COMM_WORLD, {.shared_memory = false, .progress_thread = true}};
    auto child = comm.split(0, 0);
    for (int turn = 0; turn < 3; ++turn) {
      in_crossed_order(comm, child, r, "the child's sum is wrong");
      in_crossed_order(child, comm, r, "the parent's sum is wrong");
    }
  });
}

BOOST_AUTO_TEST_CASE(a_failure_that_the_thread_sees_is_thrown_by_wait) {
  if (!may_have_threads()) return;
  on_mpi("a failure under way", [](auto&, report& r) {
    tutti::mpi::communicator comm{MPI_COMM_WORLD, {.shared_memory = false, .progress_thread = true}};
    if (comm.size() == 1) return;
    std::vector<int> x(comm.rank() == 0 ? 40000 : 50000);
    auto sum = tutti::async_all_reduce(comm, x, tutti::ring{});
    until_nothing_is_pending(comm);
    try {
      sum.wait();
      r.check(false, "different lengths met");
    } catch (const tutti::error& e) {
      r.check(e.code() == tutti::error_code::mismatch, e.what());
    }
  });
}

BOOST_AUTO_TEST_SUITE_END()
