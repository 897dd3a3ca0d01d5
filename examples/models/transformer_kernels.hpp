// What a GPU does of a transformer (transformer.hpp) beside matrix products: a function of an index each, for a thread.
// They are the host's as well, where tests compare the model with the one that it is to equal.
#pragma once

#include <tutti/core/config.hpp>

#include <cmath>
#include <cstddef>
#include <cstdint>

namespace models::kernels {

/// Of value (token, column): the token's row of the table.
struct embed {
  const std::uint8_t* inputs;
  const float* table;
  float* residual;
  int width;

  TUTTI_HD void operator()(std::size_t i) const {
    const std::size_t w = std::size_t(width);
    residual[i] = table[inputs[i / w] * w + i % w];
  }
};
/// Of value (symbol, column): the sum over the tokens that are that symbol, from the first to the last.
struct embed_backward {
  const std::uint8_t* inputs;
  const float* d_residual;
  float* gradient;
  int tokens, width;

  TUTTI_HD void operator()(std::size_t i) const {
    const std::size_t w = std::size_t(width);
    float sum = 0;
    for (std::size_t t = 0; t < std::size_t(tokens); ++t)
      if (inputs[t] == i / w) sum += d_residual[t * w + i % w];
    gradient[i] = sum;
  }
};

/// Of a token: y = x / rms(x).
struct rms_norm {
  const float* x;
  float *y, *inverse_rms;
  int width;

  TUTTI_HD void operator()(std::size_t token) const {
    const float* const from = x + token * std::size_t(width);
    float* const to = y + token * std::size_t(width);
    float squares = 0;
    for (int j = 0; j < width; ++j) squares += from[j] * from[j];
    const float inverse = 1 / std::sqrt(squares / float(width) + 1e-6f);
    for (int j = 0; j < width; ++j) to[j] = from[j] * inverse;
    inverse_rms[token] = inverse;
  }
};
/// Adds the gradient with respect to x onto d_x.
struct rms_norm_backward {
  const float *d_y, *y, *inverse_rms;
  float* d_x;
  int width;

  TUTTI_HD void operator()(std::size_t token) const {
    const std::size_t at = token * std::size_t(width);
    float along = 0;
    for (int j = 0; j < width; ++j) along += d_y[at + std::size_t(j)] * y[at + std::size_t(j)];
    along /= float(width);
    for (std::size_t k = at; k < at + std::size_t(width); ++k) d_x[k] += inverse_rms[token] * (d_y[k] - along * y[k]);
  }
};

/// Queries, keys and values of a token stand one behind the other, each of heads one behind the other.
struct heads_of {
  int context, heads, head_width;

  TUTTI_HD int width() const { return heads * head_width; }
  /// Of token t of a row; part 0, 1, 2 are queries, keys, values.
  TUTTI_HD std::size_t packed(std::size_t row, int t, int head, int part) const {
    const std::size_t token = row * std::size_t(context) + std::size_t(t);
    return token * std::size_t(3 * width()) + std::size_t(part * width() + head * head_width);
  }
  TUTTI_HD std::size_t mixed(std::size_t row, int t, int head) const {
    return (row * std::size_t(context) + std::size_t(t)) * std::size_t(width()) + std::size_t(head * head_width);
  }
  /// Where what token t takes of the others begins.
  TUTTI_HD std::size_t weights(std::size_t row, int t, int head) const {
    return ((row * std::size_t(heads) + std::size_t(head)) * std::size_t(context) + std::size_t(t)) *
           std::size_t(context);
  }
  TUTTI_HD static float dot(const float* a, const float* b, int n) {
    float sum = 0;
    for (int i = 0; i < n; ++i) sum += a[i] * b[i];
    return sum;
  }
};
/// An index as (row, head, token).
struct token_of_head {
  std::size_t row;
  int head, t;

  TUTTI_HD token_of_head(std::size_t i, const heads_of& of)
      : row{i / std::size_t(of.context * of.heads)}, head{int(i / std::size_t(of.context)) % of.heads},
        t{int(i % std::size_t(of.context))} {}
};

/// Of (token, one of its heads of queries and keys): the halves are turned by an angle of the position; direction -1 is
/// the inverse, and the backward pass.
struct turn {
  heads_of of;
  const float *cosine, *sine; ///< context x half a head
  float* packed;
  float direction;

  TUTTI_HD void operator()(std::size_t i) const {
    const int half = of.head_width / 2;
    const std::size_t token = i / std::size_t(2 * of.heads), head = i % std::size_t(2 * of.heads);
    const std::size_t at = token % std::size_t(of.context) * std::size_t(half);
    float* const values = packed + token * std::size_t(3 * of.width()) + head * std::size_t(of.head_width);
    for (int k = 0; k < half; ++k) {
      const float c = cosine[at + std::size_t(k)], s = direction * sine[at + std::size_t(k)];
      const float real = values[k], imaginary = values[k + half];
      values[k] = real * c - imaginary * s;
      values[k + half] = imaginary * c + real * s;
    }
  }
};
/// Of (row, head, token): weights = softmax(q k^T / sqrt(head width)) over the tokens so far, mixed = weights v.
struct attend {
  heads_of of;
  const float* packed;
  float *weights, *mixed;

