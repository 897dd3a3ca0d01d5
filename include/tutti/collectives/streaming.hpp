// How finished values are stored, and copies that go past the caches.
#pragma once

#include <tutti/communicators/cache_lines.hpp>

#include <algorithm>
#include <cstddef>
#include <cstring>

#if defined(__SSE2__)
#include <emmintrin.h>
#endif

namespace tutti::detail {

/// Streaming stores do not read the lines that they overwrite, and leave in the caches what is there;
/// they are seen by others after published_stores(). Claimed lines are those of the place that is
/// written next, which pays where it is another core's and is read first. (Pairs of contributions claim
/// them in any case, but for streaming.)
enum class stores : unsigned char { cached, claimed, streaming };

inline void store_bytes(std::byte* to, const std::byte* from, std::size_t bytes, stores how) {
#if defined(__SSE2__)
  if (how == stores::streaming) {
    const std::size_t head = (std::min)(bytes, -reinterpret_cast<std::size_t>(to) & 15);
    std::memcpy(to, from, head);
    std::size_t at = head;
    for (; at + 16 <= bytes; at += 16)
      _mm_stream_si128(reinterpret_cast<__m128i*>(to + at),
                       _mm_loadu_si128(reinterpret_cast<const __m128i*>(from + at)));
    std::memcpy(to + at, from + at, bytes - at);
    return;
  }
#else
  (void)how;
#endif
  std::memcpy(to, from, bytes);
}

/// Before others are told that streaming stores are done.
inline void published_stores() noexcept {
#if defined(__SSE2__)
  _mm_sfence();
#endif
}

/// In the scope of stores to others' memory, left in whatever way: it ends when they are done.
struct publication {
  publication() = default;
  publication(const publication&) = delete;
  publication& operator=(const publication&) = delete;
  ~publication() { published_stores(); }
};

} // namespace tutti::detail
