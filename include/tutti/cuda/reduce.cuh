// The K-way reduction: many contributions in device memory become one in a single pass.
#pragma once

#include <tutti/core/element.hpp>
#include <tutti/cuda/runtime.hpp>

#include <cstddef>
#include <cstdint>
#include <initializer_list>
#include <span>
#include <string>

namespace tutti::cuda {

/// The most contributions one launch folds; their addresses are kernel arguments.
inline constexpr int most_contributions = 16;

namespace detail {
inline namespace v1 {

template <class T, int K>
struct reduce_arguments {
  const T* in[K];
  T* out;
  std::size_t n;
  accumulator_t<T> total; ///< what the sum is divided by; 1 for a plain sum
};

/// Sixteen bytes, moved by one instruction.
template <class T>
struct alignas(16) packet {
  static constexpr int length = 16 / int(sizeof(T));
  T values[length];
};

TUTTI_HD inline float add(float a, float b) {
#if defined(__CUDA_ARCH__)
  return __fadd_rn(a, b);
#else
  return a + b;
#endif
}
TUTTI_HD inline double add(double a, double b) {
#if defined(__CUDA_ARCH__)
  return __dadd_rn(a, b);
#else
  return a + b;
#endif
}
TUTTI_HD inline float divide(float a, float b) {
#if defined(__CUDA_ARCH__)
  return __fdiv_rn(a, b);
#else
  return a / b;
#endif
}
TUTTI_HD inline double divide(double a, double b) {
#if defined(__CUDA_ARCH__)
  return __ddiv_rn(a, b);
#else
  return a / b;
#endif
}

template <class A, class T>
TUTTI_HD A widened(T x) {
  return static_cast<A>(x);
}
template <class T, class A>
TUTTI_HD T finished(A sum, A total) {
  return static_cast<T>(total == A(1) ? sum : divide(sum, total));
}

/// A packet that is not read again soon: past the caches where that can be said.
template <class T>
TUTTI_HD packet<T> load(const T* from) {
#if defined(__CUDA_ARCH__)
  const uint4 raw = __ldcs(reinterpret_cast<const uint4*>(from));
  return __builtin_bit_cast(packet<T>, raw);
#else
  return *reinterpret_cast<const packet<T>*>(from);
#endif
}
template <class T>
TUTTI_HD void store(T* to, const packet<T>& what) {
#if defined(__CUDA_ARCH__)
  __stcs(reinterpret_cast<uint4*>(to), __builtin_bit_cast(uint4, what));
#else
  *reinterpret_cast<packet<T>*>(to) = what;
#endif
}

/// Elements before the first 16-byte boundary that all pointers share; n when they share none.
template <class T, int K>
TUTTI_HD std::size_t shared_head(const reduce_arguments<T, K>& a) {
  const std::size_t past = reinterpret_cast<std::uintptr_t>(a.out) % 16;
  for (int k = 0; k < K; ++k)
    if (reinterpret_cast<std::uintptr_t>(a.in[k]) % 16 != past) return a.n;
  const std::size_t head = past == 0 ? 0 : (16 - past) / sizeof(T);
  return head < a.n ? head : a.n;
}

template <class T, int K>
TUTTI_HD T reduced(const reduce_arguments<T, K>& a, std::size_t i) {
  using A = accumulator_t<T>;
  A sum = widened<A>(a.in[0][i]);
  for (int k = 1; k < K; ++k) sum = add(sum, widened<A>(a.in[k][i]));
  return finished<T>(sum, a.total);
}

template <class T, int K>
TUTTI_HD void reduce_packet(const reduce_arguments<T, K>& a, std::size_t i) {
  using A = accumulator_t<T>;
  constexpr int length = packet<T>::length;
  A sums[length];
  packet<T> next = load(a.in[0] + i);
  for (int j = 0; j < length; ++j) sums[j] = widened<A>(next.values[j]);
#if defined(__CUDA_ARCH__)
#pragma unroll
#endif
  for (int k = 1; k < K; ++k) {
    next = load(a.in[k] + i);
    for (int j = 0; j < length; ++j) sums[j] = add(sums[j], widened<A>(next.values[j]));
  }
  for (int j = 0; j < length; ++j) next.values[j] = finished<T>(sums[j], a.total);
  store(a.out + i, next);
}

/// Calls use(i) for i in first, first + step, ... below end. Not unrolled: the loads of K contributions
/// are enough in flight, and registers are scarce.
template <class Use>
TUTTI_HD void each_step(std::size_t first, std::size_t end, std::size_t step, Use&& use) {
#if defined(__CUDA_ARCH__)
#pragma unroll 1
#endif
  for (std::size_t i = first; i < end; i += step) use(i);
}

/// One of `workers` workers does its share: packets where all pointers are equally aligned, single
/// elements before and after. The same body runs on a GPU's threads and, for tests, on the host.
template <class T, int K>
TUTTI_HD void reduce_body(const reduce_arguments<T, K>& a, std::size_t worker,
                          std::size_t workers) {
  constexpr std::size_t length = packet<T>::length;
  const std::size_t head = shared_head(a);
  const std::size_t packets = (a.n - head) / length, tail = head + packets * length;
  const auto one = [&](std::size_t i) { a.out[i] = reduced(a, i); };
  each_step(worker, head, workers, one);
  each_step(worker, packets, workers, [&](std::size_t p) { reduce_packet(a, head + p * length); });
  each_step(tail + worker, a.n, workers, one);
}

// 256 threads, and so many blocks a multiprocessor at least, or ptxas spills registers: none of the
// kernels does on sm_75, 80, 90, 100 and 120 (nvcc 13.0; with 4 blocks for all, a few do on the last two).
template <class T, int K>
inline constexpr int least_blocks = sizeof(accumulator_t<T>) > 4 || K > 12 ? 2 : 4;

template <class T, int K>
__attribute__((visibility("hidden"))) __global__ void __launch_bounds__(256, least_blocks<T, K>)
    reduce_kernel(const reduce_arguments<T, K> a) {
  reduce_body(a, std::size_t(blockIdx.x) * blockDim.x + threadIdx.x,
              std::size_t(gridDim.x) * blockDim.x);
}

/// Calls use(arguments) with the number of contributions as a constant.
template <class T, int K = most_contributions, class Use>
void with_arguments(std::span<const T* const> in, T* out, std::size_t n, double total, Use&& use) {
  if constexpr (K > 1)
    if (in.size() < std::size_t(K)) return with_arguments<T, K - 1>(in, out, n, total, use);
  if (in.empty() || in.size() > std::size_t(K))
    throw error{{.code = error_code::invalid_argument,
                 .call = "cuda::reduce",
                 .detail = std::to_string(in.size()) + " contributions were given - give 1 to " +
                           std::to_string(most_contributions)}};
  reduce_arguments<T, K> a{{}, out, n, static_cast<accumulator_t<T>>(total)};
  for (int k = 0; k < K; ++k) a.in[k] = in[std::size_t(k)];
  use(a);
}

} // namespace v1
} // namespace detail

/// out[i] = (in[0][i] + in[1][i] + ...) / total on `stream`, in rank order and in the accumulator's
/// precision (float for bfloat16 and half), rounded once: the same bits as the reducers `sum` (total
/// 1) and `mean` (total K) on the host. `out` may be one of the inputs; otherwise they do not overlap.
/// Pointers are device memory, aligned to their element; equally misaligned ones are as fast as
/// aligned ones. Returns when the work is enqueued. 1 to 16 contributions. Cost: K reads and one write an
/// element, one launch. Errors: invalid_argument, transport.
template <class T>
void reduce(cudaStream_t stream, std::span<const T* const> in, T* out, std::size_t n,
            double total = 1) {
  detail::with_arguments<T>(in, out, n, total, [&](const auto& a) {
    if (n == 0) return;
    constexpr std::size_t threads = 256, most_blocks = 1u << 16;
    const std::size_t packets = n / detail::packet<T>::length + 1;
    const std::size_t blocks = (packets + threads - 1) / threads;
    const auto grid = unsigned(blocks < most_blocks ? blocks : most_blocks);
    detail::reduce_kernel<<<grid, unsigned(threads), 0, stream>>>(a);
    cuda::check(cudaGetLastError(), "cuda::reduce");
  });
}

/// The kernel's body on the host, by `workers` workers in turn; for tests without a GPU.
template <class T>
void reduce_on_host(std::span<const T* const> in, T* out, std::size_t n, double total = 1,
                    std::size_t workers = 32) {
  detail::with_arguments<T>(in, out, n, total, [&](const auto& a) {
    for (std::size_t w = 0; w < workers; ++w) detail::reduce_body(a, w, workers);
  });
}

} // namespace tutti::cuda
