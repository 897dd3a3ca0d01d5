// Contributions become accumulators, and accumulators values: the two ends of a reduction that is folded pairwise.
#pragma once

#include <tutti/kernels/packets.hpp>
#include <tutti/reducers/reducer.hpp>

#include <concepts>
#include <cstddef>

namespace tutti::detail::kernels {

/// n values that each become one other.
template <class In, class Out> struct column {
  const In* in;
  Out* out;
  std::size_t n;
  std::size_t head; ///< of both pointers (head_of), for length<In, Out> at a time
};

template <class In, class Out>
inline constexpr std::size_t length_of = packet<In>::length > packet<Out>::length ? packet<In>::length
                                                                                  : packet<Out>::length;

/// out[i] = become(in[i]). `out` may be `in`, where both are of one size.
template <class Context, class In, class Out, class Become>
TUTTI_HD void transform(Context& ctx, const column<In, Out>& of, const Become& become) {
  constexpr std::size_t length = length_of<In, Out>;
  const auto one = [&](std::size_t i) { of.out[i] = become(of.in[i]); };
  const auto many = [&](std::size_t i) {
    const packet<In, length> from = load<length>(of.in + i);
    packet<Out, length> to;
    for (std::size_t j = 0; j < length; ++j) to.values[j] = become(from.values[j]);
    store(of.out + i, to);
  };
  in_packets<length>(ctx, of.n, of.head, many, one);
}

/// A contribution that weighs `weight`, as a reducer takes it in; without any weight it is the identity, whatever it
/// holds.
template <class Context, class R, class T>
TUTTI_HD void lift(Context& ctx, const R& reducer, const column<T, reducer_accumulator_t<R, T>>& of, double weight) {
  using A = reducer_accumulator_t<R, T>;
  kernels::transform(ctx, of, [&](T x) {
    return weight == 0 ? reducer.template identity<A>() : tutti::detail::lift<R, T>(reducer, x, weight, 0);
  });
}

/// The result, as a reducer gives it out. `total` is the sum of all weights.
template <class Context, class R, class T, class A>
TUTTI_HD void lower(Context& ctx, const R& reducer, const column<A, T>& of, double total) {
  kernels::transform(ctx, of, [&](A a) { return tutti::detail::lower<T>(reducer, a, total, 0); });
}

/// A reducer of what another one accumulates: it folds and does nothing else.
template <class R, class A> struct partial_fold {
  using part = reducer_part;
  static constexpr tutti::execution runs = R::runs;
  template <class> using accumulator = A;
  template <class T> static constexpr bool accepts = std::same_as<T, A>;

  template <class X> TUTTI_HD constexpr X identity() const { return reducer.template identity<X>(); }
  TUTTI_HD constexpr A combine(A a, A b) const { return reducer.combine(a, b); }

  R reducer;
};

} // namespace tutti::detail::kernels
