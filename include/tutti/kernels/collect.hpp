// A gradient becomes a contribution: added to what is there, scaled, and of another type.
#pragma once

#include <tutti/core/element.hpp>
#include <tutti/kernels/arithmetic.hpp>
#include <tutti/kernels/packets.hpp>

#include <cstddef>

namespace tutti::detail::kernels {

/// to = (to +) factor from, divided by `divisor`; computed in A, rounded once to T. `from` may be `to` where their
/// types are the same, and is apart from it otherwise.
template <class G, class T, class A> struct collected {
  const G* from;
  T* to;
  std::size_t n;
  std::size_t head; ///< of both pointers
  bool adds;
  A factor, divisor;
};

template <class Context, class G, class T, class A> TUTTI_HD void collect(Context& ctx, const collected<G, T, A>& of) {
  constexpr std::size_t length = 16 / (sizeof(G) < sizeof(T) ? sizeof(G) : sizeof(T));
  const rounding rounded;
  const auto step = [&](G from, T to) {
    A x = multiply(rounded, of.factor, element_cast<A>(from));
    if (of.adds) x = add(element_cast<A>(to), x);
    if (of.divisor != A(1)) x = divide(x, of.divisor);
    return element_cast<T>(x);
  };
  in_packets<length>(
      ctx, of.n, of.head,
      [&](std::size_t i) {
        const auto from = load<length>(of.from + i);
        packet<T, length> to{};
        if (of.adds) to = load<length>(static_cast<const T*>(of.to + i));
        for (std::size_t k = 0; k < length; ++k) to.values[k] = step(from.values[k], to.values[k]);
        store(of.to + i, to);
      },
      [&](std::size_t i) { of.to[i] = step(of.from[i], of.adds ? of.to[i] : T{}); });
}

} // namespace tutti::detail::kernels
