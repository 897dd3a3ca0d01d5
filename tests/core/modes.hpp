// Modes of a thread's arithmetic that a library may have set, as tests set them.
#pragma once

#include <cfenv>
#include <string>
#include <vector>

#if defined(__SSE2__)
#include <xmmintrin.h>
#endif

namespace modes {

struct mode {
  std::string name; ///< as tutti names it
  int rounding = FE_TONEAREST;
  unsigned flushes = 0; ///< bits of MXCSR
};

/// Those of this machine.
inline std::vector<mode> all() {
  return {
#if defined(__SSE2__)
      {.name = "flush-to-zero", .flushes = 0x8000},
      {.name = "denormals-are-zero", .flushes = 0x0040},
      {.name = "flush-to-zero and denormals-are-zero", .flushes = 0x8040},
#endif
      {.name = "rounding upward", .rounding = FE_UPWARD},
      {.name = "rounding downward", .rounding = FE_DOWNWARD},
      {.name = "rounding towards zero", .rounding = FE_TOWARDZERO}};
}

inline void set(const mode& m) {
  std::fesetround(m.rounding);
#if defined(__SSE2__)
  _mm_setcsr(_mm_getcsr() | m.flushes);
#endif
}

/// While it lives, on the thread that makes it.
class scope {
public:
  explicit scope(const mode& m) {
    std::fegetenv(&before_);
    set(m);
  }
  ~scope() { std::fesetenv(&before_); }
  scope(const scope&) = delete;
  scope& operator=(const scope&) = delete;

private:
  std::fenv_t before_;
};

} // namespace modes
