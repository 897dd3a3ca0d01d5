#include "training/peak_memory.hpp"

#include <atomic>
#include <cstdlib>
#include <malloc.h>
#include <new>

namespace {

std::atomic<std::ptrdiff_t> held{0}, most_held{0};
std::ptrdiff_t held_at_first = 0;

void* noted(void* p) noexcept {
  if (!p) return p;
  const std::ptrdiff_t now = held += std::ptrdiff_t(malloc_usable_size(p));
  for (std::ptrdiff_t seen = most_held;
       now > seen && !most_held.compare_exchange_weak(seen, now);) {
  }
  return p;
}

void released(void* p) noexcept {
  if (p) held -= std::ptrdiff_t(malloc_usable_size(p));
  std::free(p);
}

} // namespace

void begin_peak_memory() {
  most_held = held_at_first = held.load();
}
std::size_t peak_memory() {
  return std::size_t(most_held - held_at_first);
}

// Not inlined, or g++ takes new for its own and free for a mistake.
[[gnu::noinline]] void* operator new(std::size_t bytes) {
  if (void* p = noted(std::malloc(bytes))) return p;
  throw std::bad_alloc{};
}
[[gnu::noinline]] void* operator new(std::size_t bytes, const std::nothrow_t&) noexcept {
  return noted(std::malloc(bytes));
}
[[gnu::noinline]] void operator delete(void* p) noexcept {
  released(p);
}
[[gnu::noinline]] void operator delete(void* p, std::size_t) noexcept {
  released(p);
}
