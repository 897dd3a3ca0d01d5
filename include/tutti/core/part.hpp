// How the parts of a strategy are told apart and picked out of a pack, in any order.
//
// A part names its noun by a nested type: `using part = tutti::reducer_part`. That one line is also
// how a user's own type is recognised. A call takes its parts as a pack and asks for the one of each
// noun, or for a default; two parts of one noun, and things that are no part, do not compile.
#pragma once

#include <cstddef>
#include <tuple>
#include <type_traits>
#include <utility>

namespace tutti {

struct communicator_part {};
struct topology_part {};
struct reducer_part {};
struct codec_part {};
struct memory_part {}; ///< of a codec, in a call by hand
struct sync_part {};
struct accumulator_part {}; ///< of rounds over a population
struct options_part {};
struct training_part {};
struct privacy_part {};
struct demand_part {}; ///< what is asked of the whole: a level of determinism

namespace detail {

template <class T>
concept has_part = requires { typename std::remove_cvref_t<T>::part; };

template <class T>
struct part_of {
  using type = void;
};
template <has_part T>
struct part_of<T> {
  using type = typename std::remove_cvref_t<T>::part;
};

template <class T, class Noun>
concept part_is = std::is_same_v<typename part_of<T>::type, Noun>;

template <class Noun, class... Parts>
inline constexpr int count_parts = (0 + ... + int(part_is<Parts, Noun>));

template <class Noun, class Default, class... Parts>
struct find_part {
  using type = Default;
};
template <class Noun, class Default, class First, class... Rest>
struct find_part<Noun, Default, First, Rest...> {
  using type = std::conditional_t<part_is<First, Noun>, First,
                                  typename find_part<Noun, Default, Rest...>::type>;
};

/// The type of the part of a noun among `Parts`, as it was given (reference or value), or `Default`.
template <class Noun, class Default, class... Parts>
using part_type = typename find_part<Noun, Default, Parts...>::type;

/// The part of a noun among the arguments, or a default-constructed `Default`.
template <class Noun, class Default>
constexpr Default pick() {
  return Default{};
}
template <class Noun, class Default, class First, class... Rest>
constexpr decltype(auto) pick(First&& first, Rest&&... rest) {
  if constexpr (part_is<First, Noun>)
    return std::forward<First>(first);
  else
    return detail::pick<Noun, Default>(std::forward<Rest>(rest)...);
}

/// What a noun that was left out stands for; parts are values, so one constant serves all.
template <class Part>
inline constexpr Part default_part{};

/// The same, of arguments that stay where they are: what is picked is referred to.
template <class Noun, class Default>
constexpr const Default& picked() {
  return default_part<Default>;
}
template <class Noun, class Default, class First, class... Rest>
constexpr const Default& picked(const First& first, const Rest&... rest) {
  if constexpr (part_is<First, Noun>)
    return first;
  else
    return detail::picked<Noun, Default>(rest...);
}

template <class...>
inline constexpr bool always_false = false;

} // namespace detail
} // namespace tutti
