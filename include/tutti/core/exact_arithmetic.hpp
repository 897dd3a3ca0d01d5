// Refuses a build in which floating-point arithmetic is not what the source says.
#pragma once

#include <tutti/core/error.hpp>

namespace tutti::detail {

/// Whether this translation unit was compiled to reassociate sums (-ffast-math and its parts, which
/// define no reliable macro) or to flush subnormal numbers.
inline bool arithmetic_is_exact() {
  volatile float large = 1e8f, one = 1.0f, tiny = 1e-40f;
  const float a = large, b = one;
  const float lost = (a + b) - a; // 0 when rounded as written, 1 when reassociated
  const float kept = tiny * one;
  volatile float nan = 0.0f;
  nan = nan / nan;
  return lost == 0.0f && kept != 0.0f && !(nan == nan);
}

/// Throws error_code::unsafe_build. Called once where ranks begin.
inline void require_exact_arithmetic() {
  if (!arithmetic_is_exact())
    throw error{{.code = error_code::unsafe_build,
                 .detail = "this program was compiled to reassociate floating-point sums or to flush "
                           "subnormals, so ranks could end with different bits - drop -ffast-math, "
                           "-Ofast, -funsafe-math-optimizations or -fassociative-math"}};
}

} // namespace tutti::detail
