// One rank's place among the processes of an MPI communicator: what operations refer to.
#pragma once

#include <tutti/collectives/attached_execution.hpp>
#include <tutti/collectives/staged_execution.hpp>
#include <tutti/communicators/communicator.hpp>
#include <tutti/communicators/rendezvous.hpp>
#include <tutti/mpi/attachment.hpp>
#include <tutti/mpi/bells.hpp>
#include <tutti/mpi/device_messages.hpp>
#include <tutti/mpi/exchange.hpp>
#include <tutti/mpi/nodes.hpp>
#include <tutti/mpi/progress_thread.hpp>
#include <tutti/mpi/segment.hpp>

#include <algorithm>
#include <climits>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <exception>
#include <memory>
#include <string>
#include <utility>
#include <vector>

namespace tutti::mpi {

/// The same on every rank of a communicator, but for `attached_bytes` and `cached_bytes`.
struct limits {
  /// A message of this many bytes or more is cut. MPI counts in int.
  std::size_t message_bytes = INT_MAX;
  /// Ranks of one node work in each other's memory where they can; messages only, when false.
  bool shared_memory = true;
  /// From this length on the kernel copies between ranks of one node (cross-memory attach), where it
  /// lets all of them; what is shorter goes through shared memory. The largest of all ranks counts. By
  /// default nothing is long enough: where it was measured, stages were faster at every length (two
  /// ranks, float sums, 32 KiB 1.7 us against 5.9, 2 MiB 100 against 220, 128 MiB 10,600 against 22,100;
  /// bench/run.sh all_reduce has both).
  std::size_t attached_bytes = SIZE_MAX;
  /// A thread of the communicator's own pushes along what is in flight while the rank computes. Needs an
  /// environment with threading::at_once, or making the communicator throws `unsupported`.
  bool progress_thread = false;
  /// What the ranks of this communicator together hold more of is stored past the caches. By default the
  /// size of this machine's last cache.
  std::size_t cached_bytes = tutti::detail::last_cache_bytes();
  /// What of it fails on one rank holds on none.
  device_messages device_memory = device_messages::as_queried;
};

namespace detail {

/// A communicator that does not move; mpi::communicator is its handle.
class endpoint {
public:
  using part = communicator_part;
  using handle = detail::exchange;

  static constexpr bool one_address_space = false;

  endpoint(MPI_Comm users, limits how)
      : endpoint{(require_running(), group::on(users, how.message_bytes)), how} {
    all_->takes_device_memory = detail::all_take_device_memory(all_->comm, how.device_memory);
  }
  endpoint(std::shared_ptr<group> all, limits how)
      : all_{std::move(all)}, unwinding_{std::uncaught_exceptions()}, how_{how} {
    all_->notices->remember(driver_.all().history());
    share_lines();
    if (how_.progress_thread) run_thread();
  }
  endpoint(const endpoint&) = delete;
  endpoint& operator=(const endpoint&) = delete;

  /// A rank that unwinds past its communicator leaves the others, who learn it here.
  ~endpoint() {
    if (std::uncaught_exceptions() > unwinding_)
      revoke({.code = error_code::peer_lost,
              .peer = rank(),
              .detail = "rank " + std::to_string(rank()) + " left while an exception was under way"});
    driver_.all().end();
  }

  int rank() const noexcept { return all_->rank; }
  int size() const noexcept { return all_->size; }

  handle exchange(host_execution, channel on, const exchange_round& round) {
    const auto held = all_->hold();
    all_->throw_if_failed();
    if (on >= tags::channels) [[unlikely]]
      reject("channel " + std::to_string(on) + " - channels are below " +
             std::to_string(tags::channels));
    return {all_, on, round};
  }

  /// Messages move while they are tested. What ranks do in each other's memory rings a bell where they
  /// outnumber their cores.
  std::uint64_t progress() noexcept { return lines_ ? bells_.rung() : 0; }

