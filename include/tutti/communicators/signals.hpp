// Signals: how ranks that share memory tell each other how far they are, and small contributions.
//
// Every rank owns two lines, each of one cache line, and two slots, and a line that says whether it is at
// work in others' memory; one more line says whose memory is withdrawn. All of them lie in memory that
// every rank of the communicator reaches. What ranks do together is counted in epochs, the same on
// all ranks.
//
//   announce(call, bytes)  the next epoch: what was written before, to slot(), data() and anyone's
//                          memory, is seen by a rank that has seen the announcement
//   reached(epoch)         whether all other ranks have announced this epoch, or a later one
//
// An epoch's line and slot are those of its parity. A rank that announces epoch e has read all it
// wants of the lines and slots before e, so they may be written again for epoch e+2 when everyone
// is known to have announced e+1: free(). That is the whole protocol; a reduction of small
// contributions is one epoch, work in each other's memory is one epoch before it and one behind.
#pragma once

#include <tutti/communicators/cache_lines.hpp>

#include <atomic>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <new>
#include <utility>

namespace tutti::detail {

using epoch = std::uint64_t;

/// More ranks than this do not work in each other's memory.
inline constexpr int most_shared_ranks = 64;

/// What a rank says in one epoch. `call` and `bytes` are compared: all ranks are to do the same.
struct alignas(64) signal_line {
  static constexpr std::size_t room = 40;

  std::atomic<epoch> at{0};
  std::uint64_t call = 0;
  std::uint64_t bytes = 0;
  alignas(8) std::byte data[room] = {};
};
static_assert(sizeof(signal_line) == 64 && std::atomic<epoch>::is_always_lock_free);

/// A line that is written often is looked at when something fails only, and one that is looked at often is
/// written then only: on lines of their own neither costs a hand-over.
struct alignas(64) failure_line {
  std::atomic<std::uint64_t> word{0};
};
static_assert(most_shared_ranks <= 64);

/// One rank's view of the signals of all. The memory is zeroed before anyone's first use; it
/// outlives the views.
class signals {
public:
  /// What one slot holds. Longer contributions are read where they are, which takes an epoch more (two
  /// ranks: 2,048 bytes .40 us in slots and .50 in place, 8,192 bytes .65 and .48), or go through stages,
  /// which takes two more (8,192 bytes 2.7 us in slots and 2.1 through stages; both on a Xeon).
  static constexpr std::size_t slot_bytes = 2048;

  signals() = default;
  signals(std::byte* shared, int rank, int size)
      : lines_{reinterpret_cast<signal_line*>(shared)},
        at_work_{reinterpret_cast<failure_line*>(lines_ + 2 * std::size_t(size))},
        withdrawn_{at_work_ + size}, slots_{shared + lines_bytes(size)}, rank_{rank}, size_{size} {}

  static std::size_t bytes(int size) {
    return lines_bytes(size) + 2 * std::size_t(size) * slot_bytes;
  }
  /// Makes the lines, in memory that is aligned to them. By one rank, before any other's first use.
  static void make(std::byte* shared, int size) {
    for (int k = 0; k < 2 * size; ++k)
      ::new (shared + std::size_t(k) * sizeof(signal_line)) signal_line;
    for (int k = 2 * size; k <= 3 * size; ++k)
      ::new (shared + std::size_t(k) * sizeof(failure_line)) failure_line;
  }

  /// The last one that this rank has announced.
  epoch now() const noexcept { return now_; }

  /// What uses the signals does so in turn, in the order in which it was started.
  std::uint64_t take_turn() noexcept { return turns_++; }
  bool is_turn(std::uint64_t turn) const noexcept { return turn == turn_; }
  void end_turn() noexcept { ++turn_; }

  /// Numbers `count` windows of what is staged, so that no window is written over the one before
  /// it.
  std::uint64_t take_windows(std::uint64_t count) noexcept {
    return std::exchange(windows_, windows_ + count);
  }

  /// While it lives, this rank is at work in others' memory. A look at who has withdrawn follows it.
  class work {
  public:
    explicit work(signals& all) : flag_{all.at_work_[all.rank_].word} { flag_.store(1); }
    work(const work&) = delete;
    work& operator=(const work&) = delete;
    ~work() { flag_.store(0, std::memory_order_release); }

  private:
    std::atomic<std::uint64_t>& flag_;
  };
  /// Of this rank's memory. Whoever is at work there after that has begun before it.
  void withdraw() noexcept { withdrawn_->word.fetch_or(std::uint64_t{1} << rank_); }
  /// The first rank that has withdrawn its memory; -1 when none has.
  int withdrawn() const noexcept {
    const std::uint64_t all = withdrawn_->word.load();
    return all == 0 ? -1 : std::countr_zero(all);
  }
  bool is_at_work(int rank) const noexcept { return at_work_[rank].word.load() != 0; }

  /// Whether line and slot of the next epoch may be written.
  bool free() noexcept { return reached(now_); }

  /// For the next epoch, once free().
  std::byte* data() noexcept { return line(rank_, now_ + 1).data; }
  std::byte* slot() noexcept { return at(rank_, now_ + 1); }

  /// The last epoch was announced, but not compared with everyone's; once free(), it is due.
  void owe_comparison() noexcept { owes_comparison_ = true; }
  bool pays_comparison() noexcept { return std::exchange(owes_comparison_, false); }

  epoch announce(std::uint64_t call, std::uint64_t bytes) noexcept {
    signal_line& mine = line(rank_, ++now_);
    mine.call = call;
    mine.bytes = bytes;
    mine.at.store(now_, std::memory_order_release);
    return now_;
  }

  bool reached(epoch e) noexcept {
    if (all_reached_ >= e) return true;
    if (asked_ != e) missing_ = 0;
    asked_ = e;
    for (; missing_ < size_; ++missing_)
      if (missing_ != rank_ && !reached_by(missing_, e)) return false;
    all_reached_ = e;
    claim_line(reinterpret_cast<const std::byte*>(&line(rank_, now_ + 1))); // all have read it
    return true;
  }
  bool reached_by(int rank, epoch e) const noexcept {
    return line(rank, e).at.load(std::memory_order_acquire) >= e;
  }
  /// A rank that has not reached e; -1 when all have.
  int missing(epoch e) const noexcept {
    for (int r = 0; r < size_; ++r)
      if (r != rank_ && !reached_by(r, e)) return r;
    return -1;
  }

  /// What another rank announced in epoch e, once it has reached e, until this rank announces e+1.
  const signal_line& said(int rank, epoch e) const noexcept { return line(rank, e); }
  const std::byte* slot_of(int rank, epoch e) const noexcept { return at(rank, e); }

private:
  static std::size_t lines_bytes(int size) {
    return (3 * std::size_t(size) + 1) * sizeof(signal_line);
  }
  signal_line& line(int rank, epoch e) const noexcept {
    return lines_[2 * std::size_t(rank) + e % 2];
  }
  std::byte* at(int rank, epoch e) const noexcept {
    return slots_ + (2 * std::size_t(rank) + e % 2) * slot_bytes;
  }

  signal_line* lines_ = nullptr;
  failure_line* at_work_ = nullptr; ///< of each rank
  failure_line* withdrawn_ = nullptr; ///< a bit of each rank
  std::byte* slots_ = nullptr;
  int rank_ = 0, size_ = 0;
  epoch now_ = 0, all_reached_ = 0;
  std::uint64_t turns_ = 0, turn_ = 0, windows_ = 0;
  epoch asked_ = 0;
  bool owes_comparison_ = false;
  int missing_ = 0; ///< those below have reached the epoch that was asked for
};

} // namespace tutti::detail
