// A small decoder-only transformer over bytes, with its backward pass written out.
#pragma once

#include "layers.hpp"
#include "parameter_buffer.hpp"
#include "random.hpp"

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <span>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

namespace models {

struct transformer_shape {
  int context = 64;
  int width = 128;
  int heads = 4;
  int layers = 4;

  int head_width() const { return width / heads; }
  int hidden() const { return 4 * width; }
};

inline constexpr int symbols = 256;

/// Rotary positions (Su et al. 2021): the two halves of a head are the real and imaginary parts of
/// numbers turned by an angle proportional to the position.
template <class T> class rotary {
public:
  rotary(int context, int head_width) : half_(head_width / 2) {
    for (int t = 0; t < context; ++t) {
      for (int i = 0; i < half_; ++i) {
        const double angle = t * std::pow(10000.0, -static_cast<double>(i) / half_);
        cosine_.push_back(static_cast<T>(std::cos(angle)));
        sine_.push_back(static_cast<T>(std::sin(angle)));
      }
    }
  }

  /// Turns one head of one token; `direction` -1 is the inverse, and the backward pass.
  void turn(T* head, int position, T direction) const {
    const T* cosine = cosine_.data() + position * half_;
    const T* sine = sine_.data() + position * half_;
    for (int i = 0; i < half_; ++i) {
      const T real = head[i];
      const T imaginary = head[i + half_];
      head[i] = real * cosine[i] - direction * imaginary * sine[i];
      head[i + half_] = imaginary * cosine[i] + direction * real * sine[i];
    }
  }

private:
  int half_;
  aligned_vector<T> cosine_, sine_;
};

/// Pre-normalised blocks of causal attention and a squared-ReLU perceptron (So et al. 2021), no
/// biases, separate input and output embeddings. T is float, or double to check the gradients.
///
/// Bits: the same binary gives the same bits for the same parameters, tokens and batch size,
/// wherever the buffers lie. One object is used by one thread at a time.
template <class T> class basic_transformer {
public:
  explicit basic_transformer(transformer_shape shape)
      : shape_(checked(shape)), parameters_(tensor_shapes(shape)), gradients_(tensor_shapes(shape)),
        rotary_(shape.context, shape.head_width()),
        blocks_(static_cast<std::size_t>(shape.layers)) {
    Eigen::setNbThreads(1);
  }

  const transformer_shape& shape() const { return shape_; }
  std::vector<tutti::tensor<T>> parameters() { return parameters_.tensors(); }
  std::vector<tutti::tensor<T>> gradients() { return gradients_.tensors(); }
  std::span<T> flat_parameters() { return parameters_.flat(); }
  std::span<const T> flat_parameters() const { return parameters_.flat(); }
  std::span<T> flat_gradients() { return gradients_.flat(); }
  std::size_t parameter_count() const { return parameters_.parameter_count(); }
  void load(std::span<const T> flat) { parameters_.load(flat); }
  void load(std::span<const tutti::tensor<T>> tensors) { parameters_.load(tensors); }

  /// The same parameters on every machine. What is added to the residual stream starts at zero.
  void initialise(std::uint64_t seed) {
    parameters_.fill_uniform(0, 1.0, seed);
    for (int layer = 0; layer < shape_.layers; ++layer) {
      parameters_.fill_uniform(tensor_of(layer, attention_in), 0.5 / std::sqrt(shape_.width), seed);
      parameters_.fill_zero(tensor_of(layer, attention_out));
      parameters_.fill_uniform(tensor_of(layer, mlp_in), 0.5 / std::sqrt(shape_.width), seed);
      parameters_.fill_zero(tensor_of(layer, mlp_out));
    }
    parameters_.fill_zero(head_tensor());
  }

  /// Mean loss in nats per byte, and its gradient (which replaces the previous one). `rows` holds
  /// `batch` rows of context + 1 bytes. `on_ready(i)` is called once for every tensor, from the
  /// last to the first, as soon as its gradient is final.
  T loss_and_gradients(std::span<const std::uint8_t> rows, int batch,
                       const std::function<void(int)>& on_ready) {
    forward(rows, batch);
    const double loss = softmax_cross_entropy(logits_.data(), targets_.data(), tokens_, symbols);
    backward(on_ready);
    return static_cast<T>(loss);
  }
  T loss_and_gradients(std::span<const std::uint8_t> rows, int batch) {
    return loss_and_gradients(rows, batch, [](int) {});
  }

  /// Nats summed over the bytes at positions first_scored .. context - 1 of every row; the bytes
  /// before serve as context only.
  double nats(std::span<const std::uint8_t> rows, int batch, int first_scored = 0) {
    forward(rows, batch);
    double total = 0;
    for (int i = 0; i < tokens_; ++i) {
      if (i % shape_.context < first_scored) {
        continue;
      }
      T* row = at(logits_, i, symbols);
      const T wanted = row[targets_[static_cast<std::size_t>(i)]];
      total += static_cast<double>(softmax(row, symbols) - wanted);
    }
    return total;
  }

  /// Of every byte behind each of the rows' first `context`, before the softmax: batch x context x symbols, good until
  /// the next call.
  std::span<const T> scores(std::span<const std::uint8_t> rows, int batch) {
    forward(rows, batch);
    return {logits_.data(), static_cast<std::size_t>(tokens_) * symbols};
  }

  /// Mean nats per byte, without a backward pass.
  double loss(std::span<const std::uint8_t> rows, int batch) {
    return nats(rows, batch) / (static_cast<double>(batch) * shape_.context);
  }

  /// `count` bytes that continue `prompt`. Temperature 0 takes the likeliest byte each time.
  std::string sample(std::string_view prompt, int count, double temperature, std::uint64_t seed) {
    std::string text = prompt.empty() ? "\n" : std::string(prompt);
    const std::size_t start = text.size();
    for (int i = 0; i < count; ++i) {
      const double u = unit_interval(draw(seed, static_cast<std::uint64_t>(i)));
      text.push_back(static_cast<char>(next_byte(text, temperature, u)));
    }
    return text.substr(start);
  }

private:
  enum block_tensor { attention_in, attention_out, mlp_in, mlp_out, tensors_per_block };

  /// What the backward pass needs of one block.
  struct block_state {
    aligned_vector<T> attention_input, attention_scale;
    aligned_vector<T> queries_keys_values, weights, mixed;
    aligned_vector<T> mlp_input, mlp_scale, hidden, squared;
  };

  static transformer_shape checked(transformer_shape shape) {
    if (shape.context < 1 || shape.width < 1 || shape.heads < 1 || shape.layers < 0 ||
        shape.width % shape.heads != 0 || shape.head_width() % 2 != 0) {
      throw std::runtime_error("transformer: a shape that cannot be built - context, width and "
                               "heads at least 1, width a multiple of twice the heads");
    }
    return shape;
  }

  static std::vector<tensor_shape> tensor_shapes(const transformer_shape& shape) {
    std::vector<tensor_shape> all{{"embedding", symbols, shape.width}};
    for (int layer = 0; layer < shape.layers; ++layer) {
      const std::string block = "block" + std::to_string(layer);
      all.push_back({block + ".attention_in", shape.width, 3 * shape.width});
      all.push_back({block + ".attention_out", shape.width, shape.width});
      all.push_back({block + ".mlp_in", shape.width, shape.hidden()});
      all.push_back({block + ".mlp_out", shape.hidden(), shape.width});
    }
    all.push_back({"head", shape.width, symbols});
    return all;
  }

  int tensor_of(int layer, block_tensor which) const {
    return 1 + layer * tensors_per_block + which;
  }
  int head_tensor() const { return parameters_.count() - 1; }
  auto weight(int i) const { return matrix_of(parameters_, i); }
  auto gradient(int i) { return matrix_of(gradients_, i); }

  template <class Buffer> static auto matrix_of(Buffer& buffer, int i) {
    return matrix(buffer.data(i), buffer.shape(i).rows, buffer.shape(i).columns);
  }

  template <class Vector> auto tokens_by(Vector& values, int columns) const {
    return matrix(values.data(), tokens_, columns);
  }

  template <class U> static U* at(aligned_vector<U>& values, int row, int columns) {
    return values.data() + static_cast<std::size_t>(row) * static_cast<std::size_t>(columns);
  }

  // ---- forward ----------------------------------------------------------------------------------

  void forward(std::span<const std::uint8_t> rows, int batch) {
    arrange(rows, batch);
    embed();
    for (int layer = 0; layer < shape_.layers; ++layer) {
      attention_forward(layer, blocks_[static_cast<std::size_t>(layer)]);
      mlp_forward(layer, blocks_[static_cast<std::size_t>(layer)]);
    }
    rms_norm(residual_.data(), head_input_.data(), head_scale_.data(), tokens_, shape_.width);
    tokens_by(logits_, symbols).noalias() =
        tokens_by(head_input_, shape_.width) * weight(head_tensor());
  }

  /// Splits rows of context + 1 bytes into inputs and targets, and makes room.
  void arrange(std::span<const std::uint8_t> rows, int batch) {
    const auto context = static_cast<std::size_t>(shape_.context);
    if (batch < 1 || rows.size() != static_cast<std::size_t>(batch) * (context + 1)) {
      throw std::runtime_error("transformer: " + std::to_string(rows.size()) +
                               " bytes for a batch of " + std::to_string(batch) +
                               " - each row is context + 1 = " + std::to_string(context + 1));
    }
    reserve(batch);
    inputs_.clear();
    targets_.clear();
    for (std::size_t row = 0; row < rows.size(); row += context + 1) {
      for (std::size_t t = 0; t < context; ++t) {
        inputs_.push_back(rows[row + t]);
        targets_.push_back(rows[row + t + 1]);
      }
    }
  }

  void reserve(int batch) {
    if (batch == batch_) {
      return;
    }
    batch_ = batch;
    tokens_ = batch * shape_.context;
    const auto n = static_cast<std::size_t>(tokens_);
    const auto width = static_cast<std::size_t>(shape_.width);
    const auto scores = static_cast<std::size_t>(shape_.heads * shape_.context);
    for (auto* values : {&residual_, &head_input_, &d_residual_, &d_normed_, &d_mixed_}) {
      values->resize(n * width);
    }
    head_scale_.resize(n);
    logits_.resize(n * symbols);
    d_hidden_.resize(n * 4 * width);
    d_queries_keys_values_.resize(n * 3 * width);
    d_weights_.resize(static_cast<std::size_t>(shape_.context * shape_.context));
    for (block_state& block : blocks_) {
      for (auto* values : {&block.attention_input, &block.mixed, &block.mlp_input}) {
        values->resize(n * width);
      }
      for (auto* values : {&block.hidden, &block.squared}) {
        values->resize(n * 4 * width);
      }
      for (auto* values : {&block.attention_scale, &block.mlp_scale}) {
        values->resize(n);
      }
      block.queries_keys_values.resize(n * 3 * width);
      block.weights.resize(n * scores);
    }
  }

  void embed() {
    const T* table = parameters_.data(0);
    for (int i = 0; i < tokens_; ++i) {
      std::copy_n(table + inputs_[static_cast<std::size_t>(i)] * shape_.width, shape_.width,
                  at(residual_, i, shape_.width));
    }
  }

  void attention_forward(int layer, block_state& block) {
    const int width = shape_.width;
    rms_norm(residual_.data(), block.attention_input.data(), block.attention_scale.data(), tokens_,
             width);
    tokens_by(block.queries_keys_values, 3 * width).noalias() =
        tokens_by(block.attention_input, width) * weight(tensor_of(layer, attention_in));
    turn_queries_and_keys(block.queries_keys_values, T{1});
    for_each_head([&](int row, int head) { mix_head(block, row, head); });
    tokens_by(residual_, width).noalias() +=
        tokens_by(block.mixed, width) * weight(tensor_of(layer, attention_out));
  }

  /// One head of one row: mixed = softmax(q k^T / sqrt(head width)) v, causal.
  void mix_head(block_state& block, int row, int head) {
    const int context = shape_.context;
    const auto scale = static_cast<T>(1 / std::sqrt(static_cast<double>(shape_.head_width())));
    T* weights = weights_of(block, row, head);
    auto scores = matrix(weights, context, context);
    scores.noalias() = head_of(block.queries_keys_values, row, head, 0) *
                       head_of(block.queries_keys_values, row, head, 1).transpose();
    for (int t = 0; t < context; ++t, weights += context) {
      softmax(weights, t + 1, scale);
      std::fill(weights + t + 1, weights + context, T{0});
    }
    mixed_of(block.mixed, row, head).noalias() =
        scores * head_of(block.queries_keys_values, row, head, 2);
  }

  void mlp_forward(int layer, block_state& block) {
    const int width = shape_.width;
    rms_norm(residual_.data(), block.mlp_input.data(), block.mlp_scale.data(), tokens_, width);
    tokens_by(block.hidden, 4 * width).noalias() =
        tokens_by(block.mlp_input, width) * weight(tensor_of(layer, mlp_in));
    for (std::size_t i = 0; i < block.hidden.size(); ++i) {
      const T positive = block.hidden[i] > T{0} ? block.hidden[i] : T{0};
      block.hidden[i] = positive;
      block.squared[i] = positive * positive;
    }
    tokens_by(residual_, width).noalias() +=
        tokens_by(block.squared, 4 * width) * weight(tensor_of(layer, mlp_out));
  }

  // ---- backward: logits_ holds the gradient of the logits ---------------------------------------

  void backward(const std::function<void(int)>& on_ready) {
    const int width = shape_.width;
    gradient(head_tensor()).noalias() =
        tokens_by(head_input_, width).transpose() * tokens_by(logits_, symbols);
    on_ready(head_tensor());
    std::fill(d_residual_.begin(), d_residual_.end(), T{0});
    back_through_norm(tokens_by(logits_, symbols), weight(head_tensor()), head_input_, head_scale_);
    for (int layer = shape_.layers; layer-- > 0;) {
      mlp_backward(layer, blocks_[static_cast<std::size_t>(layer)], on_ready);
      attention_backward(layer, blocks_[static_cast<std::size_t>(layer)], on_ready);
    }
    embed_backward();
    on_ready(0);
  }

  /// d_residual += the gradient of norm(residual) * weights, given the gradient of the product.
  template <class Gradient, class Weights>
  void back_through_norm(const Gradient& d_product, const Weights& weights,
                         const aligned_vector<T>& normed, const aligned_vector<T>& scale) {
    tokens_by(d_normed_, shape_.width).noalias() = d_product * weights.transpose();
    rms_norm_backward(d_normed_.data(), normed.data(), scale.data(), d_residual_.data(), tokens_,
                      shape_.width);
  }

  void mlp_backward(int layer, block_state& block, const std::function<void(int)>& on_ready) {
    const int width = shape_.width;
    const auto d_out = tokens_by(d_residual_, width);
    gradient(tensor_of(layer, mlp_out)).noalias() =
        tokens_by(block.squared, 4 * width).transpose() * d_out;
    on_ready(tensor_of(layer, mlp_out));

    tokens_by(d_hidden_, 4 * width).noalias() =
        d_out * weight(tensor_of(layer, mlp_out)).transpose();
    for (std::size_t i = 0; i < d_hidden_.size(); ++i) {
      d_hidden_[i] *= 2 * block.hidden[i];
    }
    const auto d_hidden = tokens_by(d_hidden_, 4 * width);
    gradient(tensor_of(layer, mlp_in)).noalias() =
        tokens_by(block.mlp_input, width).transpose() * d_hidden;
    on_ready(tensor_of(layer, mlp_in));
    back_through_norm(d_hidden, weight(tensor_of(layer, mlp_in)), block.mlp_input, block.mlp_scale);
  }

  void attention_backward(int layer, block_state& block, const std::function<void(int)>& on_ready) {
    const int width = shape_.width;
    const auto d_out = tokens_by(d_residual_, width);
    gradient(tensor_of(layer, attention_out)).noalias() =
        tokens_by(block.mixed, width).transpose() * d_out;
    on_ready(tensor_of(layer, attention_out));

    tokens_by(d_mixed_, width).noalias() =
        d_out * weight(tensor_of(layer, attention_out)).transpose();
    for_each_head([&](int row, int head) { mix_head_backward(block, row, head); });
    turn_queries_and_keys(d_queries_keys_values_, T{-1});
    const auto d_in = tokens_by(d_queries_keys_values_, 3 * width);
    gradient(tensor_of(layer, attention_in)).noalias() =
        tokens_by(block.attention_input, width).transpose() * d_in;
    on_ready(tensor_of(layer, attention_in));
    back_through_norm(d_in, weight(tensor_of(layer, attention_in)), block.attention_input,
                      block.attention_scale);
  }

  void mix_head_backward(block_state& block, int row, int head) {
    const int context = shape_.context;
    const auto scale = static_cast<T>(1 / std::sqrt(static_cast<double>(shape_.head_width())));
    const auto weights = matrix(weights_of(block, row, head), context, context);
    const auto d_mixed = mixed_of(d_mixed_, row, head);
    auto d_scores = matrix(d_weights_.data(), context, context);
    d_scores.noalias() = d_mixed * head_of(block.queries_keys_values, row, head, 2).transpose();
    softmax_backward(weights_of(block, row, head), scale);
    head_of(d_queries_keys_values_, row, head, 0).noalias() =
        d_scores * head_of(block.queries_keys_values, row, head, 1);
    head_of(d_queries_keys_values_, row, head, 1).noalias() =
        d_scores.transpose() * head_of(block.queries_keys_values, row, head, 0);
    head_of(d_queries_keys_values_, row, head, 2).noalias() = weights.transpose() * d_mixed;
  }

  /// d_weights_ becomes the gradient of the scores before scaling; masked weights are zero.
  void softmax_backward(const T* weights, T scale) {
    const int context = shape_.context;
    T* d = d_weights_.data();
    for (int t = 0; t < context; ++t, weights += context, d += context) {
      const T along = dot(weights, d, context);
      for (int s = 0; s < context; ++s) {
        d[s] = scale * weights[s] * (d[s] - along);
      }
    }
  }

  void embed_backward() {
    T* table = gradients_.data(0);
    gradients_.fill_zero(0);
    for (int i = 0; i < tokens_; ++i) {
      T* entry = table + inputs_[static_cast<std::size_t>(i)] * shape_.width;
      const T* d = at(d_residual_, i, shape_.width);
      for (int j = 0; j < shape_.width; ++j) {
        entry[j] += d[j];
      }
    }
  }

  // ---- heads ------------------------------------------------------------------------------------

  template <class Visit> void for_each_head(Visit&& visit) {
    for (int row = 0; row < batch_; ++row) {
      for (int head = 0; head < shape_.heads; ++head) {
        visit(row, head);
      }
    }
  }

  /// context x head_width; `part` 0, 1, 2 are queries, keys, values.
  auto head_of(aligned_vector<T>& packed, int row, int head, int part) {
    const int width = shape_.width;
    return matrix(at(packed, row * shape_.context, 3 * width) + part * width +
                      head * shape_.head_width(),
                  shape_.context, shape_.head_width(), 3 * width);
  }

  auto mixed_of(aligned_vector<T>& values, int row, int head) {
    return matrix(at(values, row * shape_.context, shape_.width) + head * shape_.head_width(),
                  shape_.context, shape_.head_width(), shape_.width);
  }

  T* weights_of(block_state& block, int row, int head) {
    return at(block.weights, (row * shape_.heads + head) * shape_.context, shape_.context);
  }

  void turn_queries_and_keys(aligned_vector<T>& packed, T direction) {
    for (int i = 0; i < tokens_; ++i) {
      T* token = at(packed, i, 3 * shape_.width);
      for (int head = 0; head < 2 * shape_.heads; ++head) {
        rotary_.turn(token + head * shape_.head_width(), i % shape_.context, direction);
      }
    }
  }

  // ---- sampling ---------------------------------------------------------------------------------

  /// The text's tail at the beginning of one row; what is behind it cannot be seen by causality.
  int next_byte(const std::string& text, double temperature, double u) {
    const auto context = static_cast<std::size_t>(shape_.context);
    const std::size_t length = std::min(text.size(), context);
    std::vector<std::uint8_t> row(context + 1, 0);
    std::copy(text.end() - static_cast<std::ptrdiff_t>(length), text.end(), row.begin());
    forward(row, 1);
    T* logits = at(logits_, static_cast<int>(length) - 1, symbols);
    if (temperature <= 0) {
      return static_cast<int>(std::max_element(logits, logits + symbols) - logits);
    }
    softmax(logits, symbols, static_cast<T>(1 / temperature));
    double left = u;
    for (int symbol = 0; symbol < symbols; ++symbol) {
      left -= static_cast<double>(logits[symbol]);
      if (left < 0) {
        return symbol;
      }
    }
    return static_cast<int>(std::max_element(logits, logits + symbols) - logits);
  }

  transformer_shape shape_;
  parameter_buffer<T> parameters_, gradients_;
  rotary<T> rotary_;
  std::vector<block_state> blocks_;
  int batch_ = 0, tokens_ = 0;
  std::vector<std::uint8_t> inputs_, targets_;
  aligned_vector<T> residual_, head_input_, head_scale_, logits_;
  aligned_vector<T> d_residual_, d_normed_, d_mixed_, d_hidden_, d_queries_keys_values_, d_weights_;
};

using transformer = basic_transformer<float>;

} // namespace models
