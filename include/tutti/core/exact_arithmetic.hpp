// Arithmetic that is what the source says: a build in which it is not is refused, and so is a thread
// that begins in a mode which changes it; a mode that is set later is set aside while tutti computes.
#pragma once

#include <tutti/core/error.hpp>

#include <cfenv>
#include <cstdint>
#include <string>

namespace tutti::detail {

/// How the calling thread rounds, and whether it keeps subnormal numbers: the bits of its control
/// register that change results, 0 when it computes as the source says. Every thread has a register of
/// its own, and begins with that of the thread that has started it. Libraries set it behind the back of
/// those who call or load them.
class arithmetic_mode {
public:
#if defined(__SSE_MATH__)
  using word = std::uint32_t;
  static word now() noexcept { return control() & (flushes | zeroes | rounding); }
  static void set(word mode) noexcept {
    const word all = (control() & ~(flushes | zeroes | rounding)) | mode;
    asm volatile("ldmxcsr %0" : : "m"(all) : "memory");
  }

private:
  static constexpr word flushes = 0x8000, zeroes = 0x0040, rounding = 0x6000;
  static constexpr word up = 0x4000, down = 0x2000;
  static word control() noexcept {
    word all;
    asm volatile("stmxcsr %0" : "=m"(all));
    return all;
  }
#elif defined(__aarch64__)
  using word = std::uint64_t;
  static word now() noexcept { return control() & (flushes | zeroes | rounding | other); }
  static void set(word mode) noexcept {
    const word all = (control() & ~(flushes | zeroes | rounding | other)) | mode;
    asm volatile("msr fpcr, %0" : : "r"(all) : "memory");
  }

private:
  static constexpr word flushes = (1u << 24) | (1u << 19), zeroes = 1u << 0, rounding = 3u << 22;
  static constexpr word up = 1u << 22, down = 2u << 22;
  static constexpr word other = (1u << 25) | (1u << 1) | (1u << 2); // NaNs and products of their own
  static word control() noexcept {
    word all;
    asm volatile("mrs %0, fpcr" : "=r"(all));
    return all;
  }
#else // x87 and others: how it rounds; whether subnormal numbers are kept shows in what is computed
  using word = int;
  static word now() noexcept { return std::fegetround() ^ FE_TONEAREST; }
  static void set(word mode) noexcept { std::fesetround(mode ^ FE_TONEAREST); }

private:
  static constexpr word flushes = 0, zeroes = 0, rounding = ~0;
#ifdef FE_UPWARD
  static constexpr word up = FE_UPWARD ^ FE_TONEAREST;
#else
  static constexpr word up = -1;
#endif
#ifdef FE_DOWNWARD
  static constexpr word down = FE_DOWNWARD ^ FE_TONEAREST;
#else
  static constexpr word down = -1;
#endif
#endif

public:
  /// "flush-to-zero and rounding upward", say.
  static std::string names(word mode) {
    std::string all;
    const auto add = [&](bool is_set, const char* name) {
      if (is_set) all += (all.empty() ? "" : " and ") + std::string{name};
    };
    add(mode & flushes, "flush-to-zero");
    add(mode & zeroes, "denormals-are-zero");
    const word how = mode & rounding;
    add(how != 0, how == up     ? "rounding upward"
                  : how == down ? "rounding downward"
                                : "rounding towards zero");
    return all.empty() ? "a mode that is not the standard's" : all;
  }
};

/// While it lives the calling thread rounds to nearest and keeps subnormal numbers. Held wherever ranks
/// compute what must have the same bits on all of them; costs reading a register where nothing was set.
class exact_mode {
public:
  exact_mode() noexcept : before_{arithmetic_mode::now()} {
    if (before_ != 0) [[unlikely]]
      arithmetic_mode::set(0);
  }
  ~exact_mode() {
    if (before_ != 0) [[unlikely]]
      arithmetic_mode::set(before_);
  }
  exact_mode(const exact_mode&) = delete;
  exact_mode& operator=(const exact_mode&) = delete;

private:
  const arithmetic_mode::word before_;
};

/// What compute() returns, computed in that mode.
template <class Compute> auto exactly(Compute&& compute) {
  const exact_mode held;
  return compute();
}

/// Whether this translation unit was compiled to reassociate sums (-ffast-math and its parts, which
/// define no reliable macro), or the calling thread flushes subnormal numbers.
inline bool arithmetic_is_exact() {
  volatile float large = 1e8f, one = 1.0f, tiny = 1e-40f;
  const float a = large, b = one;
  volatile float lost = (a + b) - a; // 0 when rounded as written, 1 when reassociated
  volatile float kept = tiny * one;
  volatile float nan = 0.0f;
  nan = nan / nan;
  return lost == 0.0f && kept != 0.0f && !(nan == nan);
}

/// Throws error_code::unsafe_build. Called where ranks begin, on the thread that begins them.
inline void require_exact_arithmetic() {
  const arithmetic_mode::word mode = arithmetic_mode::now();
  bool built_so = false;
  {
    const exact_mode held;
    built_so = !arithmetic_is_exact();
  }
  if (built_so)
    throw error{{.code = error_code::unsafe_build,
                 .detail = "this program was compiled to reassociate floating-point sums or to flush "
                           "subnormals, so ranks could end with different bits - drop -ffast-math, "
                           "-Ofast, -funsafe-math-optimizations or -fassociative-math"}};
  if (mode != 0)
    throw error{{.code = error_code::unsafe_build,
                 .detail = "this thread begins with " + arithmetic_mode::names(mode) +
                           " set in its floating-point control register, by something that the program "
                           "has called or loaded, so ranks could end with different bits - set it back "
                           "first, with std::fesetenv(FE_DFL_ENV)"}};
}

} // namespace tutti::detail
