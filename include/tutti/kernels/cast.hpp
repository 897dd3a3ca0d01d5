// Rounding to a shorter element, with what is lost remembered: cast<W> inside of error_feedback, in one pass. And
// messages of such elements, decoded and reduced in one pass.
#pragma once

#include <tutti/core/element.hpp>
#include <tutti/kernels/arithmetic.hpp>
#include <tutti/kernels/norm.hpp>
#include <tutti/kernels/packets.hpp>
#include <tutti/reducers/reducer.hpp>

#include <cstddef>

namespace tutti::detail::kernels {

/// x = decay * before + values; wire = x rounded to W; after = x - wire. `after` may be `before`; `sent` is wire as T
/// again, where it is wanted; it may be `values`.
template <class T, class W> struct rounding_with_memory {
  const T* values;
  W* wire;
  const T* before;
  T* after;
  T* sent; ///< null: not written
  std::size_t n;
  std::size_t head; ///< of all pointers
  T decay;
  const norm_verdict* verdict = nullptr; ///< as of encoding (kernels/blocks.hpp)
};

template <class Context, class T, class W>
TUTTI_HD void cast_with_memory(Context& ctx, const rounding_with_memory<T, W>& of) {
  constexpr std::size_t length = 16 / sizeof(W);
  const rounding rounded;
  if (!may_encode(of.verdict)) return;
  const T factor = factor_of<T>(of.verdict);
  const auto step = [&](T value, T& memory, T& sent) {
    const T x = add(multiply(rounded, of.decay, memory), multiply(rounded, value, factor));
    const W wire = element_cast<W>(x);
    sent = element_cast<T>(wire);
    memory = add(x, -sent);
    return wire;
  };
  in_packets<length>(
      ctx, of.n, of.head,
      [&](std::size_t i) {
        const auto values = load<length>(of.values + i);
        auto memory = load<length>(of.before + i);
        packet<T, length> sent;
        packet<W, length> wire;
        for (std::size_t k = 0; k < length; ++k)
          wire.values[k] = step(values.values[k], memory.values[k], sent.values[k]);
        store(of.wire + i, wire);
        store(of.after + i, memory);
        if (of.sent) store(of.sent + i, sent);
      },
      [&](std::size_t i) {
        T memory = of.before[i], sent;
        of.wire[i] = step(of.values[i], memory, sent);
        of.after[i] = memory;
        if (of.sent) of.sent[i] = sent;
      });
}

/// `count` messages of cast<W>, at most Most, and the values that they become.
template <class T, class W, std::size_t Most> struct rounded_messages {
  const W* in[Most];
  int count;
  T* out;
  std::size_t n;
  std::size_t head; ///< of all pointers
};
template <class T, class W>
inline constexpr std::size_t length_of_rounded = 16 / (sizeof(W) < sizeof(T) ? sizeof(W) : sizeof(T));

/// out[i] = the fold of what the messages stand for, from the first to the last, lowered once.
template <class Context, class R, class T, class W, std::size_t Most>
TUTTI_HD void decode_and_reduce(Context& ctx, const R& reducer, const rounded_messages<T, W, Most>& of, double total) {
  using A = reducer_accumulator_t<R, T>;
  constexpr std::size_t length = length_of_rounded<T, W>;
  const auto lifted = [&](W w, std::size_t i) {
    return tutti::detail::lift<R, T>(reducer, element_cast<T>(element_cast<accumulator_t<W>>(w)), 1.0, i);
  };
  in_packets<length>(
      ctx, of.n, of.head,
      [&](std::size_t i) {
        A all[length];
        auto next = load<length>(of.in[0] + i);
        for (std::size_t k = 0; k < length; ++k) all[k] = lifted(next.values[k], i + k);
        for (int r = 1; r < of.count; ++r) {
          next = load<length>(of.in[r] + i);
          for (std::size_t k = 0; k < length; ++k) all[k] = reducer.combine(all[k], lifted(next.values[k], i + k));
        }
        packet<T, length> result;
        for (std::size_t k = 0; k < length; ++k)
          result.values[k] = tutti::detail::lower<T>(reducer, all[k], total, i + k);
        store(of.out + i, result);
      },
      [&](std::size_t i) {
        A all = lifted(of.in[0][i], i);
        for (int r = 1; r < of.count; ++r) all = reducer.combine(all, lifted(of.in[r][i], i));
        of.out[i] = tutti::detail::lower<T>(reducer, all, total, i);
      });
}

} // namespace tutti::detail::kernels
