// A communicator with a clock of its own, which goes on only while its rank waits.
#pragma once

#include <tutti/communicators/decorator.hpp>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdint>
#include <thread>
#include <utility>
#include <vector>

/// One rank's time. By the real clock it is long past: whatever is compared with that has expired at once.
struct own_time {
  tutti::deadline now = tutti::deadline{} + std::chrono::seconds{1};
  tutti::deadline last = now;  ///< it goes no further
  std::atomic<int> waits{0};   ///< how often the rank has waited
  /// While one of these ranks has something to do it stands: who is waited for is never one that is only slow.
  std::vector<const own_time*> beside = {};

  /// A rank has looked at everything, and found nothing.
  void waited() { ++waits; }
};

/// Whoever waits on it wakes at once, at the time that it would have slept until.
template <class Inner>
class on_own_clock : public tutti::transparent_decorator<Inner> {
public:
  on_own_clock(Inner&& inner, own_time& time)
      : tutti::transparent_decorator<Inner>{std::forward<Inner>(inner)}, time_{time} {}

  tutti::deadline now() const { return time_.now; }
  void idle(std::uint64_t seen, tutti::deadline until) {
    std::this_thread::yield();
    // Of two waits of another rank the second began after all that this one has sent.
    for (const own_time* other : time_.beside)
      for (const int from = other->waits; other->waits < from + 2; std::this_thread::yield()) {
        if (this->inner_.progress() != seen) return;
        time_.waited();
      }
    if (!time_.beside.empty() && this->inner_.progress() != seen) return;
    time_.now = (std::max)(time_.now, (std::min)(until, time_.last));
    time_.waited();
  }

private:
  own_time& time_;
};
template <class Inner>
on_own_clock(Inner&&, own_time&) -> on_own_clock<Inner>;
