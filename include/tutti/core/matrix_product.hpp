// Products of whole matrices, row by row in memory. Every sum has one order, so whoever computes the same has the same
// bits, on every machine.
#pragma once

#include <tutti/core/rounded.hpp>

#include <algorithm>
#include <concepts>
#include <cstddef>
#include <vector>

namespace tutti {

struct matrix_shape {
  std::size_t rows = 0, columns = 0;

  constexpr std::size_t size() const noexcept { return rows * columns; }
};

namespace detail {

/// to = from^T, in tiles that fit into the caches.
template <class T>
void transpose(const T* from, matrix_shape is, T* to) {
  constexpr std::size_t tile = 32;
  for (std::size_t r = 0; r < is.rows; r += tile)
    for (std::size_t c = 0; c < is.columns; c += tile)
      for (std::size_t i = r; i < (std::min)(r + tile, is.rows); ++i)
        for (std::size_t j = c; j < (std::min)(c + tile, is.columns); ++j) to[j * is.rows + i] = from[i * is.columns + j];
}

/// `Rows` rows of a times a panel of 16 columns, into c, of which `columns` are there.
template <std::size_t Rows, std::floating_point T>
void multiply_panel(const T* a, const T* panel, T* c, std::size_t depth, std::size_t stride, std::size_t columns) {
  constexpr std::size_t lanes = 16;
  const rounding rounded;
  T sums[Rows][lanes] = {};
  for (std::size_t p = 0; p < depth; ++p)
    for (std::size_t r = 0; r < Rows; ++r)
      for (std::size_t l = 0; l < lanes; ++l) sums[r][l] += rounded(a[r * depth + p] * panel[p * lanes + l]);
  for (std::size_t r = 0; r < Rows; ++r) std::copy_n(sums[r], columns, c + r * stride);
}

/// c = a b: m rows of a, `depth` long, times n columns of b. c is other memory.
template <std::floating_point T>
void multiply(const T* a, const T* b, T* c, std::size_t m, std::size_t depth, std::size_t n) {
  constexpr std::size_t lanes = 16, rows = 4;
  std::vector<T> panel(depth * lanes);
  for (std::size_t j = 0; j < n; j += lanes) {
    const std::size_t columns = (std::min)(lanes, n - j);
    for (std::size_t p = 0; p < depth; ++p) std::copy_n(b + p * n + j, columns, panel.data() + p * lanes);
    std::size_t i = 0;
    for (; i + rows <= m; i += rows)
      detail::multiply_panel<rows>(a + i * depth, panel.data(), c + i * n + j, depth, n, columns);
    for (; i < m; ++i) detail::multiply_panel<1>(a + i * depth, panel.data(), c + i * n + j, depth, n, columns);
  }
}

} // namespace detail
} // namespace tutti
