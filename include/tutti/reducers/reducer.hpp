// Reducers: how many contributions become one.
//
// A reducer is described one element at a time; tutti writes the loops. For an element type T and
// its accumulator A (float for bfloat16 and half, T itself otherwise, or what the reducer names):
//
//   folding    identity<A>()        the value that changes nothing
//              combine(A, A) -> A   the binary operation
//   gathering  gather(span<A>) -> A every contribution to one coordinate at once, in rank order;
//                                   the span may be reordered. With `static constexpr bool in_lanes
//                                   = true`, A may be lanes (core/lanes.hpp), sixteen columns at
//                                   once, each with the bits that it has alone
//   optional   lift(T, weight[, i]) -> A     a contribution entering, default: the conversion
//              lower(A, total[, i]) -> T     the result leaving, default: the conversion;
//                                            `total` is the sum of all weights, `i` the index of
//                                            the element in the caller's data
//              unite<T>(rows, T* out, n, total)    of a folding reducer without weights: values as they are, n of each
//                                            contribution, to finished ones, at once and with the same bits
//
// Weights are 1 unless the reducer says `static constexpr bool weighted = true`; then every rank
// gives its own in `options::weight`, and all ranks know all of them before the data moves. What weighs
// nothing contributes nothing, whatever it holds: in its place the identity is folded, and a gathered
// column is shorter by it. A reducer to which only the ratios of its weights matter says `static
// constexpr bool relative = true` as well, and is given them on a scale where none is lost: the greatest
// is above 1/2 and at most 1.
//
// An *agreeing* reducer is a recipe: it looks at the data, the numbers it writes down are combined
// over all ranks, and out of the result it makes the reducer that does the work - which may itself be
// agreeing, so there are as many phases as it needs:
//
//   agreement(n, size) -> int               how many numbers
//   agreement_reducer                       `sum` or `max`: how the ranks' numbers combine
//   observe(span<const T> mine, numbers)    before the data moves, each rank its own contribution; or
//   observe_gathered(rows, first, numbers)  after it has moved, each rank all contributions to its shard
//   agreed(span<const double>) -> reducer
//
// Laws (checked by tutti::check_reducer in reducers/laws.hpp):
//   1. combine(identity, a) and a are the same value
//   2. combine(a, b) and combine(b, a) have the same bits (a NaN is any NaN)
//   3. combine is associative: exactly for integers, within rounding otherwise
//   4. lower(lift(x, 1), 1) is x
//   5. gather, with the agreement before it, does not depend on the order of its contributions but
//      for rounding: a reducer may agree on one rank's contribution, but not because of its rank
//   6. a reducer that says it is rank_count_invariant has the same bits in any order and grouping
// and facts about it, each optional: `int least_contributions()`, how many ranks it needs, default 1;
// `const char* objection()`, why its numbers cannot work, nullptr when they can; and `static constexpr
// determinism repeats`, what it promises of the bits, default run_to_run.
// A combine or lift that multiplies and adds uses tutti::rounding (core/rounded.hpp), or -march=native
// may fuse the two in a part of a loop. `static constexpr tutti::execution runs` says where its functions may be called
// (core/execution.hpp), the host where it says nothing. State is part of the value: a reducer that carries numbers carries them
// through every call.
#pragma once

#include <tutti/core/determinism.hpp>
#include <tutti/core/element.hpp>
#include <tutti/core/execution.hpp>
#include <tutti/core/part.hpp>

#include <concepts>
#include <cstddef>
#include <span>
#include <type_traits>

