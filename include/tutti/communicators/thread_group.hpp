// What the threads of one communicator share: mailboxes, memory, who has left, and failures.
#pragma once

#include <tutti/communicators/direct_access.hpp>

#include <algorithm>
#include <atomic>
#include <condition_variable>
#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <span>
#include <thread>
#include <utility>
#include <vector>

namespace tutti::threads::detail {

/// One send, until its receiver has copied it. Lives in the sender's exchange handle, and stands in a list
/// of the receiver's mailbox while it is posted.
struct slot {
  enum state : int { posted, copying, done };
  int from = 0;
  int to = 0;
  channel on = 0;
  std::span<const std::byte> bytes;
  std::uint64_t says = 0;
  std::atomic<int> now{posted};
  std::uint64_t number = 0; ///< of all that were posted for this receiver
  slot* before = nullptr;
  slot* after = nullptr;
};

/// Messages that nobody has taken yet, the oldest first; found by their sender and channel, so that what
/// a receive costs does not depend on how many others are waiting.
class posted_messages {
public:
  void add(slot& s) noexcept {
    list& l = list_of(s.from, s.on);
    s.number = added_++;
    s.before = l.last;
    s.after = nullptr;
    (l.last ? l.last->after : l.first) = &s;
    l.last = &s;
  }
  void remove(slot& s) noexcept {
    list& l = list_of(s.from, s.on);
    (s.before ? s.before->after : l.first) = s.after;
    (s.after ? s.after->before : l.last) = s.before;
  }
  slot* oldest(int from, channel on) const noexcept {
    for (slot* s = list_of(from, on).first; s; s = s->after)
      if (s->from == from && s->on == on) return s;
    return nullptr;
  }
  /// From any of `ranks` senders.
  slot* oldest_of_all(int ranks, channel on) const noexcept {
    slot* found = nullptr;
    for (int from = 0; from < ranks; ++from)
      if (slot* s = oldest(from, on); s && (!found || s->number < found->number)) found = s;
    return found;
  }

private:
  struct list {
    slot* first = nullptr;
    slot* last = nullptr;
  };
  static constexpr std::size_t count = 64;
  static std::size_t index(int from, channel on) noexcept { return (on + 7 * std::size_t(from)) % count; }
  list& list_of(int from, channel on) noexcept { return lists_[index(from, on)]; }
  const list& list_of(int from, channel on) const noexcept { return lists_[index(from, on)]; }

  list lists_[count];
  std::uint64_t added_ = 0;
};

/// What has been posted for one rank, and its alarm clock.
struct mailbox {
  std::mutex guard;
  std::condition_variable bell;
  posted_messages posted;
  std::shared_ptr<const tutti::detail::call_history> calls; ///< of its rank, once that has begun
  std::atomic<std::uint64_t> events{0};
  std::atomic<bool> sleeping{false};

