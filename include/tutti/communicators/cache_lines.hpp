// What is said to the caches.
#pragma once

#include <cstddef>

namespace tutti::detail {

/// Begins to fetch a line as its owner. A line that was written by another core and is only read is shared
/// by both afterwards, and whoever writes it next has to tell the other first; one that is claimed is
/// this core's alone. Changes no memory: right or wrong, it only costs or saves time.
inline void claim_line(const std::byte* line) noexcept {
#if defined(__x86_64__) && defined(__GNUC__)
  asm volatile("prefetchw %0" : : "m"(*line)); // __builtin_prefetch(line, 1) takes a flag of the compiler
#elif defined(__GNUC__)
  __builtin_prefetch(line, 1);
#else
  (void)line;
#endif
}
inline void claim_lines(const std::byte* begin, std::size_t bytes) noexcept {
  for (std::size_t at = 0; at < bytes; at += 64) detail::claim_line(begin + at);
}
/// Begins to fetch a line that is soon read, into the second-level cache: it is not needed yet.
inline void expect_line(const std::byte* line) noexcept {
#if defined(__GNUC__)
  __builtin_prefetch(line, 0, 2);
#else
  (void)line;
#endif
}

} // namespace tutti::detail
