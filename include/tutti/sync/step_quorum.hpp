// step_quorum: the closing rule of steps that begin and end for all workers, and do not wait for every one.
#pragma once

#include <tutti/sync/closing_rule.hpp>

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <span>
#include <utility>
#include <vector>

namespace tutti::detail {

/// A step closes with the pushes of all workers that are left, or with those of `least` of them once `grace` has passed
/// since the first. What is pushed from the parameters of a step that has closed meanwhile is dropped; what a worker has
/// pushed that is lost then counts, and stands for nobody else's. Each server closes its own.
class step_quorum {
public:
  step_quorum(std::span<const std::int64_t> clocks, int least, std::chrono::milliseconds grace)
      : behind_(clocks.size()), is_in_(clocks.size()), least_{least}, grace_{grace} {
    for (const std::int64_t c : clocks) away_ += c != no_worker;
  }

  double takes(int worker, std::int64_t /*clock*/, deadline now) {
    if (behind_[std::size_t(worker)] > 0) return 0;
    if (held_++ == 0) due_ = options{.timeout = grace_}.until(now);
    --away_;
    is_in_[std::size_t(worker)] = 1;
    return 1;
  }
  bool closes(deadline now) {
    if (held_ == 0 || (away_ > 0 && (!is_enough() || now < due_))) return false;
    held_ = 0;
    for (std::int64_t& steps : behind_) ++steps;
    for (char& is_in : is_in_) away_ += std::exchange(is_in, char{});
    return true;
  }
  bool lets_go(int worker) {
    std::int64_t& steps = behind_[std::size_t(worker)];
    if (steps == 0) return false;
    steps = 0;
    return true;
  }
  void ends(int worker) {
    if (!std::exchange(is_in_[std::size_t(worker)], char{})) --away_;
  }
  bool needs_all() const { return least_ >= held_ + away_; }
  deadline until() const { return is_enough() && away_ > 0 ? due_ : (deadline::max)(); }
  /// How many steps have closed since each worker was answered.
  std::span<std::int64_t> numbers() noexcept { return behind_; }

private:
  bool is_enough() const { return held_ > 0 && held_ >= (std::min)(least_, held_ + away_); }

  std::vector<std::int64_t> behind_;
  std::vector<char> is_in_; ///< of the step that is open, and works still
  int least_, held_ = 0;
  int away_ = 0; ///< workers that have not come to it
  std::chrono::milliseconds grace_;
  deadline due_; ///< of the step that is open
};

} // namespace tutti::detail
