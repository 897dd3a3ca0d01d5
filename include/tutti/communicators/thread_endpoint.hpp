// One rank's place in a group of threads: what operations refer to.
#pragma once

#include <tutti/communicators/rendezvous.hpp>
#include <tutti/communicators/thread_exchange.hpp>

#include <memory>
#include <mutex>
#include <new>
#include <optional>
#include <string>
#include <utility>

namespace tutti::threads {

/// How a rank waits when there is a core for every rank: it looks `spins` times before it sleeps. With
/// more ranks than cores it sleeps at once.
struct spin_then_sleep {
  static constexpr int spins = 4000;
};

namespace detail {

/// A communicator that does not move; basic_communicator is its handle.
template <class Waiting>
class endpoint {
public:
  using part = communicator_part;
  using handle = detail::handle<Waiting>;
  static constexpr bool idle_blocks = true; ///< idle() sleeps, so every wake-up looks at the clock

  static constexpr bool one_address_space = true;

  endpoint(std::shared_ptr<group<Waiting>> all, int rank)
      : group_{std::move(all)}, rank_{rank},
        signals_{group_->signal_memory.begin(), rank, group_->size()} {
    std::scoped_lock lock{box().guard};
    box().calls = operations_.history();
  }
  ~endpoint() { operations_.end(); }

  int rank() const noexcept { return rank_; }
  int size() const noexcept { return int(group_->threads.size()); }

  handle exchange(host_execution, channel on, const exchange_round& round) {
    throw_if_revoked();
    return {group_, rank_, on, round};
  }

  std::uint64_t progress() noexcept { return box().events.load(); }

  /// Spins for a moment when there is a core for every rank, then sleeps.
  void idle(std::uint64_t seen, deadline until) {
    mailbox& mine = box();
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
    for (mailbox& b : group_->boxes)
      if (&b != &box()) b.ring();
  }
  void require_usable() const { throw_if_revoked(); }
  /// Throws when the group was revoked, or `peer` has left without announcing what is waited for.
  void watch(int peer) const {
    if (group_->revoked())
      throw error{tutti::detail::heard(group_->why(), rank_, group_->revoked_here() ? peer : -1)};
    if (peer >= 0 && group_->has_left(peer) && !signals_.reached_by(peer, signals_.now())) {
      throw_if_revoked(); // it left because of a failure: that failure is the cause
      group_->compare_calls(rank_, peer);
      throw error{tutti::detail::peer_left(rank_, peer)};
    }
  }

  void compare_calls(int peer, bool /*differ*/) { group_->compare_calls(rank_, peer); }

  /// Whether `peer` has returned; what it sent before is there. Throws when that was because of a failure.
  bool has_left(int peer) const {
    if (!group_->has_left(peer)) return false;
    throw_if_revoked();
    return true;
  }

  bool reaches(const tutti::detail::symmetric_memory& memory) const noexcept {
    return tutti::detail::same_owner(memory.owner, group_);
  }

  template <class T>
  symmetric_buffer<T> allocate(std::size_t n, const options& = {}) {
    const std::size_t bytes = tutti::detail::bytes_of<T>(*this, n);
    auto block = block_of(bytes);
    if (block->bytes != bytes)
      throw error{{.code = error_code::mismatch,
                   .call = "allocate",
                   .rank = rank_,
                   .detail = "another rank asked for " + std::to_string(block->bytes) +
                             " bytes, this one for " + std::to_string(bytes) +
                             " - give the same length on every rank"}};
    auto mine = std::make_shared<part_of_block<>>(std::move(block), std::size_t(rank_));
    mine->owner = group_;
    mine->number = blocks_;
    return {std::move(mine), n};
  }

  std::optional<arrival> probe(channel on) {
    throw_if_revoked();
    std::scoped_lock lock{box().guard};
    const slot* const s = box().posted.oldest_of_all(size(), on);
    return s ? std::optional{arrival{s->from, s->bytes.size()}} : std::nullopt;
  }

  /// Collective. The group of this rank's color, and its rank there: by (key, rank).
  std::pair<std::shared_ptr<group<Waiting>>, int> split(int color, int key, const options& how) {
    const auto mine = tutti::detail::split_members(*this, color, key, how.until(tutti::now_of(*this)));
    return {group_->child(splits_++, mine.members), mine.rank};
  }

private:
  std::shared_ptr<const symmetric_block<>> block_of(std::size_t bytes) {
    try {
      return group_->memory(++blocks_, bytes);
    } catch (const std::bad_alloc&) {
      throw error{{.code = error_code::out_of_memory,
                   .call = "allocate",
                   .rank = rank_,
                   .detail = "there is no memory for " + std::to_string(bytes) + " bytes on each of " +
                             std::to_string(size()) + " ranks - allocate less"}};
    }
  }
  mailbox& box() noexcept { return group_->boxes[std::size_t(rank_)]; }
  void throw_if_revoked() const {
    if (group_->revoked()) throw error{tutti::detail::heard(group_->why(), rank_, -1)};
  }

  std::shared_ptr<group<Waiting>> group_;
  int rank_;
  std::uint64_t splits_ = 0, blocks_ = 0;
  std::size_t cache_bytes_ = tutti::detail::last_cache_bytes();
  tutti::detail::signals signals_;
  operations operations_;
};

} // namespace detail
} // namespace tutti::threads
