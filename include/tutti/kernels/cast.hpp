// Rounding to a shorter element, with what is lost remembered: cast<W> inside of error_feedback, in one pass.
#pragma once

#include <tutti/core/element.hpp>
#include <tutti/kernels/arithmetic.hpp>
#include <tutti/kernels/norm.hpp>
#include <tutti/kernels/packets.hpp>

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

} // namespace tutti::detail::kernels
