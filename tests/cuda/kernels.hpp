// What tests/cuda/kernels.cu offers to the tests: kernels behind plain functions.
#pragma once

#include <cstddef>
#include <vector>

namespace kernels {

/// Reduces on the host, and where there is a GPU on the device; inputs and output start `offset`
/// elements past a 16-byte boundary.
template <class T>
struct reduction {
  std::vector<std::vector<T>> in;
  std::size_t offset = 0;
  double total = 1;
  bool uneven = false; ///< every second input starts an element further on

  std::vector<T> on_host() const;
  std::vector<T> on_device() const;
};

} // namespace kernels
