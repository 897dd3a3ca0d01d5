// Products that are rounded before they are added, so that -march=native cannot change bits.
#pragma once

#include <tutti/core/config.hpp>

#include <concepts>
#include <cstdint>

namespace tutti {

/// `rounded(a * b) + c` has two roundings, as it is written. Compilers fuse the two where the
/// machine has an instruction for it - in the vector part of a loop, say, and not in its tail, so
/// that a value's bits would depend on where its key range begins.
///
///   const rounding rounded;
///   for (...) parameters[i] -= rounded(rate * gradients[i]);
///
/// Costs an exclusive-or with a zero that the compiler cannot see through, and nothing where the
/// target has no such instruction; loops are vectorised (adam, 4,096 floats, -O3 -march=native:
/// .19 ns a value against .18). The lighter means do not hold: g++ 12 forgets
/// __builtin_assoc_barrier when it vectorises, clang 14 its pragma under -ffp-contract=fast, and an
/// attribute of the function does not reach the lambdas in it. In CUDA kernels it costs an addition of -0, which says how
/// it rounds, and so is fused with nothing.
class rounding {
public:
  TUTTI_HD rounding() noexcept {
#if TUTTI_MAY_FUSE && !defined(__CUDA_ARCH__)
    asm("" : "+r"(zero32_));
    asm("" : "+r"(zero64_));
#endif
  }

  template <std::floating_point T>
  TUTTI_HD T operator()(T x) const noexcept {
#if defined(__CUDA_ARCH__)
    if constexpr (sizeof(T) == 4)
      return __fadd_rn(x, -0.0f);
    else
      return __dadd_rn(x, -0.0);
#else
    if constexpr (sizeof(T) == 4)
      return __builtin_bit_cast(T, __builtin_bit_cast(std::uint32_t, x) ^ zero32_);
    else if constexpr (sizeof(T) == 8)
      return __builtin_bit_cast(T, __builtin_bit_cast(std::uint64_t, x) ^ zero64_);
    else
      return x;
#endif
  }

private:
  std::uint32_t zero32_ = 0;
  std::uint64_t zero64_ = 0;
};

} // namespace tutti
