// How far each worker is, and who waits for an answer: what a bound on staleness is about.
#pragma once

#include <tutti/sync/sync_policy.hpp>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <vector>

namespace tutti::detail {

/// As one server sees it. A worker's clock is its number of steps; ranks that do not work, and workers that
/// make no more steps, are done.
class worker_clocks {
public:
  worker_clocks() = default;
  /// Of `size` ranks, those of which works(rank) is true have a clock.
  template <class Works>
  worker_clocks(int size, Works&& works)
      : clocks_(std::size_t(size), done), waiting_(std::size_t(size), false) {
    for (int r = 0; r < size; ++r)
      if (works(r)) clocks_[std::size_t(r)] = 0, ++workers_;
  }

  /// How many there were in the beginning.
  int workers() const noexcept { return workers_; }

  /// The worker has made a step, and waits for its answer.
  void steps(int worker, std::int64_t clock) {
    clocks_[std::size_t(worker)] = clock;
    waiting_[std::size_t(worker)] = true;
  }
  void ends(int worker) {
    clocks_[std::size_t(worker)] = done;
    waiting_[std::size_t(worker)] = false;
  }
  bool waits(int worker) const { return waiting_[std::size_t(worker)]; }
  /// Whether the worker waits and may go on: nobody is more than `lead` steps behind it. Then it no longer
  /// waits.
  bool lets_go(int worker, std::int64_t lead) {
    char& waiting = waiting_[std::size_t(worker)];
    if (!waiting || (lead != unbounded && slowest() < clocks_[std::size_t(worker)] - lead)) return false;
    waiting = false;
    return true;
  }

  bool all_done() const { return slowest() == done; }
  int slowest_worker() const {
    return int(std::min_element(clocks_.begin(), clocks_.end()) - clocks_.begin());
  }

private:
  static constexpr std::int64_t done = (std::numeric_limits<std::int64_t>::max)();
  std::int64_t slowest() const { return *std::min_element(clocks_.begin(), clocks_.end()); }

  std::vector<std::int64_t> clocks_;
  std::vector<char> waiting_;
  int workers_ = 0;
};

} // namespace tutti::detail
