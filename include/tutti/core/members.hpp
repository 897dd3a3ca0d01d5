// The members of a part, without being told them: what ranks must agree on is every number in it.
//
//   for_each_member(part, f)   calls f(member) for each non-static data member, in their order
//   hash_of(part)              one number for the type and all values in it, members of members
//   included
//
// A class whose members cannot be listed - it has private ones, constructors, a base, or more than
// most_members - counts by its type alone. Such a one, or one with members in which ranks may
// differ - or an anonymous union, which no compiler takes apart - says what counts itself:
//
//   auto compared() const { return std::tie(numerator, denominator); }
#pragma once

#include <tutti/core/float16.hpp>
#include <tutti/core/hash.hpp>

#include <bit>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <iterator>
#include <span>
#include <string_view>
#include <tuple>
#include <type_traits>
#include <utility>

namespace tutti {

/// Of one class; those of its members do not count.
inline constexpr std::size_t most_members = 12;

namespace detail {

/// Becomes anything but `Not`, in an expression that is not evaluated. (With a body, or clang++
/// warns where a constructor that takes anything is only looked at.)
template <class Not> struct anything {
  template <class U>
  requires(!std::is_same_v<std::remove_cv_t<U>, Not>) operator U() const noexcept {
    for (;;) {
    }
  }
};
/// Becomes a base class of `Derived` only.
template <class Derived> struct any_base {
  template <class U>
  requires(std::is_base_of_v<U, Derived> && !std::is_same_v<std::remove_cv_t<U>, Derived>)
  operator U() const noexcept;
};

template <class T, std::size_t> using any_member_of = anything<T>;

template <class T>
concept has_base = requires {
  T{any_base<T>{}};
};

/// Whether T{x, ...} compiles with as many initializers.
template <class T, std::size_t... Before> constexpr bool takes(std::index_sequence<Before...>) {
  return requires {
    T{any_member_of<T, Before>{}...};
  };
}
/// Whether T{x, ..., {}} does.
template <class T, std::size_t... Before>
constexpr bool takes_one_more(std::index_sequence<Before...>) {
  return requires {
    T{any_member_of<T, Before>{}..., {}};
  };
}
/// Whether T{x, ..., {x, ...}, x, ...} does.
template <class T, std::size_t... Before, std::size_t... In, std::size_t... Behind>
constexpr bool takes(std::index_sequence<Before...>, std::index_sequence<In...>,
                     std::index_sequence<Behind...>) {
  return requires {
    T{any_member_of<T, Before>{}..., {any_member_of<T, In>{}...}, any_member_of<T, Behind>{}...};
  };
}

/// The most initializers that T takes, elements of array members counted one by one; -1 where that
/// is not to be found.
template <class T, std::size_t Tried = most_members + 1> constexpr int most_initializers() {
  if constexpr (detail::takes<T>(std::make_index_sequence<Tried>{})) {
    constexpr bool all =
        Tried <= most_members && !detail::takes_one_more<T>(std::make_index_sequence<Tried>{});
    return all ? int(Tried) : -1;
  } else if constexpr (Tried > 0) {
    return detail::most_initializers<T, Tried - 1>();
  } else {
    return -1;
  }
}

/// How many of `All` initializers the member takes that begins with number `At`: braces around
/// those of an array leave no room for one more behind them.
template <class T, std::size_t At, std::size_t All, std::size_t In = All - At>
constexpr std::size_t initializers_of_member() {
  if constexpr (In < 2) {
    return 1;
  } else {
    constexpr std::make_index_sequence<At> before{};
    constexpr std::make_index_sequence<In> in{};
    if constexpr (detail::takes<T>(before, in, std::make_index_sequence<All - At - In>{}) &&
                  !detail::takes<T>(before, in, std::make_index_sequence<All - At - In + 1>{}))
      return In;
    else return detail::initializers_of_member<T, At, All, In - 1>();
  }
}
template <class T, std::size_t All, std::size_t At = 0> constexpr int count_members() {
  if constexpr (At >= All) return 0;
  else
    return 1 + detail::count_members<T, All, At + detail::initializers_of_member<T, At, All>()>();
}

/// -1 where they cannot be listed.
template <class T> constexpr int members_of() {
  if constexpr (std::is_empty_v<T>) {
    return 0;
  } else if constexpr (!std::is_aggregate_v<T> || std::is_union_v<T> || std::is_array_v<T> ||
                       has_base<T>) {
    return -1;
  } else {
    constexpr int all = detail::most_initializers<T>();
    if constexpr (all > 0) return detail::count_members<T, std::size_t(all)>();
    else return -1;
  }
}

} // namespace detail

/// How many members T has; -1 where they cannot be listed.
template <class T> inline constexpr int member_count = detail::members_of<std::remove_cvref_t<T>>();

/// A class whose members for_each_member lists.
template <class T>
concept has_listed_members = std::is_class_v<std::remove_cvref_t<T>> && member_count<T>
>= 0;

/// Calls f(member) for each member of `part`, from the first to the last.
template <has_listed_members T, class F> constexpr void for_each_member(const T& part, F&& f) {
  constexpr int n = member_count<T>;
  const auto each = [&](const auto&... members) { (f(members), ...); };
  if constexpr (n == 1) {
    const auto& [a] = part;
    each(a);
  } else if constexpr (n == 2) {
    const auto& [a, b] = part;
    each(a, b);
  } else if constexpr (n == 3) {
    const auto& [a, b, c] = part;
    each(a, b, c);
  } else if constexpr (n == 4) {
    const auto& [a, b, c, d] = part;
    each(a, b, c, d);
  } else if constexpr (n == 5) {
    const auto& [a, b, c, d, e] = part;
    each(a, b, c, d, e);
  } else if constexpr (n == 6) {
    const auto& [a, b, c, d, e, g] = part;
    each(a, b, c, d, e, g);
  } else if constexpr (n == 7) {
    const auto& [a, b, c, d, e, g, h] = part;
    each(a, b, c, d, e, g, h);
  } else if constexpr (n == 8) {
    const auto& [a, b, c, d, e, g, h, i] = part;
    each(a, b, c, d, e, g, h, i);
  } else if constexpr (n == 9) {
    const auto& [a, b, c, d, e, g, h, i, j] = part;
    each(a, b, c, d, e, g, h, i, j);
  } else if constexpr (n == 10) {
    const auto& [a, b, c, d, e, g, h, i, j, k] = part;
    each(a, b, c, d, e, g, h, i, j, k);
  } else if constexpr (n == 11) {
    const auto& [a, b, c, d, e, g, h, i, j, k, l] = part;
    each(a, b, c, d, e, g, h, i, j, k, l);
  } else if constexpr (n == 12) {
    const auto& [a, b, c, d, e, g, h, i, j, k, l, m] = part;
    each(a, b, c, d, e, g, h, i, j, k, l, m);
  }
}

namespace detail {

/// The bits of a number, one zero and one NaN.
inline std::uint64_t canonical_bits(double x) noexcept {
  if (x == 0) return 0;
  return x == x ? std::bit_cast<std::uint64_t>(x) : ~std::uint64_t{0};
}

template <class T>
concept says_what_counts = requires(const T& value) {
  value.compared();
};
template <class T>
concept duration_like = requires(const T& value) {
  typename T::period;
  { value.count() } -> std::convertible_to<typename T::rep>;
};
template <class T>
concept iterable = requires(const T& value) {
  std::begin(value) != std::end(value);
  *std::begin(value);
};

/// A view of what somebody else owns, which may be a rank's own; texts are what they say.
template <class T>
concept refers_to_others = std::ranges::enable_borrowed_range<T> && !std::is_convertible_v<T, std::string_view>;

/// use(bits, real) for every number in `value`; `real` says that the bits are a double's. Addresses and
/// views do not count: they differ from rank to rank, or what they refer to does.
template <class T, class Use> constexpr void each_number(const T& value, Use&& use) {
  if constexpr (std::is_empty_v<T>) {
  } else if constexpr (says_what_counts<T>) {
    std::apply([&](const auto&... one) { (detail::each_number(one, use), ...); }, value.compared());
  } else if constexpr (std::is_integral_v<T> || std::is_enum_v<T>) {
    use(std::uint64_t(value), false);
  } else if constexpr (std::is_floating_point_v<T>) {
    use(detail::canonical_bits(double(value)), true);
  } else if constexpr (std::is_same_v<T, bfloat16> || std::is_same_v<T, half>) {
    use(detail::canonical_bits(double(float(value))), true);
  } else if constexpr (duration_like<T>) {
    detail::each_number(value.count(), use);
  } else if constexpr (refers_to_others<T>) {
  } else if constexpr (iterable<T>) {
    std::uint64_t count = 0;
    for (const auto& one : value) detail::each_number(one, use), ++count;
    use(count, false);
  } else if constexpr (has_listed_members<T>) {
    tutti::for_each_member(value, [&](const auto& one) { detail::each_number(one, use); });
  }
}

/// `hash`, and then every number in `value`.
template <class T> constexpr std::uint64_t hashed_numbers(std::uint64_t hash, const T& value) {
  detail::each_number(value,
                      [&](std::uint64_t bits, bool) { hash = detail::hashed(hash, bits); });
  return hash;
}

} // namespace detail

/// One number for the type of `value` and every number in it; the same on all ranks that give the
/// same. Of a class without members it is a constant.
template <class T> constexpr std::uint64_t hash_of(const T& value) {
  constexpr std::uint64_t type = detail::type_hash<T>();
  return detail::hashed_numbers(type, value);
}

} // namespace tutti