  void ring() {
    events.fetch_add(1);
    if (!sleeping.load()) return;
    { std::scoped_lock lock{guard}; }
    bell.notify_all();
  }
};

/// The threads of one run: who has left.
struct membership {
  explicit membership(int n) : left(std::size_t(n)) {}
  std::vector<std::atomic<bool>> left;
};

using tutti::detail::signals;

/// Memory that begins on a cache line; zero.
class line_memory {
public:
  explicit line_memory(std::size_t bytes) : all_{new std::byte[bytes + 64]{}} {
    const auto at = reinterpret_cast<std::size_t>(all_.get());
    begin_ = all_.get() + (64 - at % 64);
  }
  std::byte* begin() const noexcept { return begin_; }

private:
  std::unique_ptr<std::byte[]> all_;
  std::byte* begin_;
};
/// As much of it for every rank. (A template for the same reason as detail::exits.)
template <class Memory = line_memory>
struct symmetric_block {
  symmetric_block(std::size_t ranks, std::size_t each) : bytes{each} {
    for (std::size_t r = 0; r < ranks; ++r) parts.emplace_back(each);
  }
  const std::size_t bytes; ///< of each
  std::vector<Memory> parts;
};

/// What the ranks of one communicator share.
template <class Waiting> class group {
public:
  group(std::shared_ptr<membership> all, std::vector<int> members)
      : everyone{std::move(all)}, threads{std::move(members)},
        boxes(threads.size()), signal_memory{signals::bytes(size())} {
    signals::make(signal_memory.begin(), size());
  }

  int size() const noexcept { return int(threads.size()); }
  /// There are more threads in the run than cores.
  bool crowded() const noexcept { return crowded_; }

  bool revoked() const noexcept { return revoked_.load(); }
  /// Revoked by a member, so that the failure counts ranks as this group does.
  bool revoked_here() const noexcept { return revoked_.load() && !from_above_; }
  failure why() {
    std::scoped_lock lock{guard_};
    return why_;
  }
  /// Groups below fail first: whoever sees this one fail sees them fail, too.
  void revoke(const failure& why, bool from_above = false) {
    {
      std::scoped_lock lock{guard_};
      if (!revoked_.load()) {
        for (auto& child : children_)
          if (auto alive = child.lock()) alive->revoke(why, true);
        why_ = why;
        from_above_ = from_above;
        revoked_.store(true);
      }
    }
    ring_all();
  }
  void ring_all() {
    for (mailbox& box : boxes) box.ring();
    std::vector<std::shared_ptr<group>> below;
    {
      std::scoped_lock lock{guard_};
      for (auto& child : children_)
        if (auto alive = child.lock()) below.push_back(std::move(alive));
    }
    for (auto& child : below) child->ring_all();
  }
  /// Throws where `rank` and `peer` have called different things, as far as both still know.
  void compare_calls(int rank, int peer) {
    const auto of = [&](int r) {
      std::scoped_lock lock{boxes[std::size_t(r)].guard};
      return boxes[std::size_t(r)].calls;
    };
    const auto mine = of(rank), other = of(peer);
    if (!mine || !other) return;
    auto wrong = mine->difference(rank, *other, peer);
    if (!wrong.empty())
      throw error{{.code = error_code::mismatch, .rank = rank, .peer = peer, .detail = std::move(wrong)}};
  }

  bool has_left(int rank) const {
    return everyone->left[std::size_t(threads[std::size_t(rank)])].load();
  }

  /// The child that the given members make in split number `number`; the same object for all of
  /// them.
  std::shared_ptr<group> child(std::uint64_t number, const std::vector<int>& members) {
    std::scoped_lock lock{guard_};
    auto& born = births_[{number, members.front()}];
    if (!born.what) {
      std::vector<int> ids;
      for (int m : members) ids.push_back(threads[std::size_t(m)]);
      born.what = std::make_shared<group>(everyone, std::move(ids));
      remember(born.what);
      if (revoked_.load()) born.what->revoke(why_, true);
    }
    auto result = born.what;
    if (++born.taken == members.size()) births_.erase({number, members.front()});
    return result;
  }

  /// Memory of `bytes` for every member, number `number` of those that were asked for; the same for
  /// all.
  std::shared_ptr<const symmetric_block<>> memory(std::uint64_t number, std::size_t bytes) {
    std::scoped_lock lock{guard_};
    auto& [block, taken] = blocks_[number];
    if (!block) block = std::make_shared<const symmetric_block<>>(threads.size(), bytes);
    auto result = block;
    if (++taken == threads.size()) blocks_.erase(number);
    return result;
  }

  const std::shared_ptr<membership> everyone;
  const std::vector<int> threads; ///< rank -> thread of the run
  std::vector<mailbox> boxes;
  const line_memory signal_memory;

private:
  /// Those that have ended are forgotten whenever there are twice as many as were left the last time.
  void remember(const std::shared_ptr<group>& child) {
    if (children_.size() >= 2 * children_left_) {
      std::erase_if(children_, [](const std::weak_ptr<group>& one) { return one.expired(); });
      children_left_ = (std::max)(children_.size(), std::size_t{8});
    }
    children_.push_back(child);
  }

  struct birth {
    std::shared_ptr<group> what;
    std::size_t taken = 0;
  };
  const bool crowded_ = everyone->left.size() > std::thread::hardware_concurrency();
  std::mutex guard_;
  std::atomic<bool> revoked_{false};
  bool from_above_ = false;
  failure why_;
  std::vector<std::weak_ptr<group>> children_;
  std::size_t children_left_ = 8;
  std::map<std::pair<std::uint64_t, int>, birth> births_;
  std::map<std::uint64_t, std::pair<std::shared_ptr<const symmetric_block<>>, std::size_t>> blocks_;
};

/// One rank's view of a block.
template <class Block = symmetric_block<>>
struct part_of_block final : tutti::detail::symmetric_memory {
  explicit part_of_block(std::shared_ptr<const Block> all, std::size_t rank)
      : block{std::move(all)} {
    for (const auto& m : block->parts) this->places.push_back(m.begin());
    this->own = this->places[rank];
  }
  std::shared_ptr<const Block> block;
};

} // namespace tutti::threads::detail
