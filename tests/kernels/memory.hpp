// Memory for kernels on the host: at any alignment, poisoned, between guard zones.
#pragma once

#include <tutti/core/element.hpp>
#include <tutti/core/random.hpp>

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <limits>
#include <memory>
#include <new>
#include <span>
#include <string>
#include <vector>

namespace kernel_memory {

inline const std::vector<std::size_t> lengths{0, 1, 3, 7, 15, 16, 17, 31, 32, 33, 255, 256, 257, 1023, 1025, 4099};

/// n values, `offset` of them past a 16-byte boundary, with 64 bytes on both sides that must stay as they are.
template <class T> class guarded {
public:
  explicit guarded(std::size_t n, std::size_t offset = 0)
      : n_{n}, bytes_(n * sizeof(T) + 192), memory_{static_cast<unsigned char*>(
                                                ::operator new (bytes_, std::align_val_t{64}))},
        begin_{64 + offset * sizeof(T)} {
    std::memset(memory_.get(), 0xa5, bytes_);
  }
  guarded(const std::vector<T>& values, std::size_t offset) : guarded{values.size(), offset} {
    if (n_ > 0) std::memcpy(data(), values.data(), n_ * sizeof(T));
  }
  T* data() const noexcept { return reinterpret_cast<T*>(memory_.get() + begin_); }
  std::span<T> span() const noexcept { return {data(), n_}; }
  std::vector<T> values() const { return {data(), data() + n_}; }
  bool guards_hold() const noexcept {
    for (std::size_t i = 0; i < bytes_; ++i)
      if ((i < begin_ || i >= begin_ + n_ * sizeof(T)) && memory_.get()[i] != 0xa5) return false;
    return true;
  }

private:
  struct release {
    void operator()(unsigned char* p) const noexcept { ::operator delete (p, std::align_val_t{64}); }
  };
  std::size_t n_, bytes_;
  std::unique_ptr<unsigned char, release> memory_;
  std::size_t begin_;
};

/// Values of many magnitudes; one in `rare` is a zero of either sign, a subnormal number, and where `special` an
/// infinity or a NaN.
template <class T>
std::vector<T> random_values(std::size_t n, std::uint64_t seed, bool special = true, std::uint32_t rare = 61) {
  using A = tutti::accumulator_t<T>;
  const A others[] = {A(0),
                      -A(0),
                      std::numeric_limits<A>::denorm_min(),
                      std::numeric_limits<A>::infinity(),
                      -std::numeric_limits<A>::infinity(),
                      std::numeric_limits<A>::quiet_NaN()};
  tutti::random_stream random{seed, std::uint32_t(n), 7};
  std::vector<T> all;
  for (std::size_t i = 0; i < n; ++i) {
    const A x = A(random.uniform() - 0.5f) * A(1 << (i % 11));
    all.push_back(tutti::element_cast<T>(random.below(rare) == 0 ? others[random.below(special ? 6 : 3)] : x));
  }
  return all;
}

/// Where bits differ, a NaN being like any other; nothing where they do not.
template <class T> std::string difference(std::span<const T> a, std::span<const T> b) {
  if (a.size() != b.size()) return "lengths differ";
  for (std::size_t i = 0; i < a.size(); ++i) {
    const auto x = tutti::element_cast<double>(a[i]), y = tutti::element_cast<double>(b[i]);
    if (std::memcmp(&a[i], &b[i], sizeof(T)) != 0 && (x == x || y == y))
      return "value " + std::to_string(i) + " of " + std::to_string(a.size()) + " is " + std::to_string(x) + ", not " +
             std::to_string(y);
  }
  return {};
}
template <class T> std::string difference(const std::vector<T>& a, const std::vector<T>& b) {
  return kernel_memory::difference(std::span<const T>{a}, std::span<const T>{b});
}

/// The first two values that are farther apart than `share` of them; empty where none are.
inline std::string apart(const std::vector<double>& a, const std::vector<double>& b, double share) {
  if (a.size() != b.size()) return std::to_string(a.size()) + " values, not " + std::to_string(b.size());
  for (std::size_t i = 0; i < a.size(); ++i)
    if (a[i] != b[i] && !(std::abs(a[i] - b[i]) <= share * std::abs(b[i])))
      return "value " + std::to_string(i) + ": " + std::to_string(a[i]) + ", not " + std::to_string(b[i]);
  return {};
}

} // namespace kernel_memory
