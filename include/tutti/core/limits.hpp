// std::numeric_limits as constants: CUDA kernels may read these, and may not call those.
#pragma once

#include <concepts>
#include <limits>

namespace tutti::detail {

template <class A>
inline constexpr A nan_of = std::numeric_limits<A>::quiet_NaN();
/// +inf and -inf, or the largest and smallest integer.
template <class A>
inline constexpr A most_of = std::numeric_limits<A>::has_infinity ? std::numeric_limits<A>::infinity()
                                                                  : (std::numeric_limits<A>::max)();
template <class A>
inline constexpr A least_of = std::numeric_limits<A>::has_infinity ? static_cast<A>(-std::numeric_limits<A>::infinity())
                                                                   : std::numeric_limits<A>::lowest();
/// The least positive number with all its bits.
template <std::floating_point A>
inline constexpr A least_normal_of = (std::numeric_limits<A>::min)();

} // namespace tutti::detail
