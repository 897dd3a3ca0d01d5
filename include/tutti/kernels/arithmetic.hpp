// Operations that round as they are written, on the host and in CUDA kernels: none is fused with another.
#pragma once

#include <tutti/core/rounded.hpp>

#include <cmath>

namespace tutti::detail::kernels {

TUTTI_HD inline float add(float a, float b) {
#if defined(__CUDA_ARCH__)
  return __fadd_rn(a, b);
#else
  return a + b;
#endif
}
TUTTI_HD inline double add(double a, double b) {
#if defined(__CUDA_ARCH__)
  return __dadd_rn(a, b);
#else
  return a + b;
#endif
}
/// A product of its own, whatever it is added to.
TUTTI_HD inline float multiply(const rounding& rounded, float a, float b) {
#if defined(__CUDA_ARCH__)
  return __fmul_rn(a, b);
#else
  return rounded(a * b);
#endif
}
TUTTI_HD inline double multiply(const rounding& rounded, double a, double b) {
#if defined(__CUDA_ARCH__)
  return __dmul_rn(a, b);
#else
  return rounded(a * b);
#endif
}
TUTTI_HD inline float divide(float a, float b) {
#if defined(__CUDA_ARCH__)
  return __fdiv_rn(a, b);
#else
  return a / b;
#endif
}
TUTTI_HD inline double divide(double a, double b) {
#if defined(__CUDA_ARCH__)
  return __ddiv_rn(a, b);
#else
  return a / b;
#endif
}
TUTTI_HD inline double root(double a) {
#if defined(__CUDA_ARCH__)
  return __dsqrt_rn(a);
#else
  return std::sqrt(a);
#endif
}

} // namespace tutti::detail::kernels
