// How a call is served, and how it is passed on.
#pragma once

#include "process.hpp"

#include <utility>

namespace interpose {

/// Starts what make() makes.
template <class Make> tutti::request begin(Make&& make) {
  const auto held = running->hold();
  const inside tutti;
  return make();
}

/// Starts it and runs it to its end.
template <class Make> void carry_out(Make&& make) {
  tutti::request work = begin(make);
  wait_until([&] {
    const auto held = running->hold();
    const inside tutti;
    return work.test();
  });
}

/// serve() returns MPI's code, and throws what tutti throws.
template <class Serve> int serve(call which, MPI_Comm users, Serve&& serve) {
  running->calls.served(which);
  try {
    return serve();
  } catch (const std::exception& e) {
    return fail(users, e);
  }
}

/// A blocking collective of MPI's, when all ranks are there.
template <class Pass> int pass_on(call which, MPI_Comm users, Pass&& pass) {
  running->calls.passed(which);
  meet(users);
  return pass();
}

/// Arguments that MPI refuses on the rank that gives them, at once and alone.
inline bool refused(MPI_Comm users, int count) {
  return users == MPI_COMM_NULL || count < 0;
}
/// Buffers, for elements of MPI's own types.
inline bool refused(const void* from, const void* to) {
#ifdef MPICH_VERSION
  if (from == to) return true; // Open MPI takes one for both, and that works
#endif
  return !from || !to;
}

} // namespace interpose
