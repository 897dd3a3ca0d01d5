// silence: for how long nothing was heard of each rank.
#pragma once

#include <tutti/core/options.hpp>

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <vector>

namespace tutti::detail {

/// Counted while somebody looks: of the time since the last look at most a part, so that who was not looking does not
/// blame others for that.
class silence {
public:
  silence(int ranks, std::chrono::milliseconds patience)
      : patience_{(std::min)(patience, a_year)}, of_(std::size_t(ranks)) {}

  /// Nobody has been silent yet.
  void begin(deadline now) {
    looked_ = now;
    std::fill(of_.begin(), of_.end(), clock::duration{});
  }
  void heard(int rank) { of_[std::size_t(rank)] = {}; }
  /// A look at those of whom expects(rank) is true.
  template <class Expects>
  void look(deadline now, Expects&& expects) {
    const clock::duration since = (std::min)(now - looked_, part());
    looked_ = now;
    expects_ = false;
    for (std::size_t r = 0; r < of_.size(); ++r) {
      if (!expects(int(r))) continue;
      of_[r] += since;
      expects_ = true;
    }
  }
  bool is_too_long(int rank) const {
    const clock::duration silent = of_[std::size_t(rank)];
    return silent > clock::duration{} && silent >= patience_;
  }
  /// When to look again.
  deadline alarm() const {
    return expects_ ? looked_ + part() : (deadline::max)();
  }

private:
  static constexpr std::chrono::milliseconds a_year = std::chrono::hours{24 * 366};
  /// Not so short that it is none.
  clock::duration part() const { return clock::duration{patience_} / 8 + clock::duration{1}; }

  std::chrono::milliseconds patience_;
  deadline looked_{};
  bool expects_ = false;
  std::vector<clock::duration> of_;
};

} // namespace tutti::detail
