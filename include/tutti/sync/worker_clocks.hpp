// worker_clocks: the closing rule of a bound on staleness. Every push is a step by itself.
#pragma once

#include <tutti/sync/closing_rule.hpp>
#include <tutti/sync/sync_policy.hpp>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

namespace tutti::detail {

/// Nobody is let go who is more than `staleness` steps ahead of the slowest worker. A mean has a share for each of
/// the workers that there were in the beginning.
class worker_clocks {
public:
  worker_clocks(std::span<const std::int64_t> clocks, int staleness)
      : clocks_(clocks.begin(), clocks.end()), staleness_{staleness} {
    for (const std::int64_t c : clocks) workers_ += c != no_worker;
  }

  double takes(int worker, std::int64_t clock, deadline /*now*/) {
    clocks_[std::size_t(worker)] = clock;
    holds_ = true;
    return 1;
  }
  bool closes(deadline /*now*/) noexcept {
    const bool one_came = holds_;
    holds_ = false;
    return one_came;
  }
  bool lets_go(int worker) const {
    return staleness_ == unbounded || slowest() >= clocks_[std::size_t(worker)] - staleness_;
  }
  void ends(int worker) { clocks_[std::size_t(worker)] = no_worker; }
  double shares() const noexcept { return workers_; }

private:
  std::int64_t slowest() const { return *std::min_element(clocks_.begin(), clocks_.end()); }

  std::vector<std::int64_t> clocks_;
  int staleness_, workers_ = 0;
  bool holds_ = false;
};

} // namespace tutti::detail
