// What low-rank codecs compute with: a matrix of many rows and columns, row by row, and thin factors of few columns, each
// column of a factor in one piece. Every sum has one order, so ranks that compute the same have the same bits.
#pragma once

#include <tutti/core/blocks.hpp>
#include <tutti/core/matrix_product.hpp>
#include <tutti/core/rounded.hpp>

#include <cmath>
#include <concepts>
#include <cstddef>
#include <limits>

namespace tutti::detail {

/// body(begin, length) along a row: mostly lengths that compilers vectorise.
template <class Body>
void along(std::size_t n, Body&& body) {
  constexpr std::size_t block = 256, lanes = 16;
  const std::size_t whole = n / block * block;
  in_blocks<block>(whole, body);
  in_blocks<lanes>(n - whole, [&](std::size_t begin, auto count) { body(whole + begin, count); });
}

/// Sixteen sums side by side, then one of these.
template <std::floating_point T>
T dot(const T* a, const T* b, std::size_t n) {
  constexpr std::size_t lanes = 16;
  const rounding rounded;
  T sums[lanes] = {};
  in_blocks<lanes>(n, [&](std::size_t begin, auto count) {
    for (std::size_t i = 0; i < count; ++i) sums[i] += rounded(a[begin + i] * b[begin + i]);
  });
  T all = 0;
  for (const T one : sums) all += one;
  return all;
}

/// left = m right: column k of left are the products of the rows with column k of right. One read of m.
template <std::floating_point T>
void times(const T* m, matrix_shape is, const T* right, T* left, std::size_t rank) {
  for (std::size_t i = 0; i < is.rows; ++i)
    for (std::size_t k = 0; k < rank; ++k)
      left[k * is.rows + i] = detail::dot(m + i * is.columns, right + k * is.columns, is.columns);
}

/// right = m^T left. One read of m.
template <std::floating_point T>
void transposed_times(const T* m, matrix_shape is, const T* left, T* right, std::size_t rank) {
  const rounding rounded;
  along(is.columns, [&](std::size_t begin, auto count) {
    for (std::size_t k = 0; k < rank; ++k)
      for (std::size_t c = 0; c < count; ++c) right[k * is.columns + begin + c] = 0;
    for (std::size_t i = 0; i < is.rows; ++i) {
      const T* const row = m + i * is.columns + begin;
      for (std::size_t k = 0; k < rank; ++k) {
        const T by = left[k * is.rows + i];
        T* const sums = right + k * is.columns + begin;
        for (std::size_t c = 0; c < count; ++c) sums[c] += rounded(by * row[c]);
      }
    }
  });
}

/// use(row, begin, piece, length) with pieces of left right^T, row by row.
template <std::floating_point T, class Use>
void each_product(matrix_shape is, const T* left, const T* right, std::size_t rank, Use&& use) {
  const rounding rounded;
  for (std::size_t i = 0; i < is.rows; ++i)
    along(is.columns, [&](std::size_t begin, auto count) {
      T piece[256] = {};
      for (std::size_t k = 0; k < rank; ++k) {
        const T by = left[k * is.rows + i];
        const T* const column = right + k * is.columns + begin;
        for (std::size_t c = 0; c < count; ++c) piece[c] += rounded(by * column[c]);
      }
      use(i, begin, piece, count);
    });
}

/// Columns of n values each become orthogonal to each other and of length 1, one after the other (Gram-Schmidt, twice, as
/// once leaves what rounding has left). One that is, as far as its digits go, a sum of those before it becomes zeros; one
/// that holds a NaN or an infinity, NaNs.
template <std::floating_point T>
void orthogonalize(T* columns, std::size_t n, std::size_t rank) {
  const rounding rounded;
  const auto product = [&](const T* a, const T* b) {
    double all = 0;
    for (std::size_t i = 0; i < n; ++i) all += rounded(double(a[i]) * double(b[i]));
    return all;
  };
  for (std::size_t k = 0; k < rank; ++k) {
    T* const one = columns + k * n;
    const double given = std::sqrt(product(one, one));
    for (int pass = 0; pass < 2; ++pass)
      for (std::size_t j = 0; j < k; ++j) {
        const T* const before = columns + j * n;
        const double share = product(one, before);
        for (std::size_t i = 0; i < n; ++i) one[i] = T(double(one[i]) - rounded(share * double(before[i])));
      }
    const double left = std::sqrt(product(one, one));
    const bool is_nothing = std::isfinite(left) && left <= given * 8 * double(std::numeric_limits<T>::epsilon());
    for (std::size_t i = 0; i < n; ++i) one[i] = is_nothing ? T(0) : T(double(one[i]) / left);
  }
}

} // namespace tutti::detail
