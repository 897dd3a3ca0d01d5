// Softmax regression on images that are mostly black: what is 0 costs nothing.
#pragma once

#include "mnist.hpp"
#include "random.hpp"

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

namespace models {

/// The pixels that are not 0, image after image.
struct sparse_images {
  std::vector<std::uint32_t> begins{0};
  std::vector<std::uint16_t> pixels;
  std::vector<float> values; ///< in 0 .. 1
  std::vector<std::uint8_t> labels;

  explicit sparse_images(const image_set& set) : labels{set.labels} {
    for (std::size_t i = 0; i < set.size(); ++i) {
      for (std::size_t j = 0; j < std::size_t(image_pixels); ++j)
        if (const std::uint8_t v = set.pixels[i * image_pixels + j]; v != 0) {
          pixels.push_back(std::uint16_t(j));
          values.push_back(float(v) / 255);
        }
      begins.push_back(std::uint32_t(pixels.size()));
    }
  }
  std::size_t size() const { return labels.size(); }
};

/// Ten classes in rows of sixteen values, so that a row is a vector; those beyond the classes stay 0. The last row is
/// the bias. Works in memory of the caller.
class softmax_regression {
public:
  static constexpr std::size_t columns = 16, values = (image_pixels + 1) * columns;

  /// Epochs of plain steps over these rows, in a new order each. `turned` learns of each label the opposite, 9 - label.
  void train(std::span<float> w, const sparse_images& set, std::span<const std::uint32_t> rows, int epochs, int batch,
             float rate, std::uint64_t seed, bool turned = false) {
    const std::size_t most = batch == 0 ? rows.size() : std::size_t(batch);
    errors_.resize(most * columns);
    for (int epoch = 0; epoch < epochs; ++epoch) {
      const auto order = shuffled(rows.size(), draw(seed, std::uint64_t(epoch)));
      for (std::size_t begin = 0; begin < order.size(); begin += most) {
        const std::size_t n = std::min(most, order.size() - begin);
        for (std::size_t i = 0; i < n; ++i) {
          const std::size_t row = rows[order[begin + i]];
          const int label = turned ? digit_classes - 1 - set.labels[row] : set.labels[row];
          error(w, set, row, label, errors_.data() + i * columns);
        }
        for (std::size_t i = 0; i < n; ++i)
          descend(w, set, rows[order[begin + i]], errors_.data() + i * columns, rate / float(n));
      }
    }
  }
  static std::size_t correct(std::span<const float> w, const sparse_images& set, std::size_t begin, std::size_t end) {
    std::size_t total = 0;
    for (; begin < end; ++begin) {
      float logits[columns];
      forward(w, set, begin, logits);
      total += std::max_element(logits, logits + digit_classes) - logits == std::ptrdiff_t(set.labels[begin]);
    }
    return total;
  }

private:
  /// A row at once; compilers find no vector in sixteen values by themselves.
  typedef float row_type __attribute__((vector_size(columns * sizeof(float)), aligned(alignof(float)), may_alias));
  static const row_type& row(const float* values) { return *reinterpret_cast<const row_type*>(values); }
  static row_type& row(float* values) { return *reinterpret_cast<row_type*>(values); }

  static void forward(std::span<const float> w, const sparse_images& set, std::size_t i, float* logits) {
    row_type sum = row(w.data() + image_pixels * columns);
    for (std::size_t k = set.begins[i]; k < set.begins[i + 1]; ++k)
      sum += set.values[k] * row(w.data() + set.pixels[k] * columns);
    row(logits) = sum;
  }
  /// Probabilities minus what they should be.
  static void error(std::span<const float> w, const sparse_images& set, std::size_t i, int label, float* out) {
    forward(w, set, i, out);
    const float greatest = *std::max_element(out, out + digit_classes);
    float total = 0;
    for (int c = 0; c < digit_classes; ++c) total += out[c] = std::exp(out[c] - greatest);
    for (int c = 0; c < digit_classes; ++c) out[c] = out[c] / total - float(c == label);
  }
  static void descend(std::span<float> w, const sparse_images& set, std::size_t i, const float* error, float rate) {
    const row_type by = row(error);
    for (std::size_t k = set.begins[i]; k < set.begins[i + 1]; ++k)
      row(w.data() + set.pixels[k] * columns) += -rate * set.values[k] * by;
    row(w.data() + image_pixels * columns) += -rate * by;
  }

  std::vector<float> errors_;
};

} // namespace models