  /// Spins, and yields every 64th time. Where ranks outnumber cores on this node, sleeps until somebody
  /// rings; while messages are awaited, which ring nothing, it yields the core: four ranks on two
  /// cores, one ring of one float, took 16,300 us in MPICH's MPI_Waitall and 33 us polling with
  /// sched_yield.
  void idle(std::uint64_t seen, deadline until) noexcept {
    if (!all_->nodes.crowded) {
      if (++idled_ % 64 == 0) sched_yield();
    } else if (only_bells_ring()) {
      bells_.sleep(std::uint32_t(seen), until);
    } else {
      sched_yield();
    }
  }

  void revoke(failure why) noexcept {
    if (!is_here()) return;
    const auto held = all_->hold();
    all_->notices->fail(why);
  }
  operations& in_flight() noexcept { return driver_.all(); }

  std::optional<arrival> probe(channel on) {
    const auto held = all_->hold();
    if (all_->notices->looks_now()) all_->throw_if_failed();
    if (const auto first = all_->first_early(on)) return first;
    all_->take_early_messages();
    return all_->first_early(on);
  }

  /// Collective. The group of this rank's color, ordered by (key, rank).
  std::shared_ptr<group> split(int color, int key, const options& how) {
    const auto mine = tutti::detail::split_members(*this, color, key, how.until(tutti::now_of(*this)));
    return all_->child(mine.members);
  }
  const limits& said() const noexcept { return how_; }

  /// The node of each rank, numbered by first appearance.
  std::span<const int> nodes() const noexcept { return all_->nodes.node_of; }

  /// Whether messages may name memory of a CUDA device; the same on all ranks.
  bool takes_device_memory() const noexcept { return all_->takes_device_memory; }

  /// For a rank that will not communicate again: others who wait for it fail with `peer_lost`.
  /// Returns when every rank has come here - after a failure at most 20 s later, false if somebody
  /// has not.
  bool leave() {
    if (!is_here()) return true;
    const auto held = all_->hold();
    all_->notices->leave();
    return all_->notices->meet();
  }

  /// Whether `peer` has called leave(), as far as is known here. Throws when that was because of a failure.
  bool has_left(int peer) const {
    const auto held = all_->hold();
    if (!all_->notices->has_left(peer)) return false;
    all_->throw_if_failed();
    return true;
  }

  tutti::detail::signals* shared() noexcept { return lines_ ? &signals_ : nullptr; }
  std::size_t last_cache_bytes() const noexcept { return how_.cached_bytes; }
  void announced() noexcept {
    if (all_->nodes.crowded) bells_.ring();
  }
  const attachment* attached() const noexcept { return attached_.get(); }
  [[noreturn]] void end_job(const char* why) noexcept {
    std::fprintf(stderr, "tutti: %s - the job is ended\n", why);
    MPI_Abort(all_->comm, 1);
    std::abort();
  }
  /// Not in a child that the rank has forked.
  bool is_here() const noexcept { return all_->notices->is_here(); }
  int looks() const noexcept { return all_->nodes.crowded ? 1 : 4000; }
  bool reaches(const tutti::detail::symmetric_memory& memory) const noexcept {
    return !memory.places.empty() && tutti::detail::same_owner(memory.owner, all_);
  }
  void require_usable() const { all_->throw_if_failed(); }
  /// Throws when the communicator was revoked, or `peer` has left without announcing what is waited
  /// for.
  void watch(int peer) {
    notice_board& board = *all_->notices;
    board.look();
    if (board.failed())
      throw error{tutti::detail::heard(board.why(), rank(), board.failed_here() ? peer : -1)};
    if (peer >= 0 && board.has_left(peer) && !signals_.reached_by(peer, signals_.now()))
      throw error{tutti::detail::peer_left(rank(), peer)};
  }

  void compare_calls(int peer, bool differ) {
    const auto held = all_->hold();
    all_->notices->compare_calls(peer, differ);
  }

  std::span<std::byte* const> stages() const noexcept {
    return stages_ ? std::span<std::byte* const>{stages_->places} : std::span<std::byte* const>{};
  }

  template <class T>
  symmetric_buffer<T> allocate(std::size_t n, const options& how = {}) {
    const std::size_t bytes = tutti::detail::bytes_of<T>(*this, n);
    return {make_memory((std::max)(bytes, std::size_t{1}), how), n};
  }

private:
  /// Nothing is in flight that only polling moves on.
  bool only_bells_ring() const {
    const auto held = all_->hold();
    return lines_ && all_->notices->is_idle() && driver_.all().pending();
  }

