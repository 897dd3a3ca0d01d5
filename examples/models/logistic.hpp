// Logistic regression on sparse rows.
#pragma once

#include "layers.hpp"
#include "libsvm.hpp"
#include "parameter_buffer.hpp"

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <span>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

namespace models {

/// P(positive) = 1 / (1 + e^-(w x + b)). The gradient is dense. T is float, or double to check it.
template <class T> class basic_logistic {
public:
  /// `l2` times |w|^2 / 2 is added to the loss; the bias is free.
  explicit basic_logistic(int features, T l2 = T{0})
      : features_(checked(features)), l2_(l2), parameters_(tensor_shapes(features)),
        gradients_(tensor_shapes(features)) {}

  std::vector<tutti::tensor<T>> parameters() { return parameters_.tensors(); }
  std::vector<tutti::tensor<T>> gradients() { return gradients_.tensors(); }
  std::span<T> flat_parameters() { return parameters_.flat(); }
  std::span<const T> flat_parameters() const { return parameters_.flat(); }
  std::span<T> flat_gradients() { return gradients_.flat(); }
  std::size_t parameter_count() const { return parameters_.parameter_count(); }
  void load(std::span<const T> flat) { parameters_.load(flat); }

  /// The problem is convex: all zero.
  void initialise(std::uint64_t = 0) {
    parameters_.fill_zero(0);
    parameters_.fill_zero(1);
  }

  /// Mean loss in nats over the given rows, and its gradient (which replaces the previous one).
  T loss_and_gradients(const sparse_rows& set, std::span<const std::uint32_t> rows) {
    if (rows.empty() || set.features > features_) {
      throw std::runtime_error("logistic: " + std::to_string(rows.size()) + " rows with " +
                               std::to_string(set.features) + " features for a model of " +
                               std::to_string(features_) + " - give at least one row");
    }
    T* gradient = gradients_.data(0);
    for (int j = 0; j < features_; ++j) {
      gradient[j] = l2_ * parameters_.data(0)[j];
    }
    T& bias = *gradients_.data(1) = T{0};
    const T weight = T{1} / static_cast<T>(rows.size());
    double loss = 0;
    for (const std::size_t row : rows) {
      const T margin = this->margin(set, row);
      loss += nats(margin, set.labels[row]);
      const T d = weight * (probability(margin) - static_cast<T>(set.labels[row]));
      for (std::size_t i = set.begins[row]; i < set.begins[row + 1]; ++i) {
        gradient[set.columns[i]] += d * static_cast<T>(set.values[i]);
      }
      bias += d;
    }
    return static_cast<T>(loss / static_cast<double>(rows.size())) + penalty();
  }

  /// How many rows begin .. end - 1 are classified rightly.
  std::size_t correct(const sparse_rows& set, std::size_t begin, std::size_t end) const {
    std::size_t total = 0;
    for (; begin < end; ++begin) {
      total += (margin(set, begin) > T{0}) == (set.labels[begin] != 0);
    }
    return total;
  }

  double accuracy(const sparse_rows& set) const {
    if (set.size() == 0) {
      throw std::runtime_error("logistic: no rows to score - give at least one");
    }
    return static_cast<double>(correct(set, 0, set.size())) / static_cast<double>(set.size());
  }

private:
  static int checked(int features) {
    if (features < 1) {
      throw std::runtime_error("logistic: no features - give at least one");
    }
    return features;
  }

  static std::vector<tensor_shape> tensor_shapes(int features) {
    return {{"weights", features, 1}, {"bias", 1, 1}};
  }

  /// Features the model does not know count nothing.
  T margin(const sparse_rows& set, std::size_t row) const {
    const T* weights = parameters_.data(0);
    T total = *parameters_.data(1);
    for (std::size_t i = set.begins[row]; i < set.begins[row + 1]; ++i) {
      if (set.columns[i] < features_) {
        total += weights[set.columns[i]] * static_cast<T>(set.values[i]);
      }
    }
    return total;
  }

  static T probability(T margin) {
    const T e = exponential(-std::abs(margin));
    return (margin > T{0} ? T{1} : e) / (T{1} + e);
  }

  static double nats(T margin, std::uint8_t label) {
    const double toward = static_cast<double>(label != 0 ? margin : -margin);
    return std::log1p(std::exp(-std::abs(toward))) + std::max(0.0, -toward);
  }

  T penalty() const { return l2_ / 2 * dot(parameters_.data(0), parameters_.data(0), features_); }

  int features_;
  T l2_;
  parameter_buffer<T> parameters_, gradients_;
};

using logistic = basic_logistic<float>;

} // namespace models