  TUTTI_HD void operator()(std::size_t i) const {
    const token_of_head at{i, of};
    const float scale = 1 / std::sqrt(float(of.head_width));
    const float* const query = packed + of.packed(at.row, at.t, at.head, 0);
    float* const w = weights + of.weights(at.row, at.t, at.head);
    float most = -INFINITY, total = 0;
    for (int s = 0; s <= at.t; ++s) {
      w[s] = scale * heads_of::dot(query, packed + of.packed(at.row, s, at.head, 1), of.head_width);
      most = w[s] > most ? w[s] : most;
    }
    for (int s = 0; s <= at.t; ++s) total += w[s] = std::exp(w[s] - most);
    float* const to = mixed + of.mixed(at.row, at.t, at.head);
    for (int j = 0; j < of.head_width; ++j) to[j] = 0;
    for (int s = 0; s <= at.t; ++s) {
      w[s] /= total;
      const float* const value = packed + of.packed(at.row, s, at.head, 2);
      for (int j = 0; j < of.head_width; ++j) to[j] += w[s] * value[j];
    }
  }
};
/// Of (row, head, token): the gradients of its scores, and of its query.
struct attend_backward {
  heads_of of;
  const float *packed, *weights, *d_mixed;
  float *d_scores, *d_packed;

  TUTTI_HD void operator()(std::size_t i) const {
    const token_of_head at{i, of};
    const float scale = 1 / std::sqrt(float(of.head_width));
    const float* const d = d_mixed + of.mixed(at.row, at.t, at.head);
    const float* const w = weights + of.weights(at.row, at.t, at.head);
    float* const scores = d_scores + of.weights(at.row, at.t, at.head);
    float along = 0;
    for (int s = 0; s <= at.t; ++s) {
      scores[s] = heads_of::dot(d, packed + of.packed(at.row, s, at.head, 2), of.head_width);
      along += w[s] * scores[s];
    }
    float* const d_query = d_packed + of.packed(at.row, at.t, at.head, 0);
    for (int j = 0; j < of.head_width; ++j) d_query[j] = 0;
    for (int s = 0; s <= at.t; ++s) {
      scores[s] = scale * w[s] * (scores[s] - along);
      const float* const key = packed + of.packed(at.row, s, at.head, 1);
      for (int j = 0; j < of.head_width; ++j) d_query[j] += scores[s] * key[j];
    }
  }
};
/// Of (row, head, token), behind that: the gradients of its key and value, which later tokens have looked at.
struct attended_backward {
  heads_of of;
  const float *packed, *weights, *d_mixed, *d_scores;
  float* d_packed;

  TUTTI_HD void operator()(std::size_t i) const {
    const token_of_head at{i, of};
    float* const d_key = d_packed + of.packed(at.row, at.t, at.head, 1);
    float* const d_value = d_packed + of.packed(at.row, at.t, at.head, 2);
    for (int j = 0; j < of.head_width; ++j) d_key[j] = d_value[j] = 0;
    for (int t = at.t; t < of.context; ++t) {
      const std::size_t by = of.weights(at.row, t, at.head) + std::size_t(at.t);
      const float* const query = packed + of.packed(at.row, t, at.head, 0);
      const float* const d = d_mixed + of.mixed(at.row, t, at.head);
      for (int j = 0; j < of.head_width; ++j) {
        d_key[j] += d_scores[by] * query[j];
        d_value[j] += weights[by] * d[j];
      }
    }
  }
};

/// Of a value of the perceptron's hidden layer.
struct rectify_and_square {
  float *hidden, *squared;

  TUTTI_HD void operator()(std::size_t i) const {
    hidden[i] = hidden[i] > 0 ? hidden[i] : 0;
    squared[i] = hidden[i] * hidden[i];
  }
};
struct rectify_and_square_backward {
  const float* hidden;
  float* d;

  TUTTI_HD void operator()(std::size_t i) const { d[i] *= 2 * hidden[i]; }
};

/// Of a token: its scores become the gradient of the mean loss, and its loss in nats is kept.
struct cross_entropy {
  const std::uint8_t* targets;
  float *scores, *losses;
  int tokens, symbols;

  TUTTI_HD void operator()(std::size_t token) const {
    float* const z = scores + token * std::size_t(symbols);
    const float wanted = z[targets[token]];
    float most = z[0], total = 0;
    for (int c = 0; c < symbols; ++c) most = z[c] > most ? z[c] : most;
    for (int c = 0; c < symbols; ++c) total += z[c] = std::exp(z[c] - most);
    losses[token] = most + std::log(total) - wanted;
    for (int c = 0; c < symbols; ++c) z[c] = (z[c] / total - (c == targets[token] ? 1.0f : 0.0f)) / float(tokens);
  }
};
/// Of index 0: the mean, added up from the first to the last.
struct mean_of {
  const float* values;
  float* mean;
  int n;

  TUTTI_HD void operator()(std::size_t) const {
    float sum = 0;
    for (int i = 0; i < n; ++i) sum += values[i];
    *mean = sum / float(n);
  }
};
/// Of a value.
struct clear {
  float* values;

  TUTTI_HD void operator()(std::size_t i) const { values[i] = 0; }
};

} // namespace models::kernels