namespace tutti {

namespace detail {

template <class R, class T>
struct accumulator_of {
  using type = accumulator_t<T>;
};
template <class R, class T>
  requires requires { typename R::template accumulator<T>; }
struct accumulator_of<R, T> {
  using type = typename R::template accumulator<T>;
};

} // namespace detail

/// What partial results of reducer R over elements T are kept in.
template <class R, element T>
using reducer_accumulator_t = typename detail::accumulator_of<R, T>::type;

template <class R>
concept reducer = std::copy_constructible<R> && detail::part_is<R, reducer_part>;

/// May be applied pairwise, so that any topology carries it.
template <class R, class T>
concept folding_reducer =
    reducer<R> && element<T> && requires(const R r, const reducer_accumulator_t<R, T> a) {
      { r.combine(a, a) } -> std::same_as<reducer_accumulator_t<R, T>>;
      { r.template identity<reducer_accumulator_t<R, T>>() }
        -> std::same_as<reducer_accumulator_t<R, T>>;
    };

/// Needs every contribution to a coordinate at once, so a topology that brings them to one place.
template <class R, class T>
concept gathering_reducer =
    reducer<R> && element<T> &&
    requires(const R r, std::span<reducer_accumulator_t<R, T>> column) {
      { r.gather(column) } -> std::same_as<reducer_accumulator_t<R, T>>;
    };

namespace detail {

/// Whether R gathers many columns at once.
template <class R>
inline constexpr bool gathers_lanes = false;
template <class R>
  requires requires { R::in_lanes; }
inline constexpr bool gathers_lanes<R> = R::in_lanes;

} // namespace detail

/// All contributions to elements [first, first + n) of the data, one row per rank, in rank order.
template <class T>
struct gathered_rows {
  std::span<const T* const> rows;
  std::size_t n;
};

template <class R>
concept agreeing_reducer =
    reducer<R> && requires(const R r, std::span<const double> numbers) {
      { r.agreement(std::size_t{}, int{}) } -> std::convertible_to<std::size_t>;
      typename R::agreement_reducer;
      requires reducer<std::remove_cvref_t<decltype(r.agreed(numbers))>>;
    };

/// Agrees on something each rank sees in its own contribution.
template <class R, class T>
concept observes_own = agreeing_reducer<R> && element<T> &&
                       requires(const R r, std::span<const T> mine, std::span<double> numbers) {
                         r.observe(mine, numbers);
                       };

/// Agrees on something that shows only in all contributions to a shard.
template <class R, class T>
concept observes_gathered =
    agreeing_reducer<R> && element<T> &&
    requires(const R r, gathered_rows<T> rows, std::span<double> numbers) {
      r.observe_gathered(rows, std::size_t{}, numbers);
    };

/// Any reducer over elements T.
template <class R, class T>
concept reducer_of = folding_reducer<R, T> || gathering_reducer<R, T> || observes_own<R, T> ||
                     observes_gathered<R, T>;

namespace detail {

template <class R>
struct agreed_of {
  using type = R;
};
template <agreeing_reducer R>
struct agreed_of<R>
    : agreed_of<std::remove_cvref_t<decltype(std::declval<const R&>().agreed(
          std::span<const double>{}))>> {};

} // namespace detail

/// The reducer that is left when all of R's agreements are made; R itself when it makes none.
template <class R>
using working_reducer_t = typename detail::agreed_of<R>::type;

/// Whether R must see every contribution in one place, now or after an agreement.
template <class R, class T>
inline constexpr bool needs_every_contribution =
    observes_gathered<R, T> || (gathering_reducer<working_reducer_t<R>, T> &&
                                !folding_reducer<working_reducer_t<R>, T>);

/// Whether ranks give their contributions weights of their own.
template <class R>
inline constexpr bool is_weighted = false;
template <class R>
  requires requires { R::weighted; }
inline constexpr bool is_weighted<R> = R::weighted;

/// Whether R is given its weights on a scale of their own.
template <class R>
inline constexpr bool has_relative_weights = false;
template <class R>
  requires requires { R::relative; }
inline constexpr bool has_relative_weights<R> = R::relative;

/// The determinism that R promises, asked of the reducer that is named in the strategy.
template <class R>
inline constexpr determinism repeats_of = determinism::run_to_run;
template <class R>
  requires requires { { R::repeats } -> std::convertible_to<determinism>; }
inline constexpr determinism repeats_of<R> = R::repeats;

/// Whether R takes elements T; a reducer may narrow this with `template <class T> accepts`.
template <class R, class T>
inline constexpr bool accepts_element = reducer_of<R, T>;
template <class R, class T>
  requires reducer_of<R, T> && requires { R::template accepts<T>; }
inline constexpr bool accepts_element<R, T> = R::template accepts<T>;

namespace detail {

template <class R, element T>
TUTTI_HD constexpr reducer_accumulator_t<R, T> lift(const R& r, T x, double weight, std::size_t index) {
  using A = reducer_accumulator_t<R, T>;
  if constexpr (requires { { r.lift(x, weight, index) } -> std::same_as<A>; })
    return r.lift(x, weight, index);
  else if constexpr (requires { { r.lift(x, weight) } -> std::same_as<A>; })
    return r.lift(x, weight);
  else
    return element_cast<A>(x);
}

template <class T, class R, class A>
TUTTI_HD constexpr T lower(const R& r, A a, double total, std::size_t index) {
  if constexpr (requires { { r.template lower<T>(a, total, index) } -> std::same_as<T>; })
    return r.template lower<T>(a, total, index);
  else if constexpr (requires { { r.template lower<T>(a, total) } -> std::same_as<T>; })
    return r.template lower<T>(a, total);
  else
    return element_cast<T>(a);
}

/// Neither lift nor lower do anything: a reduction may run inside the caller's memory.
template <class R, class T>
concept plain_lift = std::same_as<reducer_accumulator_t<R, T>, T> && !is_weighted<R> &&
                     !requires(const R r, T x) { r.lift(x, 1.0); } &&
                     !requires(const R r, T x) { r.lift(x, 1.0, std::size_t{}); };
template <class R, class T>
concept plain_lower = std::same_as<reducer_accumulator_t<R, T>, T> &&
                      !requires(const R r, T x) { r.template lower<T>(x, 1.0); } &&
                      !requires(const R r, T x) { r.template lower<T>(x, 1.0, std::size_t{}); };

} // namespace detail
} // namespace tutti
