// simulated: ranks of one process in virtual time, on machines that nobody has.
//
//   auto took = tutti::simulated::run(64, {.between = {.latency = 5e-6, .bandwidth = 1.25e9}}, [](auto& comm) {
//     comm.compute(.01);             // a hundredth of a second, in no time
//     tutti::all_reduce(comm, data); // what is sent is sent, and takes what the links take
//   });
//
// Programs run unchanged: whatever takes a communicator takes this one, and every deadline is one of its clock.
// A rank runs in no time but for what it computes, its messages and its waiting. It does not move what is in flight
// while it computes, as ranks without a thread for that do not. One rank runs at a time, in the order of virtual time,
// so a run can be repeated to the bit; what may not be is a rank that waits for another one other than on its
// communicator: on a mutex or in a loop on an atomic it waits for ever.
#pragma once

#include <tutti/communicators/forwarding.hpp>
#include <tutti/communicators/rendezvous.hpp>
#include <tutti/communicators/simulated_exchange.hpp>
#include <tutti/communicators/threads.hpp>

#include <chrono>
#include <cstdint>
#include <exception>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <thread>
#include <utility>
#include <vector>

namespace tutti::simulated {

namespace detail {

/// A communicator that does not move; simulated::communicator is its handle.
class endpoint {
public:
  using part = communicator_part;
  static constexpr bool idle_blocks = true; ///< whenever idle() returns its time may have come

  endpoint(std::shared_ptr<group> all, int rank) : group_{std::move(all)}, rank_{rank} {
    group_->box(rank_).calls = operations_.history();
  }
  ~endpoint() { operations_.end(); }

  int rank() const noexcept { return rank_; }
  int size() const noexcept { return group_->size(); }

  handle exchange(host_execution, channel on, const exchange_round& round) {
    group_->throw_if_revoked(rank_);
    return {group_, rank_, on, round};
  }
  std::uint64_t progress() {
    time().look(here(), look_weight);
    return time().events(here());
  }
  void idle(std::uint64_t seen, deadline until) { time().wait(here(), seen, ticks_at(until)); }
  void revoke(failure why) { group_->revoke(why); }
  operations& in_flight() noexcept { return operations_; }

  deadline now() const noexcept {
    return deadline{std::chrono::duration_cast<clock::duration>(std::chrono::nanoseconds{time().now() / 1000})};
  }
  void compute(double seconds) { time().compute(here(), seconds); }
  /// A collective is about to combine as many bytes.
  int combining(std::size_t bytes) {
    if (const double each = time().runs_on().per_folded_byte; each > 0) compute(double(bytes) * each);
    return 0;
  }

  std::optional<arrival> probe(channel on) {
    group_->throw_if_revoked(rank_);
    auto found = group_->probe(rank_, on);
    if (!found) time().look(here(), look_weight);
    return found;
  }
  /// Whether `peer` has returned; what it sent before is there. Throws when that was because of a failure.
  bool has_left(int peer) const {
    if (!group_->has_left(peer)) return false;
    group_->throw_if_revoked(rank_);
    return true;
  }
  void compare_calls(int peer, bool /*differ*/) { group_->compare_calls(rank_, peer); }
  std::span<const int> nodes() const noexcept { return group_->nodes; }

  /// Collective. The group of this rank's color, and its rank there: by (key, rank).
  std::pair<std::shared_ptr<group>, int> split(int color, int key, const options& how) {
    const auto mine = tutti::detail::split_members(*this, color, key, how.until(tutti::now_of(*this)));
    return {group_->child(splits_++, mine.members), mine.rank};
  }

private:
  static constexpr int look_weight = 64; ///< of a look at everything; of one at a single exchange, 1

  timeline& time() const noexcept { return *group_->when; }
  int here() const noexcept { return group_->world_rank(rank_); }
  static ticks ticks_at(deadline until) noexcept {
    const auto ns = std::chrono::duration_cast<std::chrono::nanoseconds>(until.time_since_epoch()).count();
    return ns < last_tick / 1000 ? ticks(ns) * 1000 : never;
  }

  std::shared_ptr<group> group_;
  int rank_;
  std::uint64_t splits_ = 0;
  operations operations_;
};

} // namespace detail

/// A rank's handle on its group of simulated ranks, used by that rank alone. A message is copied when it is sent and
/// when it is received. There is no direct access, so schedules run as messages. `now()` is virtual time, 0 when the
/// run begins; `compute(seconds)` lets it pass; `nodes()` are those of the machine.
class communicator : public communicator_handle<detail::endpoint> {
public:
  communicator(std::shared_ptr<detail::group> all, int rank)
      : communicator_handle<detail::endpoint>{std::in_place, std::move(all), rank} {}

  /// Collective. The ranks of one color form a communicator, ordered by (key, rank).
  communicator split(int color, int key, const options& how = {}) {
    auto [members, rank] = inner().split(color, key, how);
    return {std::move(members), rank};
  }
};

namespace detail {

/// What run() does, once for all programs.
inline report run_ranks(int ranks, const machine& on, void (*program)(const void* context, communicator&),
                        const void* context) {
  tutti::detail::require_exact_arithmetic();
  if (ranks < 1 || ranks > 4096)
    refuse(std::to_string(ranks) + " ranks were asked for - give 1 to 4096", "simulated::run");
  require_machine(on, ranks, "simulated::run");
  std::vector<int> everyone;
  for (int r = 0; r < ranks; ++r) everyone.push_back(r);
  const auto time = std::make_shared<timeline>(ranks, on);
  const auto world = std::make_shared<group>(time, std::move(everyone));
  threads::detail::exits<> exits{ranks};
  const auto leave = [&](int rank, const std::string& reason) {
    exits.thrown(std::current_exception());
    world->revoke({.code = error_code::peer_lost,
                   .peer = rank,
                   .detail = "rank " + std::to_string(rank) + " left: " + reason});
  };
  const tutti::detail::process ranks_process;
  const auto body = [&](int rank) {
    time->begin(rank);
    const auto all_of_it = [&](auto&& over) {
      communicator comm{world, rank};
      program(context, comm);
      over();
    };
    threads::detail::run_rank(rank, ranks_process, all_of_it, leave);
    time->end(rank);
    time->pass_on();
  };
  {
    std::vector<std::jthread> all;
    try {
      for (int r = 0; r < ranks; ++r) all.emplace_back(body, r);
    } catch (const std::exception& e) {
      const int missing = int(all.size());
      leave(missing, std::string{"its thread could not be started: "} + e.what());
      for (int r = missing; r < ranks; ++r) time->end(r);
    }
    time->start();
  }
  exits.rethrow_cause();
  return time->result();
}

} // namespace detail

/// Runs program(communicator&) on `ranks` ranks of that machine, 1 to 4096, and returns when all have returned: what it
/// took, in virtual time. A rank that throws ends the others as in threads::run, and its exception is thrown here. When
/// nobody can move and no deadline is due, every rank's call fails at once with `timeout`, naming who waits for whom.
/// Throws invalid_argument for numbers of ranks and machines that cannot be.
/// Ranks are threads, whose stacks are reserved and not used; one exchange takes some microseconds of real time.
template <class Program>
report run(int ranks, const machine& on, Program&& program) {
  const auto call = [&program](communicator& comm) { program(comm); };
  return detail::run_ranks(
      ranks, on,
      [](const void* context, communicator& comm) { (*static_cast<const decltype(call)*>(context))(comm); }, &call);
}

} // namespace tutti::simulated
