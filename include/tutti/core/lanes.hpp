// lanes: sixteen numbers that are worked on alike, as a vector register does.
#pragma once

#include <concepts>
#include <cstddef>
#include <type_traits>

namespace tutti {

/// What is done to one is done to all, in loops of a constant length, which g++ vectorises at -O2.
template <class A>
struct lanes {
  static constexpr std::size_t width = 16;

  constexpr lanes() noexcept = default;
  constexpr explicit lanes(A each) noexcept {
    for (std::size_t l = 0; l < width; ++l) at[l] = each;
  }
  template <std::integral Count>
    requires(!std::same_as<Count, A>)
  constexpr explicit lanes(Count each) noexcept : lanes(static_cast<A>(each)) {}

  friend constexpr lanes operator+(const lanes& a, const lanes& b) noexcept {
    lanes out;
    for (std::size_t l = 0; l < width; ++l) out.at[l] = a.at[l] + b.at[l];
    return out;
  }
  friend constexpr lanes operator/(const lanes& a, const lanes& b) noexcept {
    lanes out;
    for (std::size_t l = 0; l < width; ++l) out.at[l] = a.at[l] / b.at[l];
    return out;
  }

  A at[width] = {};
};

namespace detail {

/// Of lanes the type of one of them; of a number its own.
template <class A>
struct lane_of {
  using type = A;
};
template <class A>
struct lane_of<lanes<A>> {
  using type = A;
};
template <class A>
using lane_t = typename lane_of<A>::type;

/// f of each lane: by_lane(f, a, b...) of lanes are lanes, of numbers a number.
template <class F, class A, class... More>
constexpr auto by_lane(F&& f, const A& a, const More&... more) {
  if constexpr (std::same_as<A, lane_t<A>>) {
    return f(a, more...);
  } else {
    lanes<decltype(f(a.at[0], more.at[0]...))> out;
    for (std::size_t l = 0; l < A::width; ++l) out.at[l] = f(a.at[l], more.at[l]...);
    return out;
  }
}

} // namespace detail
} // namespace tutti
