// threads: the ranks are threads of one process. Needs nothing installed; the embedded default.
#pragma once

#include <tutti/communicators/rendezvous.hpp>
#include <tutti/communicators/thread_group.hpp>
#include <tutti/core/exact_arithmetic.hpp>

#include <cstring>
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

namespace detail {

/// The sends and receives of one round.
template <class Waiting>
class handle {
public:
  handle(std::shared_ptr<group<Waiting>> all, int rank, channel on, const exchange_round& round)
      : group_{std::move(all)}, rank_{rank}, on_{on},
        receives_(round.receives.begin(), round.receives.end()), sends_(round.sends.size()) {
    for (std::size_t k = 0; k < sends_.size(); ++k) {
      sends_[k].from = rank_;
      sends_[k].to = round.sends[k].peer;
      sends_[k].on = on;
      sends_[k].bytes = round.sends[k].bytes;
    }
    for (slot& s : sends_) post(s);
  }
  handle(handle&& other) noexcept
      : group_{std::move(other.group_)}, rank_{other.rank_}, on_{other.on_},
        receives_{std::exchange(other.receives_, {})}, sends_{std::exchange(other.sends_, {})} {}
  handle& operator=(handle&& other) noexcept {
    withdraw();
    group_ = std::move(other.group_);
    rank_ = other.rank_;
    on_ = other.on_;
    receives_ = std::exchange(other.receives_, {});
    sends_ = std::exchange(other.sends_, {});
    return *this;
  }
  ~handle() { withdraw(); }

  bool test() {
    receive();
    if (receives_.empty() && sent()) return true;
    throw_if_revoked(group_->revoked_here() ? waiting_for() : -1);
    look_for_the_lost();
    return false;
  }

  int waiting_for() const {
    if (!receives_.empty()) return receives_.front().peer;
    for (const slot& s : sends_)
      if (s.now.load() != slot::done) return s.to;
    return -1;
  }

private:
  mailbox& box(int rank) const { return group_->boxes[std::size_t(rank)]; }

  void post(slot& s) {
    {
      std::scoped_lock lock{box(s.to).guard};
      box(s.to).posted.push_back(&s);
    }
    box(s.to).ring();
  }

  /// Takes every message that is there for one of the open receives, oldest first.
  void receive() {
    for (std::size_t k = 0; k < receives_.size();) {
      if (slot* s = is_next(k) ? take(receives_[k].peer) : nullptr) {
        const incoming to = receives_[k];
        receives_.erase(receives_.begin() + std::ptrdiff_t(k));
        copy(*s, to);
      } else {
        ++k;
      }
    }
  }
  /// A message that has just come in is for the first receive from its sender, not for a later one.
  bool is_next(std::size_t k) const {
    for (std::size_t j = 0; j < k; ++j)
      if (receives_[j].peer == receives_[k].peer) return false;
    return true;
  }
  slot* take(int peer) const {
    mailbox& mine = box(rank_);
    std::scoped_lock lock{mine.guard};
    for (auto it = mine.posted.begin(); it != mine.posted.end(); ++it)
      if ((*it)->from == peer && (*it)->on == on_) {
        slot* found = *it;
        mine.posted.erase(it);
        found->now.store(slot::copying);
        return found;
      }
    return nullptr;
  }
  void copy(slot& s, const incoming& to) const {
    const std::size_t sent = s.bytes.size();
    const int from = s.from;
    if (sent == to.bytes.size() && sent > 0) std::memcpy(to.bytes.data(), s.bytes.data(), sent);
    s.now.store(slot::done); // the sender may go on: s is not touched again
    box(from).ring();
    if (sent != to.bytes.size())
      throw error{{.code = error_code::mismatch,
                   .rank = rank_,
                   .peer = from,
                   .detail = "rank " + std::to_string(from) + " sent " + std::to_string(sent) +
                             " bytes, rank " + std::to_string(rank_) + " expected " +
                             std::to_string(to.bytes.size()) +
                             " - give all ranks the same lengths and types"}};
  }

  bool sent() const {
    for (const slot& s : sends_)
      if (s.now.load() != slot::done) return false;
    return true;
  }

  void look_for_the_lost() {
    for (std::size_t k = 0; k < receives_.size(); ++k)
      if (group_->has_left(receives_[k].peer)) {
        const std::size_t open = receives_.size();
        receive(); // it may have sent before it left
        if (receives_.size() == open) lost(receives_[k].peer);
        return;
      }
    for (const slot& s : sends_)
      if (group_->has_left(s.to) && s.now.load() == slot::posted) lost(s.to); // in this order
  }
  void throw_if_revoked(int waiting_for = -1) const {
    if (group_->revoked())
      throw error{tutti::detail::heard(group_->why(), rank_, waiting_for)};
  }
  [[noreturn]] void lost(int peer) const {
    throw_if_revoked(); // it left because of a failure: that failure is the cause
    throw error{{.code = error_code::peer_lost,
                 .rank = rank_,
                 .peer = peer,
                 .detail = "rank " + std::to_string(peer) + " has left"}};
  }

  /// Nobody reads this rank's memory after the handle is gone. The last message goes first: a receiver
  /// that still looks meets the next one of those that were sent, or none.
  void withdraw() noexcept {
    for (std::size_t k = sends_.size(); k-- > 0;) {
      slot& s = sends_[k];
      if (s.now.load() == slot::posted) {
        std::scoped_lock lock{box(s.to).guard};
        std::erase(box(s.to).posted, &s);
      }
      while (s.now.load() == slot::copying) std::this_thread::yield();
    }
  }

  std::shared_ptr<group<Waiting>> group_;
  int rank_;
  channel on_;
  std::vector<incoming> receives_;
  std::vector<slot> sends_; ///< never grows: mailboxes point into it
};

} // namespace detail

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
