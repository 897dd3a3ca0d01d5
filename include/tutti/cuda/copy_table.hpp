// Which bytes many copies within a device move, for whoever makes them in one launch.
#pragma once

#include <cstddef>

namespace tutti::cuda::detail {

/// Copies in device memory: sizes[k] bytes from from[k] to to[k], all apart from each other.
struct copy_table {
  const void* const* from;
  void* const* to;
  const std::size_t* sizes;
  std::size_t count;
};

} // namespace tutti::cuda::detail
