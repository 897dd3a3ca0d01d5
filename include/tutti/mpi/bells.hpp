// Bells: how ranks that share memory and outnumber their cores wake each other, where polling would
// keep the core from the one that is waited for.
#pragma once

#include <tutti/core/options.hpp>

#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <new>

#if defined(__linux__)
#include <linux/futex.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>
#else
#include <thread>
#endif

namespace tutti::mpi::detail {

/// One rank's bell: how often it was rung, and whether its rank sleeps.
struct alignas(64) bell {
  std::atomic<std::uint32_t> rung{0};
  std::atomic<std::uint32_t> sleeping{0};
};

/// One rank's view of the bells of all, in memory that all of them reach.
class bells {
public:
  bells() = default;
  bells(std::byte* shared, int rank, int size)
      : all_{reinterpret_cast<bell*>(shared)}, rank_{rank}, size_{size} {}

  static std::size_t bytes(int size) { return std::size_t(size) * sizeof(bell); }
  /// By one rank, before any other's first use.
  static void make(std::byte* shared, int size) {
    for (int r = 0; r < size; ++r) ::new (shared + std::size_t(r) * sizeof(bell)) bell;
  }

  /// Everyone else's, after something has changed that they may wait for.
  void ring() noexcept {
    for (int r = 0; r < size_; ++r) {
      if (r == rank_) continue;
      all_[r].rung.fetch_add(1);
      if (all_[r].sleeping.load() != 0) wake(all_[r]);
    }
  }
  std::uint32_t rung() const noexcept { return all_[rank_].rung.load(); }

  /// Until the bell has been rung more often than `seen`, or for a moment at most: failures are
  /// told by messages, which ring no bell.
  void sleep(std::uint32_t seen, deadline until) noexcept {
    const auto now = clock::now();
    if (now >= until) return;
    bell& mine = all_[rank_];
    mine.sleeping.store(1);
    if (mine.rung.load() == seen)
      wait(mine, seen, (std::min)(until - now, clock::duration{moment}));
    mine.sleeping.store(0);
  }

private:
  static constexpr std::chrono::milliseconds moment{1};

#if defined(__linux__)
  static void wait(bell& b, std::uint32_t seen, clock::duration most) noexcept {
    const auto ns = std::chrono::duration_cast<std::chrono::nanoseconds>(most).count();
    const timespec limit{0, long(ns)};
    syscall(SYS_futex, &b.rung, FUTEX_WAIT, seen, &limit, nullptr, 0);
  }
  static void wake(bell& b) noexcept {
    syscall(SYS_futex, &b.rung, FUTEX_WAKE, 1, nullptr, nullptr, 0);
  }
#else
  static void wait(bell&, std::uint32_t, clock::duration) noexcept {
    std::this_thread::sleep_for(std::chrono::microseconds{50});
  }
  static void wake(bell&) noexcept {}
#endif

  bell* all_ = nullptr;
  int rank_ = 0, size_ = 0;
};

} // namespace tutti::mpi::detail
