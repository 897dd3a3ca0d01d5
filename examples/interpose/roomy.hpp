// Threads whose stack is small.
#pragma once

#include <ucontext.h>

#include <cstddef>
#include <memory>
#include <utility>

namespace interpose {

/// Calls f, which throws nothing, on a stack of its own: what the program never asked for (MPICH's
/// MPI_Allreduce alone takes more than 64 KiB) must not need more than its threads have.
template <class Function> void with_room(Function f) {
  struct call {
    Function f;
    ucontext_t inside, outside;
    static void enter(unsigned high, unsigned low) { // makecontext hands over nothing but int
      const auto at = std::size_t(high) << 16 << 16 | low;
      reinterpret_cast<call*>(at)->f();
    }
  };
  constexpr std::size_t bytes = std::size_t{1} << 20;
  const auto stack = std::make_unique_for_overwrite<std::byte[]>(bytes);
  const auto c = std::make_unique<call>(call{std::move(f), {}, {}});
  getcontext(&c->inside);
  c->inside.uc_stack.ss_sp = stack.get();
  c->inside.uc_stack.ss_size = bytes;
  c->inside.uc_link = &c->outside;
  const auto at = reinterpret_cast<std::size_t>(c.get());
  makecontext(&c->inside, reinterpret_cast<void (*)()>(call::enter), 2, unsigned(at >> 16 >> 16),
              unsigned(at));
  swapcontext(&c->outside, &c->inside);
}

} // namespace interpose
