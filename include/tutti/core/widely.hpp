// widely: loops in the widest vectors that the processor has, whatever the program is compiled for.
#pragma once

#include <tutti/core/config.hpp>

namespace tutti::detail {

template <class Loops>
TUTTI_FOR_AVX2 void with_avx2(const Loops& loops) {
  loops();
}

/// Calls loops(), which are compiled twice. Same bits. A rank that has no such vectors may work with ranks that have.
template <class Loops>
void widely(const Loops& loops) {
  if (TUTTI_HAS_AVX2) return detail::with_avx2(loops);
  loops();
}

} // namespace tutti::detail
