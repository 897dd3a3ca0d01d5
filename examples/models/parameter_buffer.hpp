// Named tensors in one aligned allocation: what all the example models keep their weights in.
#pragma once

#include "random.hpp"

#include <tutti/core/tensor.hpp>

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <new>
#include <span>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

namespace models {

inline constexpr std::size_t alignment_bytes = 64;

template <class T> struct aligned_allocator {
  using value_type = T;

  aligned_allocator() = default;
  template <class U> constexpr aligned_allocator(const aligned_allocator<U>&) {}

  T* allocate(std::size_t n) {
    return static_cast<T*>(::operator new (n * sizeof(T), std::align_val_t{alignment_bytes}));
  }
  void deallocate(T* data, std::size_t) {
    ::operator delete (data, std::align_val_t{alignment_bytes});
  }
  template <class U> bool operator==(const aligned_allocator<U>&) const { return true; }
};

template <class T> using aligned_vector = std::vector<T, aligned_allocator<T>>;

/// A weight matrix takes `rows` inputs to `columns` outputs and is stored row by row.
struct tensor_shape {
  std::string name;
  int rows = 0;
  int columns = 0;
};

/// One contiguous allocation; every tensor starts on a 64-byte boundary and the padding between
/// tensors is zero. Addresses modulo 64 never change, so bits do not depend on where it lies.
template <class T> class parameter_buffer {
public:
  explicit parameter_buffer(std::vector<tensor_shape> shapes) : shapes_(std::move(shapes)) {
    constexpr std::size_t step = alignment_bytes / sizeof(T);
    std::size_t end = 0;
    for (const auto& shape : shapes_) {
      offsets_.push_back(end);
      end += (values_in(shape) + step - 1) / step * step;
    }
    values_.assign(end, T{0});
  }

  int count() const { return static_cast<int>(shapes_.size()); }
  const tensor_shape& shape(int i) const { return shapes_[static_cast<std::size_t>(i)]; }

  T* data(int i) { return values_.data() + offsets_[static_cast<std::size_t>(i)]; }
  const T* data(int i) const { return values_.data() + offsets_[static_cast<std::size_t>(i)]; }

  /// Everything, padding included.
  std::span<T> flat() { return values_; }
  std::span<const T> flat() const { return values_; }

  /// As a strategy takes them; one row or one column is a vector.
  std::vector<tutti::tensor<T>> tensors() {
    std::vector<tutti::tensor<T>> all;
    for (int i = 0; i < count(); ++i) {
      const auto& [name, rows, columns] = shape(i);
      std::vector<std::int64_t> lengths{rows, columns};
      if (rows == 1 || columns == 1) lengths = {std::int64_t{rows} * columns};
      all.push_back({name, std::span<T>{data(i), values_in(shape(i))}, std::move(lengths)});
    }
    return all;
  }

  /// Parameters without the padding.
  std::size_t parameter_count() const {
    std::size_t total = 0;
    for (const auto& shape : shapes_) {
      total += values_in(shape);
    }
    return total;
  }

  void load(std::span<const T> flat) {
    if (flat.size() != values_.size()) {
      throw std::runtime_error("models: " + std::to_string(flat.size()) +
                               " values for a model of " + std::to_string(values_.size()) +
                               " - load what flat_parameters() of the same shape returned");
    }
    std::copy(flat.begin(), flat.end(), values_.begin());
  }

  /// Tensors as tensors() has them.
  void load(std::span<const tutti::tensor<T>> tensors) {
    const auto fits = [&](int i) {
      return tensors[static_cast<std::size_t>(i)].values.size() == values_in(shape(i));
    };
    bool alike = tensors.size() == shapes_.size();
    for (int i = 0; alike && i < count(); ++i) alike = fits(i);
    if (!alike) {
      throw std::runtime_error("models: these tensors are not those of this model - load what parameters() of the "
                               "same shape returned");
    }
    for (int i = 0; i < count(); ++i) {
      std::ranges::copy(tensors[static_cast<std::size_t>(i)].values, data(i));
    }
  }

  /// Uniform with the given standard deviation; the same values on every machine.
  void fill_uniform(int i, double deviation, std::uint64_t seed) {
    const double bound = std::sqrt(3.0) * deviation;
    for (std::size_t j = 0; j < values_in(shape(i)); ++j) {
      const auto bits = draw(seed, static_cast<std::uint64_t>(i), j);
      data(i)[j] = static_cast<T>(bound * (2 * unit_interval(bits) - 1));
    }
  }

  void fill_zero(int i) { std::fill_n(data(i), values_in(shape(i)), T{0}); }

private:
  static std::size_t values_in(const tensor_shape& shape) {
    return static_cast<std::size_t>(shape.rows) * static_cast<std::size_t>(shape.columns);
  }

  std::vector<tensor_shape> shapes_;
  std::vector<std::size_t> offsets_;
  aligned_vector<T> values_;
};

} // namespace models
