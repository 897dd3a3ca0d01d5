// threads: the ranks are threads of one process. Needs nothing installed; the embedded default.
#pragma once

#include <tutti/communicators/forwarding.hpp>
#include <tutti/communicators/thread_endpoint.hpp>
#include <tutti/core/exact_arithmetic.hpp>
#include <tutti/core/process.hpp>

#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <type_traits>
#include <utility>
#include <vector>

namespace tutti::threads {

/// A rank's handle on its group of threads. Used by one thread at a time.
/// Messages are copied once, from the sender's memory to the receiver's.
template <class Waiting>
class basic_communicator : public communicator_handle<detail::endpoint<Waiting>> {
public:
  basic_communicator(std::shared_ptr<detail::group<Waiting>> all, int rank)
      : communicator_handle<detail::endpoint<Waiting>>{std::in_place, std::move(all), rank} {}

  /// Collective. The ranks of one color form a communicator, ordered by (key, rank).
  basic_communicator split(int color, int key, const options& how = {}) {
    auto [members, rank] = this->inner().split(color, key, how);
    return {std::move(members), rank};
  }
};

using communicator = basic_communicator<spin_then_sleep>;

namespace detail {

/// What ranks threw, in the order of time, and which of it is the cause of the rest. (A template so that
/// it costs a compiler nothing where no ranks are run.)
template <class Exception = std::exception_ptr>
class exits {
public:
  explicit exits(int ranks) { thrown_.reserve(std::size_t(ranks)); }

  void thrown(Exception what) {
    std::scoped_lock lock{guard_};
    thrown_.push_back(std::move(what));
  }
  /// Who says that a peer is lost may be ahead of the peer itself, which has the cause.
  void rethrow_cause() const {
    for (const Exception& one : thrown_)
      if (!says_lost(one)) std::rethrow_exception(one);
    if (!thrown_.empty()) std::rethrow_exception(thrown_.front());
  }

private:
  static bool says_lost(const Exception& one) {
    try {
      std::rethrow_exception(one);
    } catch (const error& e) {
      return e.code() == error_code::peer_lost;
    } catch (...) {
      return false;
    }
  }

  std::mutex guard_;
  std::vector<Exception> thrown_;
};

/// One rank of a run, on its thread: body(over) is what it does, and calls over() when the program has returned; what it
/// throws is said by leave(rank, reason). A child process that the program has forked, which has none of the other
/// threads, ends here.
template <class Body, class Leave>
void run_rank(int rank, const tutti::detail::process& started_in, Body&& body, Leave&& leave) {
  const auto end_if_child = [&](const char* why) {
    if (!started_in.is_this()) tutti::detail::process::end_child(rank, why, why ? 1 : 0);
  };
  const auto left = [&](const char* why) {
    end_if_child(why);
    leave(rank, why);
  };
  try {
    body([&] { end_if_child(nullptr); });
  } catch (const std::exception& e) {
    left(e.what());
  } catch (...) {
    left("an exception of unknown type");
  }
}

/// What run() does, once for all programs: `program(context, comm)` is one of them.
template <class Waiting>
void run_ranks(int ranks, void (*program)(const void* context, basic_communicator<Waiting>&),
               const void* context) {
  tutti::detail::require_exact_arithmetic();
  if (ranks < 1 || ranks > 4096)
    throw error{{.code = error_code::invalid_argument,
                 .call = "threads::run",
                 .detail = std::to_string(ranks) + " ranks were asked for - give 1 to 4096"}};
  std::vector<int> ids;
  for (int r = 0; r < ranks; ++r) ids.push_back(r);
  auto everyone = std::make_shared<membership>(ranks);
  auto world = std::make_shared<group<Waiting>>(everyone, std::move(ids));
  exits<std::conditional_t<std::is_void_v<Waiting>, void, std::exception_ptr>> exits{ranks};
  const auto leave = [&](int rank, const std::string& reason) {
    exits.thrown(std::current_exception());
    world->revoke({.code = error_code::peer_lost,
                   .peer = rank,
                   .detail = "rank " + std::to_string(rank) + " left: " + reason});
  };
  const auto gone = [&](int rank) {
    everyone->left[std::size_t(rank)].store(true);
    world->ring_all();
  };
  const tutti::detail::process ranks_process;
  const auto body = [&](int rank) {
    const auto all_of_it = [&](auto&& over) {
      basic_communicator<Waiting> comm{world, rank};
      program(context, comm);
      over();
    };
    detail::run_rank(rank, ranks_process, all_of_it, leave);
    gone(rank);
  };
  {
    std::vector<std::jthread> others;
    try {
      for (int r = 1; r < ranks; ++r) others.emplace_back(body, r);
    } catch (const std::exception& e) { // those that began wait for the rest
      const int missing = int(others.size()) + 1;
      leave(missing, std::string{"its thread could not be started: "} + e.what());
      for (int r = missing; r < ranks; ++r) gone(r);
    }
    if (int(others.size()) + 1 == ranks)
      body(0);
    else
      gone(0);
  }
  exits.rethrow_cause();
}

} // namespace detail

/// Runs program(communicator&) on `ranks` threads and returns when all have returned.
/// When one throws, every other rank's calls fail with `peer_lost` naming it, and its exception is
/// thrown here. A rank that returns while others still wait for it fails them the same way.
template <class Program>
void run(int ranks, Program&& program) {
  // A type that depends on Program, so that it costs a compiler nothing where run is not called.
  using waiting = std::conditional_t<std::is_void_v<Program>, void, spin_then_sleep>;
  const auto call = [&program](basic_communicator<waiting>& comm) { program(comm); };
  detail::run_ranks<waiting>(
      ranks,
      [](const void* context, basic_communicator<waiting>& comm) {
        (*static_cast<const decltype(call)*>(context))(comm);
      },
      &call);
}

} // namespace tutti::threads
