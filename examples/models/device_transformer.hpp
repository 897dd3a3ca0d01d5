// The transformer of transformer.hpp out of small kernels (transformer_kernels.hpp) and matrix products, on a machine
// that does them: a GPU, or in tests the host.
#pragma once

#include "transformer_kernels.hpp"

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <vector>

namespace models {

/// Parameters and gradients are the tensors of basic_transformer::parameters(), in its order, in the machine's memory.
/// A machine has
///   room<X>                        memory of n values of X, of which data() is an address: room<X>{machine, n}
///   put(to, from, n)               bytes of the host, read before it returns
///   each(n, kernel)                kernel(i) of every index, in the order of the calls
///   gemm(ta, tb, m, n, k, a, lda, b, ldb, beta, c, ldc)    cublasSgemm's: columns stand one behind the other
/// All calls but put are enqueued; nothing is waited for.
template <class Machine> class device_transformer {
  template <class X> using room = typename Machine::template room<X>;
  static constexpr int symbols = 256;

public:
  /// `Shape` is transformer_shape; batches have `batch` rows each.
  template <class Shape>
  device_transformer(Machine& machine, const Shape& shape, int batch, std::vector<float*> parameters,
                     std::vector<float*> gradients)
      : on_{machine}, w_{std::move(parameters)}, g_{std::move(gradients)},
        of_{shape.context, shape.heads, shape.head_width()}, layers_{shape.layers}, batch_{batch},
        cosine_{machine, half_turns()}, sine_{machine, half_turns()}, inputs_{machine, n()}, targets_{machine, n()},
        residual_{machine, wide(1)}, head_input_{machine, wide(1)}, head_scale_{machine, n()},
        scores_{machine, n() * symbols}, losses_{machine, n()}, loss_{machine, 1}, d_residual_{machine, wide(1)},
        d_normed_{machine, wide(1)}, d_mixed_{machine, wide(1)}, d_hidden_{machine, wide(4)},
        d_packed_{machine, wide(3)}, d_scores_{machine, weights()} {
    for (int l = 0; l < layers_; ++l) blocks_.emplace_back(*this);
    std::vector<float> cosine, sine;
    for (int t = 0; t < of_.context; ++t)
      for (int i = 0; i < of_.head_width / 2; ++i) {
        const double angle = t * std::pow(10000.0, -double(i) / (of_.head_width / 2));
        cosine.push_back(float(std::cos(angle)));
        sine.push_back(float(std::sin(angle)));
      }
    on_.put(cosine_.data(), cosine.data(), cosine.size());
    on_.put(sine_.data(), sine.data(), sine.size());
  }
  device_transformer(const device_transformer&) = delete;
  device_transformer& operator=(const device_transformer&) = delete;

  /// The gradients of the mean loss of `batch` rows of context + 1 bytes take the place of the previous ones; the loss,
  /// in nats per byte, is then at loss(). on_ready(i) when tensor i is final, from the last to the first.
  template <class OnReady> void loss_and_gradients(const std::vector<std::uint8_t>& rows, OnReady&& on_ready) {
    arrange(rows);
    on_.each(wide(1), kernels::embed{inputs_.data(), w_[0], residual_.data(), width()});
    for (int l = 0; l < layers_; ++l) forward(l, blocks_[std::size_t(l)]);
    norm(residual_, head_input_, head_scale_);
    product(head_input_, w_.back(), symbols, width(), scores_, false);
    on_.each(n(), kernels::cross_entropy{targets_.data(), scores_.data(), losses_.data(), int(n()), symbols});
    on_.each(1, kernels::mean_of{losses_.data(), loss_.data(), int(n())});

    gradient(head_input_, scores_, width(), symbols, g_.back());
    on_ready(w_.size() - 1);
    on_.each(wide(1), kernels::clear{d_residual_.data()});
    back_through_norm(scores_, w_.back(), symbols, head_input_, head_scale_);
    for (int l = layers_; l-- > 0;) backward(l, blocks_[std::size_t(l)], on_ready);
    on_.each(std::size_t(symbols) * std::size_t(width()),
             kernels::embed_backward{inputs_.data(), d_residual_.data(), g_[0], int(n()), width()});
    on_ready(0);
  }
  const float* loss() const { return loss_.data(); }

private:
  enum { attention_in, attention_out, mlp_in, mlp_out, tensors_per_block };

  /// What the backward pass needs of one block.
  struct block {
    explicit block(const device_transformer& of)
        : attention_input{of.on_, of.wide(1)}, attention_scale{of.on_, of.n()}, packed{of.on_, of.wide(3)},
          weights{of.on_, of.weights()}, mixed{of.on_, of.wide(1)}, mlp_input{of.on_, of.wide(1)},
          mlp_scale{of.on_, of.n()}, hidden{of.on_, of.wide(4)}, squared{of.on_, of.wide(4)} {}
    room<float> attention_input, attention_scale, packed, weights, mixed, mlp_input, mlp_scale, hidden, squared;
  };

  int width() const { return of_.width(); }
  std::size_t n() const { return std::size_t(batch_) * std::size_t(of_.context); } ///< tokens
  std::size_t wide(int times) const { return n() * std::size_t(times * width()); }
  std::size_t weights() const { return n() * std::size_t(of_.heads * of_.context); }
  std::size_t of_heads() const { return n() * std::size_t(of_.heads); }
  std::size_t half_turns() const { return std::size_t(of_.context * (of_.head_width / 2)); }
  std::size_t tensor_of(int layer, int which) const { return std::size_t(1 + layer * tensors_per_block + which); }

  void arrange(const std::vector<std::uint8_t>& rows) {
    std::vector<std::uint8_t> inputs, targets;
    const auto context = std::size_t(of_.context);
    for (std::size_t row = 0; row < rows.size(); row += context + 1)
      for (std::size_t t = 0; t < context; ++t) {
        inputs.push_back(rows[row + t]);
        targets.push_back(rows[row + t + 1]);
      }
    on_.put(inputs_.data(), inputs.data(), n());
    on_.put(targets_.data(), targets.data(), n());
  }

  // --- matrices stand row by row here, which are the transposed ones column by column -----------------

  /// out = in w, of w inner x columns; or onto what is there.
  void product(const room<float>& in, const float* w, int columns, int inner, room<float>& out, bool adds) {
    on_.gemm(false, false, columns, int(n()), inner, w, columns, in.data(), inner, adds ? 1.0f : 0.0f, out.data(),
             columns);
  }
  /// d_in = d_out w^T.
  void product_backward(const room<float>& d_out, const float* w, int columns, int inner, room<float>& d_in) {
    on_.gemm(true, false, inner, int(n()), columns, w, columns, d_out.data(), columns, 0.0f, d_in.data(), inner);
  }
  /// g = in^T d_out, rows x columns.
  void gradient(const room<float>& in, const room<float>& d_out, int rows, int columns, float* g) {
    on_.gemm(false, true, columns, rows, int(n()), d_out.data(), columns, in.data(), rows, 0.0f, g, columns);
  }
  void norm(const room<float>& in, room<float>& out, room<float>& scale) {
    on_.each(n(), kernels::rms_norm{in.data(), out.data(), scale.data(), width()});
  }
  void back_through_norm(const room<float>& d_product, const float* w, int columns, const room<float>& normed,
                         const room<float>& scale) {
    product_backward(d_product, w, columns, width(), d_normed_);
    on_.each(n(), kernels::rms_norm_backward{d_normed_.data(), normed.data(), scale.data(), d_residual_.data(),
                                             width()});
  }
  void turn(room<float>& packed, float direction) {
    on_.each(2 * of_heads(), kernels::turn{of_, cosine_.data(), sine_.data(), packed.data(), direction});
  }

  void forward(int l, block& b) {
    norm(residual_, b.attention_input, b.attention_scale);
    product(b.attention_input, w_[tensor_of(l, attention_in)], 3 * width(), width(), b.packed, false);
    turn(b.packed, 1);
    on_.each(of_heads(), kernels::attend{of_, b.packed.data(), b.weights.data(), b.mixed.data()});
    product(b.mixed, w_[tensor_of(l, attention_out)], width(), width(), residual_, true);

    norm(residual_, b.mlp_input, b.mlp_scale);
    product(b.mlp_input, w_[tensor_of(l, mlp_in)], 4 * width(), width(), b.hidden, false);
    on_.each(wide(4), kernels::rectify_and_square{b.hidden.data(), b.squared.data()});
    product(b.squared, w_[tensor_of(l, mlp_out)], width(), 4 * width(), residual_, true);
  }
  template <class OnReady> void backward(int l, block& b, OnReady& on_ready) {
    const auto final = [&](const room<float>& in, const room<float>& d_out, int rows, int columns, int which) {
      gradient(in, d_out, rows, columns, g_[tensor_of(l, which)]);
      on_ready(tensor_of(l, which));
    };
    final(b.squared, d_residual_, 4 * width(), width(), mlp_out);
    product_backward(d_residual_, w_[tensor_of(l, mlp_out)], width(), 4 * width(), d_hidden_);
    on_.each(wide(4), kernels::rectify_and_square_backward{b.hidden.data(), d_hidden_.data()});
    final(b.mlp_input, d_hidden_, width(), 4 * width(), mlp_in);
    back_through_norm(d_hidden_, w_[tensor_of(l, mlp_in)], 4 * width(), b.mlp_input, b.mlp_scale);

    final(b.mixed, d_residual_, width(), width(), attention_out);
    product_backward(d_residual_, w_[tensor_of(l, attention_out)], width(), width(), d_mixed_);
    on_.each(of_heads(), kernels::attend_backward{of_, b.packed.data(), b.weights.data(), d_mixed_.data(),
                                                  d_scores_.data(), d_packed_.data()});
    on_.each(of_heads(), kernels::attended_backward{of_, b.packed.data(), b.weights.data(), d_mixed_.data(),
                                                    d_scores_.data(), d_packed_.data()});
    turn(d_packed_, -1);
    final(b.attention_input, d_packed_, width(), 3 * width(), attention_in);
    back_through_norm(d_packed_, w_[tensor_of(l, attention_in)], 3 * width(), b.attention_input, b.attention_scale);
  }

  Machine& on_;
  std::vector<float*> w_, g_;
  kernels::heads_of of_;
  int layers_, batch_;
  room<float> cosine_, sine_;
  room<std::uint8_t> inputs_, targets_;
  room<float> residual_, head_input_, head_scale_, scores_, losses_, loss_;
  room<float> d_residual_, d_normed_, d_mixed_, d_hidden_, d_packed_, d_scores_;
  std::vector<block> blocks_;
};

} // namespace models