  void run_thread() {
    int level = MPI_THREAD_SINGLE;
    check(MPI_Query_thread(&level), "MPI_Query_thread", rank());
    if (level < MPI_THREAD_MULTIPLE)
      throw error{{.code = error_code::unsupported,
                   .call = "mpi::communicator",
                   .rank = rank(),
                   .detail = "a progress thread calls MPI beside its rank, and MPI was not asked for "
                             "that - write tutti::mpi::environment env{argc, argv, "
                             "tutti::mpi::threading::at_once};, and where MPI is initialised elsewhere "
                             "MPI_Init_thread with MPI_THREAD_MULTIPLE there"}};
    driver_.run_thread(all_->sharing, *all_->notices, all_->nodes.roomy);
  }

  /// All of its ranks are on one node, and not too many.
  bool may_share() const {
    if (!how_.shared_memory || size() > tutti::detail::most_shared_ranks) return false;
    for (const int node : nodes())
      if (node != 0) return false;
    return true;
  }
  void share_lines() {
    if (!may_share()) return;
    complaint wrong;
    const std::size_t all_signals = tutti::detail::signals::bytes(size());
    const std::size_t all = all_signals + bells::bytes(size());
    const std::size_t each = (all + std::size_t(size()) - 1) / std::size_t(size());
    lines_ = make_segment(*this, each, options{}.until(clock::now()), wrong);
    if (!lines_) return warn(*wrong);
    if (rank() == 0) {
      tutti::detail::signals::make(lines_->part(0), size());
      bells::make(lines_->part(0) + all_signals, size());
    }
    signals_ = {lines_->part(0), rank(), size()};
    bells_ = {lines_->part(0) + all_signals, rank(), size()};
    const std::uint64_t made = 1; // before anyone's first use
    tutti::detail::rendezvous(*this, "communicator", std::span{&made, 1},
                              options{}.until(tutti::now_of(*this)));
    stages_ = make_memory(tutti::detail::most_staged_bytes, {});
    attached_ = attachment::make(*this, how_.attached_bytes, options{}.until(tutti::now_of(*this)));
  }
  std::shared_ptr<const tutti::detail::symmetric_memory> make_memory(std::size_t bytes,
                                                                     const options& how) {
    complaint wrong;
    std::shared_ptr<tutti::detail::symmetric_memory> memory;
    if (lines_) {
      if (auto all = make_segment(*this, bytes, how.until(clock::now()), wrong))
        memory = std::make_shared<shared_memory>(std::move(all), rank(), size());
      else
        warn(*wrong);
    }
    if (!memory) memory = std::make_shared<private_memory>(bytes);
    memory->owner = all_;
    memory->number = ++allocations_;
    return memory;
  }
  /// Once, by the lowest rank.
  void warn(const std::string& wrong) {
    if (rank() != 0 || std::exchange(warned_, true)) return;
    std::fprintf(stderr,
                 "tutti: no shared memory, so ranks of this node copy through MPI (%s) - make room in "
                 "/dev/shm, or say tutti::mpi::limits{.shared_memory = false}\n",
                 wrong.c_str());
  }

  static void require_running() {
    if (!is_running())
      throw error{{.code = error_code::unsupported,
                   .call = "mpi::communicator",
                   .detail =
                       "MPI is not running - write `tutti::mpi::environment env{argc, argv};` "
                       "first in main"}};
  }
  [[noreturn]] void reject(std::string detail) const {
    throw error{{.code = error_code::invalid_argument,
                 .call = "exchange",
                 .rank = rank(),
                 .detail = std::move(detail)}};
  }

  std::shared_ptr<group> all_;
  int unwinding_;
  limits how_;
  bool warned_ = false;
  unsigned idled_ = 0;
  std::uint64_t allocations_ = 0;
  std::shared_ptr<const segment> lines_; ///< what signals_ stand in
  std::shared_ptr<const tutti::detail::symmetric_memory> stages_;
  tutti::detail::signals signals_;
  bells bells_;
  std::unique_ptr<const attachment> attached_; ///< where the kernel copies between the ranks
  driver driver_;
};

} // namespace detail
} // namespace tutti::mpi
