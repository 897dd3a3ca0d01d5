// One round of messages in flight between ranks that are threads.
#pragma once

#include <tutti/communicators/thread_group.hpp>

#include <cstddef>
#include <cstring>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <utility>
#include <vector>

namespace tutti::threads::detail {

/// The sends and receives of one round.
template <class Waiting>
class handle {
public:
  handle(std::shared_ptr<group<Waiting>> all, int rank, channel on, const exchange_round& round)
      : group_{std::move(all)}, rank_{rank}, on_{on}, says_{round.says},
        receives_(round.receives.begin(), round.receives.end()), sends_(round.sends.size()) {
    for (std::size_t k = 0; k < sends_.size(); ++k) {
      sends_[k].from = rank_;
      sends_[k].to = round.sends[k].peer;
      sends_[k].on = on;
      sends_[k].bytes = round.sends[k].bytes;
      sends_[k].says = says_;
    }
    for (slot& s : sends_) post(s);
  }
  handle(handle&& other) noexcept
      : group_{std::move(other.group_)}, rank_{other.rank_}, on_{other.on_}, says_{other.says_},
        receives_{std::exchange(other.receives_, {})}, sends_{std::exchange(other.sends_, {})} {}
  handle& operator=(handle&& other) noexcept {
    withdraw();
    group_ = std::move(other.group_);
    rank_ = other.rank_;
    on_ = other.on_;
    says_ = other.says_;
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

  bool take_back() {
    {
      mailbox& mine = box(rank_);
      std::scoped_lock lock{mine.guard};
      for (const incoming& m : receives_)
        if (mine.posted.oldest(m.peer, on_)) return false;
    }
    receives_.clear();
    return true;
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
      box(s.to).posted.add(s);
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
    slot* const found = mine.posted.oldest(peer, on_);
    if (!found) return nullptr;
    mine.posted.remove(*found);
    found->now.store(slot::copying);
    return found;
  }
  void copy(slot& s, const incoming& to) const {
    const std::size_t sent = s.bytes.size();
    const int from = s.from;
    const bool differs = sent != to.bytes.size() || s.says != says_;
    if (!differs && sent > 0) std::memcpy(to.bytes.data(), s.bytes.data(), sent);
    s.now.store(slot::done); // the sender may go on: s is not touched again
    box(from).ring();
    if (differs) [[unlikely]]
      mismatch(from, sent, to.bytes.size());
  }
  [[noreturn]] void mismatch(int from, std::size_t sent, std::size_t expected) const {
    group_->compare_calls(rank_, from);
    throw error{tutti::detail::wrong_message(rank_, expected, from, sent)};
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
    group_->compare_calls(rank_, peer);
    throw error{tutti::detail::peer_left(rank_, peer)};
  }

  /// Nobody reads this rank's memory after the handle is gone. The last message goes first: a receiver
  /// that still looks meets the next one of those that were sent, or none.
  void withdraw() noexcept {
    for (std::size_t k = sends_.size(); k-- > 0;) {
      slot& s = sends_[k];
      if (s.now.load() == slot::posted) {
        std::scoped_lock lock{box(s.to).guard};
        if (s.now.load() == slot::posted) box(s.to).posted.remove(s);
      }
      while (s.now.load() == slot::copying) std::this_thread::yield();
    }
  }

  std::shared_ptr<group<Waiting>> group_;
  int rank_;
  channel on_;
  std::uint64_t says_;
  std::vector<incoming> receives_;
  std::vector<slot> sends_; ///< never grows: mailboxes point into it
};

} // namespace tutti::threads::detail
