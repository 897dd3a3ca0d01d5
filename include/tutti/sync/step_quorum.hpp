// step_quorum: the closing rule of steps that begin and end for all workers, and do not wait for every one.
#pragma once

#include <tutti/sync/closing_rule.hpp>

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

namespace tutti::detail {

/// A step closes with the pushes of all workers that are left, or with those of `least` of them once `grace` has passed
/// since the first. What is pushed from the parameters of a step that has closed meanwhile is dropped. Each server
/// closes its own.
class step_quorum {
public:
  step_quorum(std::span<const std::int64_t> clocks, int least, std::chrono::milliseconds grace)
      : behind_(clocks.size()), least_{least}, grace_{grace} {
    for (const std::int64_t c : clocks) workers_ += c != no_worker;
  }

  double takes(int worker, std::int64_t /*clock*/, deadline now) {
    if (behind_[std::size_t(worker)] > 0) return 0;
    if (held_++ == 0) due_ = options{.timeout = grace_}.until(now);
    return 1;
  }
  bool closes(deadline now) {
    if (held_ < workers_ && (!is_enough() || now < due_)) return false;
    if (held_ == 0) return false;
    held_ = 0;
    for (std::int64_t& steps : behind_) ++steps;
    return true;
  }
  bool lets_go(int worker) {
    std::int64_t& steps = behind_[std::size_t(worker)];
    if (steps == 0) return false;
    steps = 0;
    return true;
  }
  void ends(int /*worker*/) { --workers_; }
  deadline until() const { return is_enough() && held_ < workers_ ? due_ : (deadline::max)(); }
  /// How many steps have closed since each worker was answered.
  std::span<std::int64_t> numbers() noexcept { return behind_; }

private:
  bool is_enough() const { return held_ > 0 && held_ >= (std::min)(least_, workers_); }

  std::vector<std::int64_t> behind_;
  int least_, workers_ = 0, held_ = 0;
  std::chrono::milliseconds grace_;
  deadline due_; ///< of the step that is open
};

} // namespace tutti::detail
