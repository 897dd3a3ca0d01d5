// The scale of the loss, and how it finds its value.
#pragma once

#include <tutti/core/archive.hpp>
#include <tutti/training/options.hpp>

#include <algorithm>
#include <cstdint>

namespace tutti::detail {

/// The same on all ranks, being a function of the verdicts.
class loss_scale {
public:
  explicit loss_scale(const loss_scaling& how) : how_{how}, now_{how.initial} {}

  double now() const noexcept { return now_; }
  /// Whether a step that overflows is expected to happen.
  bool adapts() const noexcept { return how_.growth != 1; }

  void good() {
    if (!adapts() || ++run_ < how_.every) return;
    run_ = 0;
    now_ = (std::min)(now_ * how_.growth, how_.greatest);
  }
  void bad() {
    run_ = 0;
    now_ = (std::max)(now_ / how_.backoff, how_.least);
  }
  void state(archive& to, held_by whom) {
    to.number("loss_scale", now_, whom);
    to.number("loss_scale.run", run_, whom);
  }

private:
  loss_scaling how_;
  double now_;
  std::int64_t run_ = 0; ///< of good steps
};

} // namespace tutti::detail
