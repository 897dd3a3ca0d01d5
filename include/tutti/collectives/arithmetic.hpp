// What the executor computes with: a reducer, an element type and a codec behind plain functions.
//
// Made once per (reducer, element, codec), so that the executor is compiled once per communicator and
// types do not multiply with topologies.
#pragma once

#include <tutti/collectives/loops.hpp>
#include <tutti/core/exact_arithmetic.hpp>

#include <algorithm>
#include <cstddef>
#include <cstring>
#include <span>
#include <type_traits>

namespace tutti::detail {

/// The table. `lift`, `fold` and `lower` work on accumulators, for topologies that fold pairwise;
/// `unite` takes every rank's encoded contribution to a piece and leaves finished values.
/// `first` is the index of the first element in the caller's data.
struct arithmetic {
  const void* reducer = nullptr; ///< outlives the call; so does the codec
  const void* codec = nullptr;
  std::size_t value_bytes = 1;
  std::size_t accumulator_bytes = 1;
  bool in_place = true; ///< accumulators are the values themselves: nothing to lift or lower
  bool exact = true;    ///< encoded values are the values themselves
  bool elementwise = true; ///< encodings may be cut between any two values
  bool rounds = false;  ///< a result is rounded to the wire when it is finished, not when published

  std::size_t (*wire_bytes)(const arithmetic&, std::size_t n) = nullptr;
  void (*encode)(const arithmetic&, const std::byte* values, std::byte* wire,
                 std::size_t n) = nullptr;
  void (*decode)(const arithmetic&, const std::byte* wire, std::byte* values,
                 std::size_t n) = nullptr;
  void (*lift)(const arithmetic&, const std::byte* values, std::byte* accumulators, std::size_t n,
               std::size_t first, double weight) = nullptr;
  void (*fold)(const arithmetic&, std::span<const std::byte* const> in, std::byte* out,
               std::size_t n) = nullptr;
  void (*lower)(const arithmetic&, const std::byte* accumulators, std::byte* values, std::size_t n,
                std::size_t first, double total) = nullptr;
  void (*unite)(const arithmetic&, std::span<const std::byte* const> wires,
                std::span<const double> weights, std::byte* values, std::size_t n,
                std::size_t first, double total) = nullptr;

  /// Like unite, from contributions that are values as they are, with the result stored in every place
  /// of `out`. A place may be one of the contributions.
  void (*spread)(const arithmetic&, std::span<const std::byte* const> in,
                 std::span<const double> weights, std::span<std::byte* const> out, std::size_t n,
                 std::size_t first, double total, stores how) = nullptr;

  /// Of n values on the wire.
  std::size_t bytes_of(std::size_t n) const { return exact ? n * value_bytes : wire_bytes(*this, n); }
};

/// Buffers that stand behind each other begin on cache lines.
constexpr std::size_t padded(std::size_t bytes) { return (bytes + 63) & ~std::size_t{63}; }

/// The one contribution, everywhere else.
inline void spread_bytes(const arithmetic& a, std::span<const std::byte* const> in,
                         std::span<const double>, std::span<std::byte* const> out, std::size_t n,
                         std::size_t, double, stores how) {
  constexpr std::size_t block = 4096; // read once, however many places there are
  const std::size_t bytes = n * a.value_bytes;
  for (std::size_t begin = 0; begin < bytes; begin += block)
    for (std::byte* place : out)
      if (place != in[0])
        detail::store_bytes(place + begin, in[0] + begin, (std::min)(block, bytes - begin), how);
}

/// For functions that short calls pay for: who finds no mode set pays four instructions, with an
/// exact_mode of its own nine.
template <class... P>
[[gnu::noinline]] void with_mode_set_aside(void (*compute)(P...), std::type_identity_t<P>... arguments) {
  const exact_mode held;
  compute(arguments...);
}

/// Whatever computes holds the mode of arithmetic, on the thread that does it: ranks that compute the same
/// have the same bits, whatever libraries set in the meantime.
template <element T, class R, class C>
struct functions {
  using A = reducer_accumulator_t<R, T>;
  static const R& reducer(const arithmetic& a) { return *static_cast<const R*>(a.reducer); }
  static const C& codec(const arithmetic& a) { return *static_cast<const C*>(a.codec); }

