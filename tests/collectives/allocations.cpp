#include "collectives/allocations.hpp"

#include <cstdlib>
#include <new>

thread_local long allocations = 0;
thread_local long refused_allocation = -1;

namespace {

void* counted(std::size_t bytes) noexcept {
  if (++allocations != refused_allocation) return std::malloc(bytes);
  refused_allocation = -1;
  return nullptr;
}

} // namespace

// Not inlined, or g++ takes new for its own and free for a mistake.
[[gnu::noinline]] void* operator new(std::size_t bytes) {
  if (void* p = counted(bytes)) return p;
  throw std::bad_alloc{};
}
[[gnu::noinline]] void* operator new(std::size_t bytes, const std::nothrow_t&) noexcept {
  return counted(bytes);
}
[[gnu::noinline]] void operator delete(void* p) noexcept { std::free(p); }
[[gnu::noinline]] void operator delete(void* p, std::size_t) noexcept { std::free(p); }
