// roster: who works, how far each worker is, who waits for an answer, and who is lost.
#pragma once

#include <tutti/sync/closing_rule.hpp>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

namespace tutti::detail {

/// As one server sees it. A worker's clock is its number of steps since training began; ranks that do not work, and
/// workers that make no more steps, are done.
class roster {
public:
  roster() = default;
  /// Of `size` ranks, those of which works(rank) is true have a clock.
  template <class Works>
  roster(int size, Works&& works) : workers_(std::size_t(size)) {
    for (int r = 0; r < size; ++r) at(r).works = works(r);
    restart();
  }

  /// Training begins again.
  void restart() {
    for (worker& w : workers_) w = {w.works, w.lost, false, w.works && !w.lost ? 0 : no_worker};
  }
  /// It goes on where nobody waits for an answer, and the worker of each rank has made so many steps.
  void restart(std::span<const std::uint64_t> clocks) {
    restart();
    for (std::size_t r = 0; r < workers_.size(); ++r)
      if (workers_[r].clock != no_worker) workers_[r].clock = std::int64_t(clocks[r]);
  }

  int size() const noexcept { return int(workers_.size()); }
  bool works(int rank) const { return at(rank).works; }
  std::vector<std::int64_t> clocks() const {
    std::vector<std::int64_t> all;
    for (const worker& w : workers_) all.push_back(w.clock);
    return all;
  }

  /// The worker has made its next step, and waits for an answer. False when that is not step `clock`: each counts once.
  bool takes(int rank, std::int64_t clock) {
    worker& w = at(rank);
    if (w.clock == no_worker || clock != w.clock + 1) return false;
    w.clock = clock;
    w.waits = true;
    return true;
  }
  /// Whether step `clock` of the worker has been taken before: its message is there twice.
  bool has_taken(int rank, std::int64_t clock) const { return !is_done(rank) && clock >= 1 && clock <= at(rank).clock; }
  /// The worker has its answer.
  void goes_on(int rank) { at(rank).waits = false; }
  /// The worker makes no more steps.
  void ends(int rank) {
    at(rank).clock = no_worker;
    at(rank).waits = false;
  }
  /// Nor is it heard of again.
  void loses(int rank) {
    at(rank).lost = true;
    ends(rank);
  }
  bool waits(int rank) const { return at(rank).waits; }
  bool is_done(int rank) const { return at(rank).clock == no_worker; }
  bool is_lost(int rank) const { return at(rank).lost; }
  bool all_done() const { return is_done(slowest_worker()); }
  /// Whether nobody but this one makes any more steps.
  bool is_last(int rank) const {
    for (int r = 0; r < size(); ++r)
      if (r != rank && !is_done(r)) return false;
    return true;
  }
  int slowest_worker() const {
    return int(std::min_element(workers_.begin(), workers_.end(),
                                [](const worker& a, const worker& b) { return a.clock < b.clock; }) -
               workers_.begin());
  }

private:
  struct worker {
    bool works = false, lost = false, waits = false;
    std::int64_t clock = no_worker;
  };
  worker& at(int rank) { return workers_[std::size_t(rank)]; }
  const worker& at(int rank) const { return workers_[std::size_t(rank)]; }

  std::vector<worker> workers_;
};

} // namespace tutti::detail
