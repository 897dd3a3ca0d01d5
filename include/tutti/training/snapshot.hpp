// A snapshot: what a step is about to change, as it was, until the step cannot fail any more.
#pragma once

#include <tutti/training/memory.hpp>

#include <cstddef>
#include <span>
#include <vector>

namespace tutti::detail {

/// Its memory is kept from step to step.
template <class T>
class snapshot {
public:
  void keep(memory<T>& in, std::span<T> values) {
    if (used_ == kept_.size()) kept_.emplace_back();
    one& next = kept_[used_];
    if (next.in != &in || next.copy.size() != values.size()) next.copy = kept_values<T>{in, values.size()};
    next.in = &in;
    next.where = values;
    in.copy(values, next.copy.span());
    ++used_;
  }
  void restore() {
    for (std::size_t k = 0; k < used_; ++k) kept_[k].in->copy(kept_[k].copy.span(), kept_[k].where);
    used_ = 0;
  }
  void forget() noexcept { used_ = 0; }

private:
  struct one {
    memory<T>* in = nullptr;
    std::span<T> where;
    kept_values<T> copy;
  };
  std::vector<one> kept_;
  std::size_t used_ = 0;
};

} // namespace tutti::detail
