// Values that are moved sixteen bytes at a time, wherever they begin.
#pragma once

#include <tutti/core/config.hpp>
#include <tutti/core/float16.hpp>

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <numeric>

namespace tutti::detail::kernels {

/// `Length` values, read and written sixteen bytes at a time; the fewest that are a multiple of as much.
template <class T, std::size_t Length = 16 / std::gcd(std::size_t{16}, sizeof(T))> struct alignas(16) packet {
  static constexpr std::size_t length = Length;
  static_assert(Length * sizeof(T) % 16 == 0, "tutti: a packet is a multiple of sixteen bytes");
  T values[Length];
};

/// Of memory on a 16-byte boundary that is not read again soon: past the caches where that can be said.
template <std::size_t Length, class T> TUTTI_HD packet<T, Length> load(const T* from) {
  packet<T, Length> all;
#if defined(__CUDA_ARCH__)
  auto* const to = reinterpret_cast<uint4*>(&all);
#pragma unroll
  for (int k = 0; k < int(sizeof all / 16); ++k) to[k] = __ldcs(reinterpret_cast<const uint4*>(from) + k);
#else
  std::memcpy(static_cast<void*>(&all), __builtin_assume_aligned(from, 16), sizeof all);
#endif
  return all;
}
template <std::size_t Length, class T> TUTTI_HD void store(T* to, const packet<T, Length>& all) {
#if defined(__CUDA_ARCH__)
  const auto* const from = reinterpret_cast<const uint4*>(&all);
#pragma unroll
  for (int k = 0; k < int(sizeof all / 16); ++k) __stcs(reinterpret_cast<uint4*>(to) + k, from[k]);
#else
  std::memcpy(static_cast<void*>(__builtin_assume_aligned(to, 16)), &all, sizeof all);
#endif
}

/// Whether quads of T may begin there.
template <class T> TUTTI_HD bool takes_quads(const T* p) {
  return reinterpret_cast<std::uintptr_t>(p) % (sizeof(T) * 4 < 16 ? sizeof(T) * 4 : 16) == 0;
}

/// Four values, at once where that is sixteen bytes or less. The memory is aligned to as much.
template <class T> struct alignas(sizeof(T) * 4 < 16 ? sizeof(T) * 4 : 16) quad { T values[4]; };
template <class T> TUTTI_HD quad<T> load_quad(const T* from) {
#if defined(__CUDA_ARCH__)
  if constexpr (sizeof(T) == 4) return __builtin_bit_cast(quad<T>, __ldcs(reinterpret_cast<const uint4*>(from)));
  if constexpr (sizeof(T) == 2) return __builtin_bit_cast(quad<T>, __ldcs(reinterpret_cast<const uint2*>(from)));
  if constexpr (sizeof(T) == 1) return __builtin_bit_cast(quad<T>, __ldcs(reinterpret_cast<const unsigned*>(from)));
#endif
  quad<T> all;
  std::memcpy(static_cast<void*>(&all), from, sizeof all);
  return all;
}
template <class T> TUTTI_HD void store_quad(T* to, const quad<T>& all) {
#if defined(__CUDA_ARCH__)
  if constexpr (sizeof(T) == 4) return __stcs(reinterpret_cast<uint4*>(to), __builtin_bit_cast(uint4, all));
  if constexpr (sizeof(T) == 2) return __stcs(reinterpret_cast<uint2*>(to), __builtin_bit_cast(uint2, all));
  if constexpr (sizeof(T) == 1) return __stcs(reinterpret_cast<unsigned*>(to), __builtin_bit_cast(unsigned, all));
#endif
  std::memcpy(static_cast<void*>(to), &all, sizeof all);
}

/// How many values come before those that can be moved in packets of `length` values, of which every pointer then is on
/// a 16-byte boundary; n where there is no such place, as pointers are unlike each other.
template <class... T> std::size_t head_of(std::size_t n, std::size_t length, const T*... pointers) {
  for (std::size_t head = 0; head < length && head < n; ++head)
    if ((... && (reinterpret_cast<std::uintptr_t>(pointers + head) % 16 == 0))) return head;
  return n;
}

/// packet(i) for values [i, i + Length), one(i) for those before the first and behind the last, by the lanes of all
/// blocks. Not unrolled: what is in flight is chosen by the length of a packet, and registers are scarce.
template <std::size_t Length, class Context, class Packet, class One>
TUTTI_HD void in_packets(Context& ctx, std::size_t n, std::size_t head, Packet&& packet, One&& one) {
  const std::size_t packets = (n - head) / Length, tail = head + packets * Length;
  const std::size_t step = ctx.blocks() * Context::lanes;
  ctx.each([&](unsigned lane) {
    const std::size_t me = ctx.block() * Context::lanes + lane;
#if defined(__CUDA_ARCH__)
#pragma unroll 1
#endif
    for (std::size_t p = me; p < packets; p += step) packet(head + p * Length);
#if defined(__CUDA_ARCH__)
#pragma unroll 1
#endif
    for (std::size_t i = me; i < head; i += step) one(i);
#if defined(__CUDA_ARCH__)
#pragma unroll 1
#endif
    for (std::size_t i = tail + me; i < n; i += step) one(i);
  });
}

} // namespace tutti::detail::kernels
