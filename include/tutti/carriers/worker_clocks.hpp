// worker_clocks: how far each worker is, and who waits for an answer. What a bound on staleness is
// about.
//
// A closing rule: it takes what workers have done and says who may go on. It is pure state, and
// knows of no messages.
#pragma once

#include <tutti/sync/sync_policy.hpp>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <span>
#include <vector>

namespace tutti::detail {

/// As one server sees it. A worker's clock is its number of steps since training began; ranks that
/// do not work, and workers that make no more steps, are done.
class worker_clocks {
public:
  worker_clocks() = default;
  /// Of `size` ranks, those of which works(rank) is true have a clock. Nobody is answered who is
  /// more than `staleness` steps ahead of the slowest.
  template <class Works>
  worker_clocks(int size, Works&& works, int staleness) : staleness_{staleness} {
    workers_.resize(std::size_t(size));
    for (int r = 0; r < size; ++r) workers_[std::size_t(r)].works = works(r);
    restart();
  }

  /// Training begins again.
  void restart() {
    for (worker& w : workers_) w = {w.works, false, w.works ? 0 : done};
  }

  /// It goes on where nobody waits for an answer, and the worker of each rank has made so many steps.
  void restart(std::span<const std::uint64_t> clocks) {
    restart();
    for (std::size_t r = 0; r < workers_.size(); ++r)
      if (workers_[r].works) workers_[r].clock = std::int64_t(clocks[r]);
  }

  int size() const noexcept { return int(workers_.size()); }
  bool works(int rank) const { return workers_[std::size_t(rank)].works; }
  /// How many there were in the beginning.
  int workers() const noexcept {
    return int(
        std::count_if(workers_.begin(), workers_.end(), [](const worker& w) { return w.works; }));
  }

  /// The worker has made its next step, and waits for an answer. False when that is not step
  /// `clock`.
  bool takes(int rank, std::int64_t clock) {
    worker& w = workers_[std::size_t(rank)];
    if (w.clock == done || clock != w.clock + 1) return false;
    w.clock = clock;
    w.waits = true;
    return true;
  }
  /// The worker makes no more steps.
  void ends(int rank) {
    worker& w = workers_[std::size_t(rank)];
    w.clock = done;
    w.waits = false;
  }
  bool waits(int rank) const { return workers_[std::size_t(rank)].waits; }
  /// Whether the worker waits and may go on. Then it no longer waits.
  bool lets_go(int rank) {
    worker& w = workers_[std::size_t(rank)];
    if (!w.waits || (staleness_ != unbounded && slowest() < w.clock - staleness_)) return false;
    w.waits = false;
    return true;
  }

  bool is_done(int rank) const { return workers_[std::size_t(rank)].clock == done; }
  bool all_done() const { return slowest() == done; }
  int slowest_worker() const {
    return int(
        std::min_element(workers_.begin(), workers_.end(),
                         [](const worker& a, const worker& b) { return a.clock < b.clock; }) -
        workers_.begin());
  }

private:
  static constexpr std::int64_t done = (std::numeric_limits<std::int64_t>::max)();
  struct worker {
    bool works = false, waits = false;
    std::int64_t clock = done;
  };

  std::int64_t slowest() const { return workers_[std::size_t(slowest_worker())].clock; }

  std::vector<worker> workers_;
  int staleness_ = unbounded;
};

} // namespace tutti::detail
