// In place of include/tutti/cuda/launch.cuh: kernels are functions of the host, and a launch is work of a stream of the
// mock, block by block. So facades, launches and bodies are compiled by any compiler, and run under sanitizers.
#pragma once

#include "cuda_mock/mock.hpp"

#include <tutti/cuda/grid.hpp>
#include <tutti/cuda/stream.hpp>
#include <tutti/cuda/tuning.hpp>
#include <tutti/kernels/context.hpp>
#include <tutti/kernels/order_statistics.hpp>
#include <tutti/kernels/reduce.hpp>

#include <cstddef>
#include <cstring>
#include <mutex>

#undef TUTTI_KERNEL
#define TUTTI_KERNEL
#undef __launch_bounds__
#define __launch_bounds__(...)
#undef __shared__
#define __shared__
#undef __grid_constant__
#define __grid_constant__

namespace tutti::cuda::detail {

template <int...> struct architectures {};
using built_for = architectures<0>;

/// The block that is run.
struct running {
  std::size_t block, blocks;
};
inline running now{0, 1};

template <std::size_t Lanes> class device_block : public tutti::detail::kernels::host_block<Lanes> {
public:
  device_block() : tutti::detail::kernels::host_block<Lanes>{now.block, now.blocks, 5} {}
};
template <std::size_t Lanes> class summing_block : public device_block<Lanes> {
public:
  struct scratch {};
  explicit summing_block(scratch&) {}
};

template <std::size_t Lanes> class scanning_block : public device_block<Lanes> {
public:
  struct scratch {};
  explicit scanning_block(scratch&) {}
};

/// How many launches there were.
inline int launches = 0;

/// Whatever in the arguments is an address of the device is read.
inline void touch_pointers(const stream& on, const void* arguments, std::size_t bytes) {
  for (std::size_t k = 0; k + sizeof(void*) <= bytes; k += sizeof(void*)) {
    void* p = nullptr;
    std::memcpy(&p, static_cast<const char*>(arguments) + k, sizeof p);
    if (p) mock::touches(on.handle(), p, 0, false, "a kernel");
  }
}

/// Contributions and what becomes of them: these values and no others.
template <class Rows> void touch_rows(const stream& on, const Rows& of) {
  for (const auto* in : of.in)
    if (in) mock::touches(on.handle(), in, of.n * sizeof *in, false, "a kernel");
  mock::touches(on.handle(), of.out, of.n * sizeof *of.out, true, "a kernel");
}
template <class P> void touch(const stream& on, const P& argument) { touch_pointers(on, &argument, sizeof argument); }
template <class T, std::size_t K> void touch(const stream& on, const tutti::detail::kernels::rows<T, K>& of) {
  touch_rows(on, of);
}
template <class T, std::size_t K> void touch(const stream& on, const tutti::detail::kernels::weighted_rows<T, K>& of) {
  touch_rows(on, of.all);
}
template <class T, std::size_t K> void touch(const stream& on, const tutti::detail::kernels::columns<T, K>& of) {
  touch_rows(on, of);
}

template <class... P>
void launch(const stream& on, const char*, unsigned blocks, void (*kernel)(P...), P... arguments) {
  if (blocks == 0) return;
  ++launches;
  const std::lock_guard<std::recursive_mutex> held{mock::guard()};
  mock::enqueue(on.handle(), [=] {
    for (std::size_t b = 0; b < blocks; ++b) {
      now = {b, blocks};
      kernel(arguments...);
    }
  });
  (detail::touch(on, arguments), ...);
}

} // namespace tutti::cuda::detail