  static std::size_t wire_bytes(const arithmetic& a, std::size_t n) {
    return codec(a).template bytes<T>(n);
  }
  static void encode(const arithmetic& a, const std::byte* in, std::byte* out, std::size_t n) {
    const exact_mode held;
    codec(a).template encode<T>(std::span<const T>{reinterpret_cast<const T*>(in), n}, out);
  }
  static void decode(const arithmetic& a, const std::byte* in, std::byte* out, std::size_t n) {
    const exact_mode held;
    codec(a).template decode<T>(in, std::span<T>{reinterpret_cast<T*>(out), n});
  }
  static void lift(const arithmetic& a, const std::byte* in, std::byte* out, std::size_t n,
                   std::size_t first, double weight) {
    const exact_mode held;
    in_blocks<block_of<T, A>>(n, [&](std::size_t begin, auto count) {
      detail::lift_block<R, T, A>(reducer(a), reinterpret_cast<const T*>(in) + begin,
                                  reinterpret_cast<A*>(out) + begin, count, first + begin, weight);
    });
  }
  static void fold(const arithmetic& a, std::span<const std::byte* const> in, std::byte* out,
                   std::size_t n) {
    if (arithmetic_mode::now() != 0) [[unlikely]]
      return detail::with_mode_set_aside(&fold, a, in, out, n);
    if constexpr (folding_reducer<R, T>) detail::fold_accumulators<R, A>(reducer(a), in, out, n);
  }
  /// `in` may be `out`, so each block is lowered out of a copy.
  static void lower(const arithmetic& a, const std::byte* in, std::byte* out, std::size_t n,
                    std::size_t first, double total) {
    const exact_mode held;
    in_blocks<block_of<T, A>>(n, [&](std::size_t begin, auto count) {
      A partial[block_of<T, A>];
      std::memcpy(partial, in + begin * sizeof(A), count * sizeof(A));
      detail::lower_block<R, T, A>(reducer(a), partial, reinterpret_cast<T*>(out) + begin, count,
                                   first + begin, total);
    });
  }
  static void unite(const arithmetic& a, std::span<const std::byte* const> wires,
                    std::span<const double> weights, std::byte* out, std::size_t n,
                    std::size_t first, double total) {
    const exact_mode held;
    T* values = reinterpret_cast<T*>(out);
    if constexpr (folding_reducer<R, T>)
      detail::unite_by_folding<R, T, C>(reducer(a), codec(a), wires, weights, values, n, first,
                                        total);
    else
      detail::unite_by_gathering<R, T, C>(reducer(a), codec(a), wires, weights, values, n, first,
                                          total);
  }
  static void spread(const arithmetic& a, std::span<const std::byte* const> in,
                     std::span<const double> weights, std::span<std::byte* const> out,
                     std::size_t n, std::size_t first, double total, stores how) {
    if (arithmetic_mode::now() != 0) [[unlikely]]
      return detail::with_mode_set_aside(&spread, a, in, weights, out, n, first, total, how);
    detail::spread_values<R, T>(reducer(a), in, weights, out, n, first, total, how);
  }
};

/// The table for elements T. `r` and `c` must outlive it.
template <element T, class R, class C>
arithmetic arithmetic_of(const R& r, const C& c) {
  using f = functions<T, R, C>;
  constexpr bool exact = C::kind == codec_kind::exact;
  constexpr bool in_place = exact && plain_lift<R, T> && std::is_same_v<typename f::A, T>;
  return {.reducer = &r,
          .codec = &c,
          .value_bytes = sizeof(T),
          .accumulator_bytes = sizeof(typename f::A),
          .in_place = in_place,
          .exact = exact,
          .elementwise = is_elementwise<C>,
          .rounds = C::kind == codec_kind::additive,
          .wire_bytes = &f::wire_bytes,
          .encode = &f::encode,
          .decode = &f::decode,
          .lift = &f::lift,
          .fold = &f::fold,
          .lower = plain_lower<R, T> && in_place ? nullptr : &f::lower,
          .unite = &f::unite,
          .spread = &f::spread};
}

/// The table for collectives that only copy elements of `bytes` bytes.
inline arithmetic copying(std::size_t bytes) {
  arithmetic a;
  a.value_bytes = a.accumulator_bytes = bytes;
  a.spread = &detail::spread_bytes;
  return a;
}

} // namespace tutti::detail
