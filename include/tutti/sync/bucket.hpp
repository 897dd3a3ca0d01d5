// Buckets: the tensors of a model, flattened into pieces that travel together.
#pragma once

#include <tutti/core/tensor.hpp>

#include <algorithm>
#include <cstddef>
#include <memory>
#include <new>
#include <span>
#include <vector>

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

/// n values that all ranks reach, where the communicator has such memory. Collective.
template <class T, class Comm>
auto shared_values(Comm& comm, std::size_t n) {
  if constexpr (requires { comm.template allocate<T>(n); })
    return comm.template allocate<T>(n);
  else
    return aligned_values<T>{n};
}

/// Where one tensor stands in a bucket.
struct bucket_slot {
  std::size_t tensor;
  std::size_t offset;
  std::size_t length;
};

/// Tensors in reverse order, cut into buckets of about `bytes` bytes; a tensor is never split. The same
/// on all ranks, being a function of the lengths.
template <class Lengths>
std::vector<std::vector<bucket_slot>> bucket_slots(const Lengths& lengths,
                                                          std::size_t element_bytes,
                                                          std::size_t bytes) {
  std::vector<std::vector<bucket_slot>> buckets;
  std::size_t filled = 0;
  for (std::size_t k = lengths.size(); k-- > 0;) {
    if (buckets.empty() || (filled > 0 && (filled + lengths[k]) * element_bytes > bytes)) {
      buckets.emplace_back();
      filled = 0;
    }
    buckets.back().push_back({k, filled, lengths[k]});
    filled += lengths[k];
  }
  return buckets;
}

} // namespace tutti::detail
