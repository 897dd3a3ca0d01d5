// A named piece of a model: what a strategy synchronises.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <type_traits>
#include <vector>

namespace tutti {

namespace detail {

template <class T>
class host_verbs;

} // namespace detail

/// The memory of the host, where tensors are of which nothing else is said. What makes a memory space is said in
/// training/memory.hpp; cuda::device_memory is another one.
struct host_memory {
  template <class T>
  using span = std::span<T>;
  template <class T>
  using verbs = detail::host_verbs<T>;

  /// What is wrong with values there; empty when nothing is.
  template <class T>
  std::string wrong(std::span<T>) const {
    return {};
  }
  /// Values of this memory, as whoever has tensors there knows them.
  template <class T>
  std::span<T> values(std::span<T> place) const noexcept {
    return place;
  }
};

/// A name, the values behind it, and how long it is in each dimension, the slowest first; no shape stands
/// for one dimension. The values belong to the caller. A model hands a strategy a range of these, in the
/// same order and with the same names and shapes on every rank.
/// `tensor<float>` is a parameter, `tensor<const float>` one that is only read; `Space` is where values are.
template <class T, class Space = host_memory>
struct tensor {
  std::string name;
  typename Space::template span<T> values;
  std::vector<std::int64_t> shape = {};
};

template <class T>
tensor(std::string, std::span<T>) -> tensor<T>;
template <class T>
tensor(const char*, std::span<T>) -> tensor<T>;
template <class T>
tensor(std::string_view, std::span<T>) -> tensor<T>;
template <class Name, class T>
tensor(Name, std::span<T>, std::vector<std::int64_t>) -> tensor<T>;

namespace detail {

/// "3 x 4"; of no shape, the number of values.
template <class T>
std::string text_of_shape(const tensor<T>& t) {
  if (t.shape.empty()) return std::to_string(t.values.size());
  std::string all;
  for (const std::int64_t n : t.shape) all += (all.empty() ? "" : " x ") + std::to_string(n);
  return all;
}

/// Whether its values are as many as its shape says.
template <class T>
bool fits_its_shape(const tensor<T>& t) noexcept {
  if (t.shape.empty()) return true;
  std::uint64_t left = t.values.size(); // divided, as products may overflow
  bool nothing = false;
  for (const std::int64_t n : t.shape) {
    if (n < 0) return false;
    nothing = nothing || n == 0;
  }
  if (nothing || left == 0) return nothing && left == 0;
  for (const std::int64_t n : t.shape) {
    if (left % std::uint64_t(n) != 0) return false;
    left /= std::uint64_t(n);
  }
  return left == 1;
}

} // namespace detail

} // namespace tutti
