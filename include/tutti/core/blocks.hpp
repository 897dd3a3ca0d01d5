// Loops that run in blocks of a constant length.
#pragma once

#include <cstddef>
#include <type_traits>

namespace tutti::detail {

/// body(begin, length) for block after block; the length of whole ones is a constant, of which g++ at -O2 vectorises
/// loops.
template <std::size_t Length, class Body>
constexpr void in_blocks(std::size_t n, Body&& body) {
  std::size_t begin = 0;
  for (; begin + Length <= n; begin += Length)
    body(begin, std::integral_constant<std::size_t, Length>{});
  if (begin < n) body(begin, n - begin);
}

} // namespace tutti::detail
