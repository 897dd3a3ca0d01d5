// Matrices: which tensors an optimizer of whole matrices moves, and who orthonormalises which.
#pragma once

#include <tutti/core/matrix_product.hpp>
#include <tutti/core/tensor.hpp>
#include <tutti/training/options.hpp>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <numeric>
#include <span>
#include <vector>

namespace tutti::detail {

struct owned_matrix {
  matrix_shape shape = {}; ///< the first dimension by all others; of what is no matrix, nothing
  int owner = 0;

  bool is_one() const noexcept { return shape.size() > 0; }
  /// Of orthonormalising it, but for a factor.
  std::uint64_t cost() const noexcept {
    const std::uint64_t n = (std::min)(shape.rows, shape.columns), m = (std::max)(shape.rows, shape.columns);
    return n * n * (2 * m + n);
  }
};

/// Each to the rank with the least to do so far, the most expensive one first (R. L. Graham, "Bounds on multiprocessing
/// timing anomalies", 1969: at most 4/3 of the best). The same on every rank.
inline void share_out(std::span<owned_matrix> matrices, int ranks) {
  std::vector<std::size_t> order(matrices.size());
  std::iota(order.begin(), order.end(), std::size_t{0});
  std::sort(order.begin(), order.end(), [&](std::size_t a, std::size_t b) {
    const std::uint64_t of_a = matrices[a].cost(), of_b = matrices[b].cost();
    return of_a != of_b ? of_a > of_b : a < b;
  });
  std::vector<std::uint64_t> load(static_cast<std::size_t>(ranks));
  for (const std::size_t k : order) {
    if (!matrices[k].is_one()) continue;
    const auto least = std::min_element(load.begin(), load.end());
    matrices[k].owner = int(least - load.begin());
    *least += matrices[k].cost();
  }
}

/// Of each tensor; those that have the role of one are shared out among so many ranks.
template <class T>
std::vector<owned_matrix> matrices_of(std::span<const tensor<T>> tensors, std::span<const parameter_role> roles,
                                      int ranks) {
  std::vector<owned_matrix> all(tensors.size());
  for (std::size_t k = 0; k < tensors.size(); ++k)
    if (roles[k] == parameter_role::matrix && !tensors[k].values.empty()) {
      const std::size_t rows = std::size_t(tensors[k].shape[0]);
      all[k].shape = {rows, tensors[k].values.size() / rows};
    }
  detail::share_out(all, ranks);
  return all;
}

} // namespace tutti::detail
