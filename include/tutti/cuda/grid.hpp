// How many blocks a launch has.
#pragma once

#include <tutti/cuda/tuning.hpp>

#include <cstddef>

namespace tutti::cuda::detail {

/// As many blocks as `work` lanes need, at most tuning::most_blocks.
inline unsigned blocks_for(std::size_t work) {
  const std::size_t blocks = work / tuning::lanes + (work % tuning::lanes != 0);
  return unsigned(blocks < tuning::most_blocks ? blocks : tuning::most_blocks);
}

/// For n values that are moved in packets behind the first `head`, and one by one before and after them.
inline unsigned packet_blocks(std::size_t n, std::size_t head, std::size_t length) {
  if (head == n) return detail::blocks_for(n);
  return detail::blocks_for((n - head) / length + length);
}

} // namespace tutti::cuda::detail
