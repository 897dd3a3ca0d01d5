// Values on a cache line.
#pragma once

#include <cstddef>
#include <memory>
#include <new>
#include <span>

namespace tutti::detail {

/// n values on a 64-byte boundary, so that vector loops do not depend on where they are.
template <class T>
class aligned_values {
public:
  aligned_values() = default;
  explicit aligned_values(std::size_t n)
      : n_{n}, data_{static_cast<T*>(::operator new(n * sizeof(T) + 1, std::align_val_t{64}))} {
    std::uninitialized_value_construct_n(data_.get(), n);
  }
  std::span<T> span() const noexcept { return {data_.get(), n_}; }
  T* begin() const noexcept { return data_.get(); }
  T* end() const noexcept { return data_.get() + n_; }
  std::size_t size() const noexcept { return n_; }

private:
  struct release {
    void operator()(T* p) const noexcept { ::operator delete(p, std::align_val_t{64}); }
  };
  std::size_t n_ = 0;
  std::unique_ptr<T, release> data_;
};

} // namespace tutti::detail
