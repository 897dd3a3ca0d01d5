// adversary: a communicator that does what communicators/communicator.hpp promises and not a bit
// more.
//
// Its ranks live in one thread and take turns. Nothing is buffered: a message moves only when both
// ends have posted it. It moves at a random moment between then and the last allowed one, which is
// when the first of its two ends is told that its exchange is complete; and telling is put off at
// random. Memory that an exchange will receive into is filled with NaN when it is posted. What the
// concept forbids the caller is watched: bytes to be sent, or received and not yet reported, that
// change; exchanges that are given up; blocking.
#pragma once

#include <tutti/communicators/communicator.hpp>
#include <tutti/core/random.hpp>

#include <algorithm>
#include <cstring>
#include <memory>
#include <string>
#include <utility>
#include <vector>

namespace adversary {

/// What the ranks share. One object a run.
class network {
public:
  network(int size, std::uint64_t seed)
      : random_{seed, 1}, refusals_{random_.below(8)}, size_{size},
        sends_(std::size_t(size * size)), receives_(sends_.size()) {}

  int size() const { return size_; }
  /// The first thing that a caller did and must not do; empty when there was none.
  const std::string& violation() const { return violation_; }
  void violate(const std::string& what) {
    if (violation_.empty()) violation_ = what;
  }

  bool revoked() const { return bool(why_); }
  void revoke(const tutti::failure& why) {
    if (!why_) why_ = std::make_unique<tutti::failure>(why);
  }
  void throw_if_revoked(int rank) const {
    if (!why_) return;
    tutti::failure why = *why_;
    why.rank = rank;
    throw tutti::error{std::move(why)};
  }

  using number = std::size_t;

  number post_send(int from, int to, tutti::channel on, std::span<const std::byte> bytes) {
    const number m = meet(receives_[link(from, to)], sends_[link(from, to)], on);
    message& it = messages_[m];
    it.source = bytes;
    it.sum = sum_of(bytes);
    it.sent = true;
    return m;
  }
  number post_receive(int from, int to, tutti::channel on, std::span<std::byte> bytes) {
    std::memset(bytes.data(), 0xff, bytes.size());
    const number m = meet(sends_[link(from, to)], receives_[link(from, to)], on);
    messages_[m].target = bytes;
    messages_[m].received = true;
    return m;
  }

  bool met(number m) const { return messages_[m].sent && messages_[m].received; }
  /// Puts off telling that an exchange is complete.
  bool refuses() { return random_.below(8) < refusals_; }
  bool coin() { return random_.below(2) == 0; }

  void copy(number m) {
    message& it = messages_[m];
    if (it.copied) return;
    if (it.source.size() != it.target.size())
      return violate("a message of " + std::to_string(it.source.size()) +
                     " bytes meets a receive of " + std::to_string(it.target.size()));
    check_source(m);
    if (!it.source.empty()) std::memcpy(it.target.data(), it.source.data(), it.source.size());
    it.copied = true;
  }
  void check_source(number m) {
    if (sum_of(messages_[m].source) != messages_[m].sum)
      violate("bytes changed after they were posted to be sent");
  }
  void check_target(number m) {
    if (sum_of(messages_[m].target) != messages_[m].sum)
      violate("bytes that were received changed before the exchange was complete");
  }

  /// An exchange is given up: its memory is not touched again.
  void withdraw(number m) {
    for (auto* posts : {&sends_, &receives_})
      for (auto& queue : *posts)
        std::erase_if(queue, [&](const post& p) { return p.message == m; });
    messages_[m].sent = messages_[m].received = false;
  }

private:
  struct message {
    std::span<const std::byte> source;
    std::span<std::byte> target;
    std::uint64_t sum = 0;
    bool sent = false, received = false, copied = false;
  };
  struct post {
    tutti::channel on;
    number message;
  };

  std::size_t link(int from, int to) const { return std::size_t(from * size_ + to); }

  /// The oldest post of the other end on this channel, or a new one in the line of this end.
  number meet(std::vector<post>& theirs, std::vector<post>& mine, tutti::channel on) {
    for (std::size_t k = 0; k < theirs.size(); ++k)
      if (theirs[k].on == on) {
        const number m = theirs[k].message;
        theirs.erase(theirs.begin() + std::ptrdiff_t(k));
        return m;
      }
    messages_.emplace_back();
    mine.push_back({on, messages_.size() - 1});
    return messages_.size() - 1;
  }

