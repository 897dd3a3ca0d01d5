// How far each worker is, and who waits for an answer: what a bound on staleness is about.
#pragma once

#include <tutti/core/error.hpp>
#include <tutti/sync/sync_policy.hpp>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <string>
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

  bool is_done(int worker) const { return clocks_[std::size_t(worker)] == done; }
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

/// What a worker's message begins with.
struct push_header {
  /// A push with its gradient; a step without one, because of a NaN; no more steps.
  enum : std::uint64_t { push = 1, leave_out = 2, done = 3 };
  std::uint64_t kind;
  std::uint64_t clock;
};

/// A worker that has left although it is not done; -1 when there is none, or nobody can tell.
template <class Comm>
int lost_worker(const Comm& comm, const worker_clocks& workers) {
  if constexpr (requires { comm.has_left(0); })
    for (int r = 0; r < comm.size(); ++r)
      if (!workers.is_done(r) && comm.has_left(r)) return r;
  return -1;
}
template <class Comm>
void require_all_there(const Comm& comm, const worker_clocks& workers) {
  if (const int lost = detail::lost_worker(comm, workers); lost >= 0)
    throw error{{.code = error_code::peer_lost,
                 .peer = lost,
                 .detail = "rank " + std::to_string(lost) + " has left without finalize() - call it on "
                           "every rank after its last step"}};
}

} // namespace tutti::detail
