// A thread that pushes the operations of one communicator along while its rank computes.
#pragma once

#include <tutti/communicators/operation.hpp>
#include <tutti/core/process.hpp>
#include <tutti/mpi/notices.hpp>

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <memory>
#include <mutex>
#include <thread>
#include <utility>

namespace tutti::mpi::detail {

/// What is in flight on a communicator, and the thread that advances it, if there is one.
class driver {
public:
  driver() = default;
  driver(const driver&) = delete;
  driver& operator=(const driver&) = delete;
  ~driver() {
    if (!thread_.joinable()) return;
    if (!process_.is_this()) { // a child has no such thread
      (void)new std::thread{std::move(thread_)};
      return;
    }
    {
      std::scoped_lock lock{sharing_->guard};
      over_ = true;
    }
    sharing_->begun.notify_all();
    thread_.join();
  }

  operations& all() noexcept { return all_; }
  const operations& all() const noexcept { return all_; }

  /// From now on; of the communicator with this board, which outlives the thread. `has_a_core` says that
  /// the thread takes no core from a rank.
  void run_thread(std::shared_ptr<progress_sharing> sharing, const notice_board& board,
                  bool has_a_core) {
    sharing_ = std::move(sharing);
    all_.share(sharing_.get());
    thread_ = std::thread{[this, &board, has_a_core] { run(board, has_a_core); }};
  }

private:
  /// Where ranks need all cores, so long between two looks for each exchange in flight: at 1 Gbit/s the
  /// system's buffers hold what comes in meanwhile, and while one exchange waits for a look the link carries
  /// the others. Behind a computation of the same length an all_reduce of 4 MiB, in segments of 128 KiB,
  /// hid .80 in one operation with 300 us, and .50 and .33 with 600 and 1,000; in four, .81 with 300 us,
  /// .84 with 600 and .86 with 1,000.
  static constexpr std::chrono::microseconds rest{300};
  static constexpr std::size_t most_rests = 4;

  void run(const notice_board& board, bool has_a_core) {
    std::unique_lock lock{sharing_->guard};
    for (;;) {
      sharing_->begun.wait(lock, [&] { return over_ || all_.pending(); });
      if (over_) return;
      while (!all_.step()) {}
      const auto rests = std::clamp(board.count(), std::size_t{1}, most_rests);
      lock.unlock();
      if (has_a_core)
        std::this_thread::yield();
      else
        std::this_thread::sleep_for(rest * int(rests));
      lock.lock();
    }
  }

  operations all_;
  std::shared_ptr<progress_sharing> sharing_;
  bool over_ = false;
  tutti::detail::process process_;
  std::thread thread_;
};

} // namespace tutti::mpi::detail
