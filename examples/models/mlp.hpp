// A perceptron with ReLU layers, such as the 2NN of McMahan et al. 2017.
#pragma once

#include "layers.hpp"
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

/// Fully connected layers of the given widths, softmax cross-entropy at the end. Examples come from
/// any set with `inputs()`, `label(i)` and `copy_input(i, T*)`. T is float, or double to check the
/// gradients. One object is used by one thread at a time.
template <class T> class basic_mlp {
public:
  /// The 2NN: 199,210 parameters.
  basic_mlp() : basic_mlp({784, 200, 200, 10}) {}

  explicit basic_mlp(std::vector<int> widths)
      : widths_(checked(std::move(widths))), parameters_(tensor_shapes(widths_)),
        gradients_(tensor_shapes(widths_)), values_(widths_.size()) {
    Eigen::setNbThreads(1);
  }

  std::vector<tutti::tensor<T>> parameters() { return parameters_.tensors(); }
  std::vector<tutti::tensor<T>> gradients() { return gradients_.tensors(); }
  std::span<T> flat_parameters() { return parameters_.flat(); }
  std::span<const T> flat_parameters() const { return parameters_.flat(); }
  std::span<T> flat_gradients() { return gradients_.flat(); }
  std::size_t parameter_count() const { return parameters_.parameter_count(); }
  void load(std::span<const T> flat) { parameters_.load(flat); }

  /// He et al. 2015; the same values on every machine.
  void initialise(std::uint64_t seed) {
    for (int layer = 0; layer < layers(); ++layer) {
      parameters_.fill_uniform(2 * layer, std::sqrt(2.0 / width(layer)), seed);
      parameters_.fill_zero(2 * layer + 1);
    }
  }

  /// Mean loss in nats over the examples `rows` of the set, and its gradient (which replaces the
  /// previous one). `on_ready(i)` as in basic_transformer: from the last tensor to the first.
  template <class Examples, class OnReady>
  T loss_and_gradients(const Examples& set, std::span<const std::uint32_t> rows,
                       OnReady&& on_ready) {
    forward(set, rows);
    const double loss =
        softmax_cross_entropy(values_.back().data(), labels_.data(), count_, widths_.back());
    backward(on_ready);
    return static_cast<T>(loss);
  }
  template <class Examples>
  T loss_and_gradients(const Examples& set, std::span<const std::uint32_t> rows) {
    return loss_and_gradients(set, rows, [](int) {});
  }

  /// How many examples begin .. end - 1 get the largest output at their label.
  template <class Examples>
  std::size_t correct(const Examples& set, std::size_t begin, std::size_t end) {
    constexpr std::size_t piece = 500;
    std::size_t total = 0;
    std::vector<std::uint32_t> rows;
    while (begin < end) {
      rows.clear();
      for (; begin < end && rows.size() < piece; ++begin) {
        rows.push_back(static_cast<std::uint32_t>(begin));
      }
      forward(set, rows);
      for (int i = 0; i < count_; ++i) {
        const T* row = at(values_.back(), i, widths_.back());
        total += std::max_element(row, row + widths_.back()) - row ==
                 static_cast<std::ptrdiff_t>(labels_[static_cast<std::size_t>(i)]);
      }
    }
    return total;
  }

  /// Before the softmax: an output of each class for each of these examples, good until the next call.
  template <class Examples>
  std::span<const T> scores(const Examples& set, std::span<const std::uint32_t> rows) {
    forward(set, rows);
    return values_.back();
  }

  template <class Examples> double accuracy(const Examples& set) {
    if (set.size() == 0) {
      throw std::runtime_error("mlp: no examples to score - give at least one");
    }
    return static_cast<double>(correct(set, 0, set.size())) / static_cast<double>(set.size());
  }

private:
  static std::vector<int> checked(std::vector<int> widths) {
    if (widths.size() < 2 || *std::min_element(widths.begin(), widths.end()) < 1) {
      throw std::runtime_error("mlp: widths that cannot be built - give at least an input and an "
                               "output width, each at least 1");
    }
    return widths;
  }

  static std::vector<tensor_shape> tensor_shapes(const std::vector<int>& widths) {
    std::vector<tensor_shape> all;
    for (std::size_t layer = 0; layer + 1 < widths.size(); ++layer) {
      const std::string name = "layer" + std::to_string(layer);
      all.push_back({name + ".weights", widths[layer], widths[layer + 1]});
      all.push_back({name + ".bias", 1, widths[layer + 1]});
    }
    return all;
  }

  int layers() const { return static_cast<int>(widths_.size()) - 1; }
  int width(int layer) const { return widths_[static_cast<std::size_t>(layer)]; }

  template <class U> static U* at(aligned_vector<U>& values, int row, int columns) {
    return values.data() + static_cast<std::size_t>(row) * static_cast<std::size_t>(columns);
  }

  /// What enters `layer`, one row per example; layers() is the output.
  auto entering(int layer) {
    return matrix(values_[static_cast<std::size_t>(layer)].data(), count_, width(layer));
  }

  auto weights(int layer) const {
    return matrix(parameters_.data(2 * layer), width(layer), width(layer + 1));
  }

  template <class Examples> void forward(const Examples& set, std::span<const std::uint32_t> rows) {
    if (rows.empty() || set.inputs() != widths_.front()) {
      throw std::runtime_error("mlp: " + std::to_string(rows.size()) + " examples of " +
                               std::to_string(set.inputs()) + " inputs for a model of " +
                               std::to_string(widths_.front()) + " - give at least one example");
    }
    reserve(static_cast<int>(rows.size()));
    labels_.clear();
    for (int i = 0; i < count_; ++i) {
      const std::size_t row = rows[static_cast<std::size_t>(i)];
      set.copy_input(row, at(values_.front(), i, widths_.front()));
      labels_.push_back(set.label(row));
    }
    for (int layer = 0; layer < layers(); ++layer) {
      entering(layer + 1).noalias() = entering(layer) * weights(layer);
      add_bias(layer);
    }
  }

  void reserve(int count) {
    count_ = count;
    int widest = 0;
    for (int layer = 0; layer <= layers(); ++layer) {
      const auto needed = static_cast<std::size_t>(count) * static_cast<std::size_t>(width(layer));
      values_[static_cast<std::size_t>(layer)].resize(needed);
      widest = layer > 0 ? std::max(widest, width(layer)) : widest;
    }
    for (auto& values : d_values_) {
      values.resize(static_cast<std::size_t>(count) * static_cast<std::size_t>(widest));
    }
  }

  /// And the ReLU, but for the last layer.
  void add_bias(int layer) {
    const T* bias = parameters_.data(2 * layer + 1);
    const int columns = width(layer + 1);
    const bool last = layer + 1 == layers();
    for (int i = 0; i < count_; ++i) {
      T* row = at(values_[static_cast<std::size_t>(layer) + 1], i, columns);
      for (int j = 0; j < columns; ++j) {
        row[j] += bias[j];
      }
      for (int j = 0; !last && j < columns; ++j) {
        row[j] = row[j] > T{0} ? row[j] : T{0};
      }
    }
  }

  /// The gradient of the output of `layer` is `d`; it starts where the loss left it.
  template <class OnReady> void backward(OnReady& on_ready) {
    T* d = values_.back().data();
    for (int layer = layers(); layer-- > 0;) {
      const int columns = width(layer + 1);
      const auto d_out = matrix(d, count_, columns);
      bias_gradient(layer, d);
      on_ready(2 * layer + 1);
      matrix(gradients_.data(2 * layer), width(layer), columns).noalias() =
          entering(layer).transpose() * d_out;
      on_ready(2 * layer);
      if (layer == 0) {
        break;
      }
      T* d_in = d_values_[layer % 2].data();
      matrix(d_in, count_, width(layer)).noalias() = d_out * weights(layer).transpose();
      const auto& entered = values_[static_cast<std::size_t>(layer)];
      for (std::size_t i = 0; i < entered.size(); ++i) {
        d_in[i] *= entered[i] > T{0};
      }
      d = d_in;
    }
  }

  void bias_gradient(int layer, const T* d) {
    T* bias = gradients_.data(2 * layer + 1);
    const int columns = width(layer + 1);
    gradients_.fill_zero(2 * layer + 1);
    for (int i = 0; i < count_; ++i, d += columns) {
      for (int j = 0; j < columns; ++j) {
        bias[j] += d[j];
      }
    }
  }

  std::vector<int> widths_;
  parameter_buffer<T> parameters_, gradients_;
  int count_ = 0;
  std::vector<int> labels_;
  std::vector<aligned_vector<T>> values_;
  aligned_vector<T> d_values_[2];
};

using mlp = basic_mlp<float>;

} // namespace models
