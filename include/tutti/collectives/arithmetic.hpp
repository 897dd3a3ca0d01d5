// What the executor computes with: a reducer, an element type and a codec behind plain functions.
//
// Made once per (reducer, element, codec), so that the executor is compiled once per communicator and
// types do not multiply with topologies.
#pragma once

#include <tutti/codecs/memory.hpp>
#include <tutti/collectives/loops.hpp>
#include <tutti/core/exact_arithmetic.hpp>

#include <algorithm>
#include <cstddef>
#include <cstring>
#include <span>
#include <type_traits>

namespace tutti::detail {

struct arithmetic;

/// A codec behind functions. `first` is the index of the first value in the caller's data. With a memory, encoding
/// replaces values by what is sent of them.
struct coder {
  std::size_t (*bytes)(const arithmetic&, std::size_t n) = nullptr;
  void (*encode)(const arithmetic&, std::byte* values, std::byte* wire, std::size_t n, std::size_t first) = nullptr;
  void (*decode)(const arithmetic&, const std::byte* wire, std::byte* values, std::size_t n,
                 std::size_t first) = nullptr;
};

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

  void* memory = nullptr; ///< of a codec that has one; outlives the call
  int rank = 0, ranks = 1;
  bool everywhere = false; ///< every rank has the whole result in the end, not what it finishes alone

  coder contributions = {}; ///< each is encoded once
  coder results = {};       ///< as they are published; of an opaque codec each is encoded once, by who finishes it
  void (*finish)(const arithmetic&, std::byte* values, std::byte* wire, std::size_t n, std::size_t first) =
      nullptr; ///< of a codec that rounds: encodes a result when it is finished, once
  void (*begin)(const arithmetic&, std::size_t n, place finishes) = nullptr; ///< of a memory: an exchange
  void (*end)(const arithmetic&, std::byte* values, place holds) = nullptr;  ///< which is complete, with its results

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
  std::size_t bytes_of(const coder& by, std::size_t n) const { return exact ? n * value_bytes : by.bytes(*this, n); }
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

  using memory = codec_memory_state<accumulator_t<T>>;
  static memory& memory_of(const arithmetic& a) { return *static_cast<memory*>(a.memory); }
  static coding at(const arithmetic& a, std::size_t first, bool result) {
    const memory* const m = static_cast<memory*>(a.memory);
    return {m ? m->exchanges : 0, (m ? m->origin : 0) + first, a.rank, result};
  }
  static std::span<T> span_of(std::byte* values, std::size_t n) { return {reinterpret_cast<T*>(values), n}; }
  template <class By>
  static void encode_with(const By& by, std::byte* in, std::byte* out, std::size_t n, const coding& where) {
    detail::encode<T>(by, std::span<const T>{span_of(in, n)}, out, where);
  }

  static std::size_t contribution_bytes(const arithmetic& a, std::size_t n) {
    return detail::messages_of(codec(a)).template bytes<T>(n);
  }
  static void encode_contribution(const arithmetic& a, std::byte* in, std::byte* out, std::size_t n,
                                  std::size_t first) {
    const exact_mode held;
    if constexpr (remembers<C>)
      codec(a).encode(memory_of(a).template contributions<C>(first, n), span_of(in, n), out, at(a, first, false));
    else
      encode_with(codec(a), in, out, n, at(a, first, false));
  }
  static void decode_contribution(const arithmetic& a, const std::byte* in, std::byte* out, std::size_t n,
                                  std::size_t first) {
    const exact_mode held;
    detail::decode<T>(detail::messages_of(codec(a)), in, span_of(out, n), at(a, first, false));
  }

  static std::size_t result_bytes(const arithmetic& a, std::size_t n) {
    const auto by = detail::results_of(codec(a), a.ranks);
    return detail::messages_of(by).template bytes<T>(n);
  }
  static void encode_result(const arithmetic& a, std::byte* in, std::byte* out, std::size_t n, std::size_t first) {
    const exact_mode held;
    const auto by = detail::results_of(codec(a), a.ranks);
    if constexpr (remembers<results_t<C>> && C::kind == codec_kind::opaque)
      by.encode(memory_of(a).results(first, n), span_of(in, n), out, at(a, first, true));
    else
      encode_with(detail::messages_of(by), in, out, n, at(a, first, true));
  }
  static void decode_result(const arithmetic& a, const std::byte* in, std::byte* out, std::size_t n,
                            std::size_t first) {
    const exact_mode held;
    const auto by = detail::results_of(codec(a), a.ranks);
    detail::decode<T>(detail::messages_of(by), in, span_of(out, n), at(a, first, true));
  }
  static void finish_result(const arithmetic& a, std::byte* in, std::byte* out, std::size_t n, std::size_t first) {
    const exact_mode held;
    const auto by = detail::results_of(codec(a), a.ranks);
    if constexpr (remembers<results_t<C>>)
      by.encode(memory_of(a).results(first, n), span_of(in, n), out, at(a, first, true));
    else
      encode_with(by, in, out, n, at(a, first, true));
  }
  static void begin(const arithmetic& a, std::size_t n, place finishes) {
    memory_of(a).begin(n, finishes, codec_slots<C>.size());
  }
  static void end(const arithmetic& a, std::byte* values, place holds) {
    const exact_mode held;
    if constexpr (follows<C>)
      codec(a).follow(memory_of(a).arrived(holds), span_of(values + holds.begin * sizeof(T), holds.size()));
    if (!memory_of(a).holds_back) memory_of(a).commit();
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
    const auto unite_by = [&]<class By>(const By& by) {
      if constexpr (folding_reducer<R, T>)
        detail::unite_by_folding<R, T, By>(reducer(a), by, wires, weights, values, n, first, total);
      else
        detail::unite_by_gathering<R, T, By>(reducer(a), by, wires, weights, values, n, first, total);
    };
    const auto& messages = detail::messages_of(codec(a));
    if constexpr (codes_values<messages_t<C>, T>)
      unite_by(messages);
    else
      unite_by(placed_codec<messages_t<C>>{messages, at(a, first, false)});
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
  arithmetic a{.reducer = &r,
               .codec = &c,
               .value_bytes = sizeof(T),
               .accumulator_bytes = sizeof(typename f::A),
               .in_place = in_place,
               .exact = exact,
               .elementwise = is_elementwise<messages_t<C>>,
               .rounds = C::kind == codec_kind::additive,
               .lift = &f::lift,
               .fold = &f::fold,
               .lower = plain_lower<R, T> && in_place ? nullptr : &f::lower,
               .unite = &f::unite,
               .spread = &f::spread};
  if constexpr (!exact) {
    a.contributions = {&f::contribution_bytes, &f::encode_contribution, &f::decode_contribution};
    a.results = {&f::result_bytes, &f::encode_result, &f::decode_result};
    a.finish = &f::finish_result;
    a.begin = &f::begin;
    a.end = &f::end;
  }
  return a;
}

/// The table for collectives that only copy elements of `bytes` bytes.
inline arithmetic copying(std::size_t bytes) {
  arithmetic a;
  a.value_bytes = a.accumulator_bytes = bytes;
  a.spread = &detail::spread_bytes;
  return a;
}

} // namespace tutti::detail
