// threads: the ranks are threads of one process. Needs nothing installed; the embedded default.
#pragma once

#include <tutti/communicators/rendezvous.hpp>
#include <tutti/communicators/thread_exchange.hpp>
#include <tutti/core/exact_arithmetic.hpp>

#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <type_traits>
#include <utility>
#include <vector>

namespace tutti::threads {

/// How a rank waits when there is a core for every rank: it looks `spins` times before it sleeps. With
/// more ranks than cores it sleeps at once.
struct spin_then_sleep {
  static constexpr int spins = 4000;
};

/// A rank's handle on its group of threads. Used by the thread that it was given to.
/// Messages are copied once, from the sender's memory to the receiver's.
template <class Waiting>
class basic_communicator {
public:
  using part = communicator_part;
  using handle = detail::handle<Waiting>;
  static constexpr bool idle_blocks = true; ///< idle() sleeps, so every wake-up looks at the clock

  static constexpr bool one_address_space = true;

  basic_communicator(std::shared_ptr<detail::group<Waiting>> all, int rank)
      : group_{std::move(all)}, rank_{rank},
        signals_{group_->signal_memory.begin(), rank, group_->size()} {}

  int rank() const noexcept { return rank_; }
  int size() const noexcept { return int(group_->threads.size()); }

  handle exchange(host_execution, channel on, const exchange_round& round) {
    throw_if_revoked();
    return {group_, rank_, on, round};
  }

  std::uint64_t progress() noexcept { return box().events.load(); }

  /// Spins for a moment when there is a core for every rank, then sleeps.
  void idle(std::uint64_t seen, deadline until) {
    detail::mailbox& mine = box();
    if (!group_->crowded())
      for (int k = 0; k < Waiting::spins; ++k)
        if (mine.events.load() > seen) return;
    std::unique_lock lock{mine.guard};
    mine.sleeping.store(true);
    mine.bell.wait_until(lock, until, [&] { return mine.events.load() > seen; });
    mine.sleeping.store(false);
  }

  void revoke(failure why) { group_->revoke(why); }
  operations& in_flight() noexcept { return operations_; }

  tutti::detail::signals* shared() noexcept {
    return size() <= tutti::detail::most_shared_ranks ? &signals_ : nullptr;
  }
  /// How often a blocking call looks for its peers before it waits in earnest.
  int looks() const noexcept {
    return group_->crowded() ? 1 : Waiting::spins;
  }
  std::size_t last_cache_bytes() const noexcept { return cache_bytes_; }
  void announced() noexcept {
    for (detail::mailbox& b : group_->boxes)
      if (&b != &box()) b.ring();
  }
  void require_usable() const { throw_if_revoked(); }
  /// Throws when the group was revoked, or `peer` has left without announcing what is waited for.
  void watch(int peer) const {
    if (group_->revoked())
      throw error{tutti::detail::heard(group_->why(), rank_, group_->revoked_here() ? peer : -1)};
    if (peer >= 0 && group_->has_left(peer) && !signals_.reached_by(peer, signals_.now())) {
      throw_if_revoked(); // it left because of a failure: that failure is the cause
      throw error{{.code = error_code::peer_lost,
                   .rank = rank_,
                   .peer = peer,
                   .detail = "rank " + std::to_string(peer) + " has left"}};
    }
  }

  bool reaches(const tutti::detail::symmetric_memory& memory) const noexcept {
    return tutti::detail::same_owner(memory.owner, group_);
  }

  /// Collective. n elements on every rank, that all ranks reach; zero.
  template <class T>
  symmetric_buffer<T> allocate(std::size_t n) {
    auto block = group_->memory(++blocks_, n * sizeof(T));
    if (block->bytes != n * sizeof(T))
      throw error{{.code = error_code::mismatch,
                   .call = "allocate",
                   .rank = rank_,
                   .detail = "another rank asked for " + std::to_string(block->bytes) +
                             " bytes, this one for " + std::to_string(n * sizeof(T)) +
                             " - give the same length on every rank"}};
    auto mine = std::make_shared<detail::part_of_block<>>(std::move(block), std::size_t(rank_));
    mine->owner = group_;
    mine->number = blocks_;
    return {std::move(mine), n};
  }

  std::optional<arrival> probe(channel on) {
    throw_if_revoked();
    std::scoped_lock lock{box().guard};
    for (const detail::slot* s : box().posted)
      if (s->on == on) return arrival{s->from, s->bytes.size()};
    return std::nullopt;
  }

  /// Collective. The ranks of one color form a communicator, ordered by (key, rank).
  basic_communicator split(int color, int key, const options& how = {}) {
    const auto mine = tutti::detail::split_members(*this, color, key, how.until());
    return {group_->child(splits_++, mine.members), mine.rank};
  }

private:
  detail::mailbox& box() noexcept { return group_->boxes[std::size_t(rank_)]; }
  void throw_if_revoked() const {
    if (!group_->revoked()) return;
    failure why = group_->why();
    why.rank = rank_;
    throw error{std::move(why)};
  }

  std::shared_ptr<detail::group<Waiting>> group_;
  int rank_;
  std::uint64_t splits_ = 0, blocks_ = 0;
  std::size_t cache_bytes_ = tutti::detail::last_cache_bytes();
  tutti::detail::signals signals_;
  operations operations_;
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
  const auto body = [&](int rank) {
    try {
      basic_communicator<Waiting> comm{world, rank};
      program(context, comm);
    } catch (const std::exception& e) {
      leave(rank, e.what());
    } catch (...) {
      leave(rank, "an exception of unknown type");
    }
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
