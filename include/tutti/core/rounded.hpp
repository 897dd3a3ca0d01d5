// Products that are rounded before they are added, so that -march=native cannot change bits.
#pragma once

#include <tutti/core/config.hpp>

namespace tutti {

/// Returns x. In `rounded(a * b) + c` the product is rounded to its type before the addition: g++ would
/// otherwise fuse the two where the machine has an instruction for it. The function around it begins
/// with TUTTI_UNFUSED for clang. Loops with it are vectorised. (Not an attribute of the function: g++
/// inlines nothing into functions with optimisation attributes of their own.)
template <class T>
constexpr T rounded(T x) noexcept {
#if defined(__GNUC__) && !defined(__clang__) && !defined(__CUDACC__)
#if __GNUC__ >= 12
  return __builtin_assoc_barrier(x);
#endif
#endif
  return x;
}

} // namespace tutti
