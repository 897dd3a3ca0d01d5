// A snapshot: what a step is about to change, as it was, until the step cannot fail any more.
#pragma once

#include <algorithm>
#include <cstddef>
#include <span>
#include <utility>
#include <vector>

namespace tutti::detail {

/// Its memory is kept from step to step.
template <class T>
class snapshot {
public:
  void keep(std::span<T> values) {
    if (used_ == kept_.size()) kept_.emplace_back();
    auto& [where, copy] = kept_[used_++];
    where = values;
    copy.assign(values.begin(), values.end());
  }
  void restore() noexcept {
    for (std::size_t k = 0; k < used_; ++k)
      std::copy(kept_[k].second.begin(), kept_[k].second.end(), kept_[k].first.begin());
    used_ = 0;
  }
  void forget() noexcept { used_ = 0; }

private:
  std::vector<std::pair<std::span<T>, std::vector<T>>> kept_;
  std::size_t used_ = 0;
};

} // namespace tutti::detail