  static std::uint64_t sum_of(std::span<const std::byte> bytes) {
    std::uint64_t sum = bytes.size();
    for (const std::byte b : bytes) sum = sum * 0x9e3779b97f4a7c15u + std::uint64_t(b) + 1;
    return sum;
  }

  tutti::random_stream random_;
  std::uint32_t refusals_; ///< of 8 tests
  int size_;
  std::vector<message> messages_;
  std::vector<std::vector<post>> sends_, receives_; ///< by link, not yet met
  std::unique_ptr<tutti::failure> why_;
  std::string violation_;
};

/// The sends and receives of one round.
class handle {
public:
  handle(network& all, int rank, tutti::channel on, const tutti::exchange_round& round)
      : all_{&all}, rank_{rank} {
    for (const auto& m : round.sends)
      sends_.push_back({m.peer, all.post_send(rank, m.peer, on, m.bytes)});
    for (const auto& m : round.receives)
      receives_.push_back({m.peer, all.post_receive(m.peer, rank, on, m.bytes)});
  }
  handle(handle&& other) noexcept
      : all_{std::exchange(other.all_, nullptr)}, rank_{other.rank_},
        sends_{std::move(other.sends_)}, receives_{std::move(other.receives_)} {}
  handle& operator=(handle&& other) noexcept {
    std::swap(all_, other.all_);
    std::swap(rank_, other.rank_);
    std::swap(sends_, other.sends_);
    std::swap(receives_, other.receives_);
    return *this;
  }
  ~handle() {
    if (!all_) return;
    if (!all_->revoked()) all_->violate("an exchange was given up before it was complete");
    for (const auto* ends : {&sends_, &receives_})
      for (const end& e : *ends) all_->withdraw(e.message);
  }

  bool test() {
    if (!all_) return true;
    all_->throw_if_revoked(rank_);
    bool all_met = true;
    for (const auto* ends : {&sends_, &receives_})
      for (const end& e : *ends) {
        all_met = all_met && all_->met(e.message);
        if (all_->met(e.message) && all_->coin()) all_->copy(e.message);
      }
    if (!all_met || all_->refuses()) return false;
    for (const end& e : sends_) all_->copy(e.message), all_->check_source(e.message);
    for (const end& e : receives_) all_->copy(e.message), all_->check_target(e.message);
    all_ = nullptr;
    return true;
  }
  int waiting_for() const {
    for (const auto* ends : {&receives_, &sends_})
      for (const end& e : *ends)
        if (all_ && !all_->met(e.message)) return e.peer;
    return -1;
  }

private:
  struct end {
    int peer;
    network::number message;
  };
  network* all_; ///< null once complete
  int rank_;
  std::vector<end> sends_, receives_;
};

class communicator {
public:
  using part = tutti::communicator_part;

  communicator(network& all, int rank) : all_{&all}, rank_{rank} {}

  int rank() const { return rank_; }
  int size() const { return all_->size(); }
  handle exchange(tutti::host_execution, tutti::channel on, const tutti::exchange_round& round) {
    all_->throw_if_revoked(rank_);
    if (exchanges_until_failure_-- == 0)
      throw tutti::error{
          {.code = tutti::error_code::transport, .rank = rank_, .detail = "as planned"}};
    return {*all_, rank_, on, round};
  }
  std::uint64_t progress() { return 0; }
  void idle(std::uint64_t, tutti::deadline) {
    all_->violate("a call blocked that must not");
    all_->revoke({.code = tutti::error_code::unsupported, .detail = "blocked"});
  }
  void revoke(const tutti::failure& why) { all_->revoke(why); }
  tutti::operations& in_flight() { return operations_; }

  void fail_after(int exchanges) { exchanges_until_failure_ = exchanges; }

private:
  network* all_;
  int rank_;
  int exchanges_until_failure_ = -1;
  tutti::operations operations_;
};

static_assert(tutti::communicator<communicator>);

} // namespace adversary
