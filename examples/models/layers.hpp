// The pieces the example models are made of. Matrices are row-major, one row per token or example.
// Only matrix products go through Eigen; sums and exponentials are plain loops over fixed lanes,
// because Eigen's sum() and exp() change bits with the alignment of the data.
#pragma once

#include <Eigen/Core>

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <type_traits>

namespace models {

/// A row-major matrix over memory of the caller; `stride` values from one row to the next.
template <class T> auto matrix(T* data, int rows, int columns, int stride) {
  using plain =
      Eigen::Matrix<std::remove_const_t<T>, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;
  using mapped = std::conditional_t<std::is_const_v<T>, const plain, plain>;
  return Eigen::Map<mapped, Eigen::Unaligned, Eigen::OuterStride<>>(data, rows, columns,
                                                                    Eigen::OuterStride<>(stride));
}

template <class T> auto matrix(T* data, int rows, int columns) {
  return matrix(data, rows, columns, columns);
}

inline constexpr int lanes = 16;

/// Sixteen partial sums, added pairwise: vectorisable without permission to re-associate.
template <class T> T sum_lanes(T (&partial)[lanes]) {
  for (int width = lanes / 2; width > 0; width /= 2) {
    for (int l = 0; l < width; ++l) {
      partial[l] += partial[l + width];
    }
  }
  return partial[0];
}

template <class T> T dot(const T* a, const T* b, int n) {
  T partial[lanes] = {};
  int i = 0;
  for (; i + lanes <= n; i += lanes) {
    for (int l = 0; l < lanes; ++l) {
      partial[l] += a[i + l] * b[i + l];
    }
  }
  for (int l = 0; i + l < n; ++l) {
    partial[l] += a[i + l] * b[i + l];
  }
  return sum_lanes(partial);
}

template <class T> T sum(const T* a, int n) {
  T partial[lanes] = {};
  int i = 0;
  for (; i + lanes <= n; i += lanes) {
    for (int l = 0; l < lanes; ++l) {
      partial[l] += a[i + l];
    }
  }
  for (int l = 0; i + l < n; ++l) {
    partial[l] += a[i + l];
  }
  return sum_lanes(partial);
}

template <class T> T largest(const T* a, int n) {
  T partial[lanes];
  for (T& value : partial) {
    value = a[0];
  }
  int i = 0;
  for (; i + lanes <= n; i += lanes) {
    for (int l = 0; l < lanes; ++l) {
      partial[l] = a[i + l] > partial[l] ? a[i + l] : partial[l];
    }
  }
  for (; i < n; ++i) {
    partial[0] = a[i] > partial[0] ? a[i] : partial[0];
  }
  return *std::max_element(partial, partial + lanes);
}

/// e^x for x <= 0, relative error below 2e-7, and zero below -87: 2^k times a polynomial, without a
/// branch, so that loops over it vectorise (libm's expf does not without -ffast-math).
inline float exponential(float x) {
  constexpr float to_integer = 12582912.0f; // 1.5 * 2^23: the sum's last bits are round(x / ln 2)
  const float bounded = x < -87.0f ? -87.0f : x;
  const float shifted = bounded * 1.44269504f + to_integer;
  const float k = shifted - to_integer;
  const float r = (bounded - k * 0.693359375f) + k * 2.12194440e-4f;
  float p = 1.9875691500e-4f;
  p = p * r + 1.3981999507e-3f;
  p = p * r + 8.3334519073e-3f;
  p = p * r + 4.1665795894e-2f;
  p = p * r + 1.6666665459e-1f;
  p = p * r + 5.0000001201e-1f;
  p = p * r * r + r + 1.0f;
  const auto exponent = (std::bit_cast<std::int32_t>(shifted) - 0x4b400000 + 127) << 23;
  return x < -87.0f ? 0.0f : p * std::bit_cast<float>(exponent);
}

inline double exponential(double x) {
  return std::exp(x);
}

/// a[i] becomes e^(scale * a[i]) over their sum. Returns log(sum of e^(scale * a[i])).
template <class T> T softmax(T* a, int n, T scale = T{1}) {
  const T top = largest(a, n);
  for (int i = 0; i < n; ++i) {
    a[i] = exponential(scale * (a[i] - top));
  }
  const T total = sum(a, n);
  const T inverse = T{1} / total;
  for (int i = 0; i < n; ++i) {
    a[i] *= inverse;
  }
  return scale * top + std::log(total);
}

/// Row i of `logits` becomes the gradient of the mean loss. Returns the mean loss in nats.
template <class T, class Label>
double softmax_cross_entropy(T* logits, const Label* labels, int rows, int classes) {
  const T weight = T{1} / static_cast<T>(rows);
  double loss = 0;
  for (int i = 0; i < rows; ++i) {
    T* row = logits + static_cast<std::size_t>(i) * static_cast<std::size_t>(classes);
    const T wanted = row[labels[i]];
    loss += static_cast<double>(softmax(row, classes) - wanted);
    row[labels[i]] -= T{1};
    for (int c = 0; c < classes; ++c) {
      row[c] *= weight;
    }
  }
  return loss / rows;
}

/// y = x / rms(x), row by row (Zhang and Sennrich 2019), without a gain: the weights behind it have
/// one. `inverse_rms` holds one value per row and, with y, is all the backward pass needs.
template <class T> void rms_norm(const T* x, T* y, T* inverse_rms, int rows, int columns) {
  for (int i = 0; i < rows; ++i, x += columns, y += columns) {
    const T mean_square = dot(x, x, columns) / static_cast<T>(columns);
    const T inverse = T{1} / std::sqrt(mean_square + T(1e-6));
    for (int j = 0; j < columns; ++j) {
      y[j] = x[j] * inverse;
    }
    inverse_rms[i] = inverse;
  }
}

/// Adds the gradient with respect to x onto `dx`.
template <class T>
void rms_norm_backward(const T* dy, const T* y, const T* inverse_rms, T* dx, int rows,
                       int columns) {
  for (int i = 0; i < rows; ++i, dy += columns, y += columns, dx += columns) {
    const T along = dot(dy, y, columns) / static_cast<T>(columns);
    const T inverse = inverse_rms[i];
    for (int j = 0; j < columns; ++j) {
      dx[j] += inverse * (dy[j] - along * y[j]);
    }
  }
}

} // namespace models
