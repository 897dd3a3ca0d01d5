// What low-rank codecs compute with: a matrix of many rows and columns, row by row, and thin factors of few columns, each
// column of a factor in one piece. Every sum has one order, so ranks that compute the same have the same bits.
#pragma once

#include <tutti/core/blocks.hpp>
#include <tutti/core/matrix_product.hpp>
#include <tutti/core/rounded.hpp>
#include <tutti/core/widely.hpp>

#include <algorithm>
#include <array>
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

/// left = m right: column k of left are the products of the rows with column k of right. One read of m; before it
/// reads row i it calls arrives(i), which may still write there.
template <std::floating_point T, class Arrives>
void times(const T* m, matrix_shape is, const T* right, T* left, std::size_t rank, Arrives&& arrives) {
  detail::widely([&] {
    for (std::size_t i = 0; i < is.rows; ++i) {
      arrives(i);
      for (std::size_t k = 0; k < rank; ++k)
        left[k * is.rows + i] = detail::dot(m + i * is.columns, right + k * is.columns, is.columns);
    }
  });
}

/// Adds to `n` values of every column of right, from `begin` on, what `Rows` rows from `first` on give, one row after the
/// other.
template <std::size_t Rows, std::floating_point T>
void add_rows(const T* m, matrix_shape is, std::size_t first, const T* left, T* right, std::size_t rank, std::size_t begin,
              std::size_t n) {
  const rounding rounded;
  along(n, [&](std::size_t here, auto count) {
    const T* const piece = m + first * is.columns + begin + here;
    for (std::size_t k = 0; k < rank; ++k) {
      const T* const by = left + k * is.rows + first;
      T* const to = right + k * is.columns + begin + here;
      T sums[256];
      for (std::size_t c = 0; c < count; ++c) sums[c] = to[c];
      for (std::size_t r = 0; r < Rows; ++r)
        for (std::size_t c = 0; c < count; ++c) sums[c] += rounded(by[r] * piece[r * is.columns + c]);
      for (std::size_t c = 0; c < count; ++c) to[c] = sums[c];
    }
  });
}

/// right = m^T left. One read of m, in stretches of a row whose sums stay in the second cache.
template <std::floating_point T>
void transposed_times(const T* m, matrix_shape is, const T* left, T* right, std::size_t rank) {
  constexpr std::size_t panel = 4096, rows = 4;
  std::fill_n(right, is.columns * rank, T(0));
  detail::widely([&] {
    for (std::size_t begin = 0; begin < is.columns; begin += panel) {
      const std::size_t n = (std::min)(panel, is.columns - begin);
      std::size_t i = 0;
      for (; i + rows <= is.rows; i += rows) detail::add_rows<rows>(m, is, i, left, right, rank, begin, n);
      for (; i < is.rows; ++i) detail::add_rows<1>(m, is, i, left, right, rank, begin, n);
    }
  });
}

/// use(row, begin, pieces, length) with pieces of left right^T for each of `rights`, row by row.
template <std::floating_point T, std::size_t N, class Use>
void each_product(matrix_shape is, const T* left, const std::array<const T*, N>& rights, std::size_t rank, Use&& use) {
  const rounding rounded;
  detail::widely([&] {
    for (std::size_t i = 0; i < is.rows; ++i)
      along(is.columns, [&](std::size_t begin, auto count) {
        T pieces[N][256];
        for (auto& piece : pieces)
          for (std::size_t c = 0; c < count; ++c) piece[c] = 0;
        for (std::size_t k = 0; k < rank; ++k) {
          const T by = left[k * is.rows + i];
          for (std::size_t one = 0; one < N; ++one) {
            const T* const column = rights[one] + k * is.columns + begin;
            for (std::size_t c = 0; c < count; ++c) pieces[one][c] += rounded(by * column[c]);
          }
        }
        use(i, begin, pieces, count);
      });
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
