// A communicator with a clock of its own, which goes on only while its rank waits.
#pragma once

#include <tutti/communicators/decorator.hpp>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdint>
#include <thread>
#include <utility>

/// One rank's time. By the real clock it is long past: whatever is compared with that has expired at once.
struct own_time {
  tutti::deadline now = tutti::deadline{} + std::chrono::seconds{1};
  tutti::deadline last = now;  ///< it goes no further
  std::atomic<int> waits{0};   ///< how often the rank has waited
};

/// Whoever waits on it wakes at once, at the time that it would have slept until.
template <class Inner>
class on_own_clock : public tutti::transparent_decorator<Inner> {
public:
  on_own_clock(Inner&& inner, own_time& time)
      : tutti::transparent_decorator<Inner>{std::forward<Inner>(inner)}, time_{time} {}

  tutti::deadline now() const { return time_.now; }
  void idle(std::uint64_t, tutti::deadline until) {
    std::this_thread::yield();
    time_.now = (std::max)(time_.now, (std::min)(until, time_.last));
    ++time_.waits;
  }

private:
  own_time& time_;
};
template <class Inner>
on_own_clock(Inner&&, own_time&) -> on_own_clock<Inner>;
