// The element types that may be reduced, and the type each accumulates in.
#pragma once

#include <tutti/core/float16.hpp>

#include <concepts>
#include <cstdint>
#include <string_view>
#include <type_traits>

namespace tutti {

namespace detail {

template <class T>
struct element_traits; // undefined: not an element

template <class T, class Accumulator>
struct element_definition {
  using accumulator = Accumulator;
};
// clang-format off
template <> struct element_traits<float>         : element_definition<float, float> { static constexpr std::string_view name = "float"; };
template <> struct element_traits<double>        : element_definition<double, double> { static constexpr std::string_view name = "double"; };
template <> struct element_traits<bfloat16>      : element_definition<bfloat16, float> { static constexpr std::string_view name = "bfloat16"; };
template <> struct element_traits<half>          : element_definition<half, float> { static constexpr std::string_view name = "half"; };
template <> struct element_traits<std::int8_t>   : element_definition<std::int8_t, std::int8_t> { static constexpr std::string_view name = "int8"; };
template <> struct element_traits<std::uint8_t>  : element_definition<std::uint8_t, std::uint8_t> { static constexpr std::string_view name = "uint8"; };
template <> struct element_traits<std::int32_t>  : element_definition<std::int32_t, std::int32_t> { static constexpr std::string_view name = "int32"; };
template <> struct element_traits<std::uint32_t> : element_definition<std::uint32_t, std::uint32_t> { static constexpr std::string_view name = "uint32"; };
template <> struct element_traits<std::int64_t>  : element_definition<std::int64_t, std::int64_t> { static constexpr std::string_view name = "int64"; };
template <> struct element_traits<std::uint64_t> : element_definition<std::uint64_t, std::uint64_t> { static constexpr std::string_view name = "uint64"; };
// clang-format on

} // namespace detail

/// float, double, bfloat16, half, and the signed and unsigned integers of 8, 32 and 64 bits.
template <class T>
concept element = requires { typename detail::element_traits<T>::accumulator; };

/// What partial results are kept in: float for bfloat16 and half, the type itself otherwise.
template <element T>
using accumulator_t = typename detail::element_traits<T>::accumulator;

template <element T>
inline constexpr std::string_view element_name = detail::element_traits<T>::name;

/// Elements with a fractional part, which a mean needs.
template <class T>
concept real_element = element<T> && (std::floating_point<T> || std::same_as<T, bfloat16> ||
                                      std::same_as<T, half>);

/// Between an element and its accumulator, or between two elements.
template <class To, class From>
constexpr To element_cast(From x) noexcept {
  if constexpr (std::same_as<To, From>)
    return x;
  else if constexpr (std::same_as<To, bfloat16> || std::same_as<To, half>)
    return To(static_cast<float>(x));
  else if constexpr (std::same_as<From, bfloat16> || std::same_as<From, half>)
    return static_cast<To>(static_cast<float>(x));
  else
    return static_cast<To>(x);
}

template <element T>
constexpr bool is_finite(T x) noexcept {
  if constexpr (std::same_as<T, bfloat16>)
    return (x.bits & 0x7f80u) != 0x7f80u;
  else if constexpr (std::same_as<T, half>)
    return (x.bits & 0x7c00u) != 0x7c00u;
  else if constexpr (std::floating_point<T>)
    return x - x == T{0};
  else
    return true;
}

} // namespace tutti
