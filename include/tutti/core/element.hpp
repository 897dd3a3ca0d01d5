// The element types that may be reduced, and the type each accumulates in.
#pragma once

#include <tutti/core/float16.hpp>

#include <concepts>
#include <cstdint>
#include <string_view>
#include <type_traits>

namespace tutti {

namespace detail {

/// Every signed and unsigned integer of 8 to 64 bits; not bool, and no characters: those are no numbers.
template <class T>
concept integer = std::same_as<T, signed char> || std::same_as<T, unsigned char> ||
                  std::same_as<T, short> || std::same_as<T, unsigned short> ||
                  std::same_as<T, int> || std::same_as<T, unsigned> || std::same_as<T, long> ||
                  std::same_as<T, unsigned long> || std::same_as<T, long long> ||
                  std::same_as<T, unsigned long long>;

/// std::complex, and whatever else is two numbers with real() and imag(): <complex> costs whoever
/// includes it more to compile than all of core/.
template <class T>
concept complex_of_real =
    std::is_class_v<T> && std::is_trivially_copyable_v<T> && requires(const T z) {
      typename T::value_type;
      requires std::same_as<typename T::value_type, float> ||
                   std::same_as<typename T::value_type, double>;
      { z.real() } -> std::same_as<typename T::value_type>;
      { z.imag() } -> std::same_as<typename T::value_type>;
      { z + z } -> std::same_as<T>;
      T(z.real(), z.imag());
      requires sizeof(T) == 2 * sizeof(typename T::value_type);
    };

/// A struct under a reducer of the user's own. Messages and shared memory are aligned to eight bytes.
template <class T>
concept record = std::is_class_v<T> && !complex_of_real<T> && std::is_trivially_copyable_v<T> &&
                 std::is_default_constructible_v<T> && alignof(T) <= 8 &&
                 sizeof(T) <= 1024;

template <class T>
struct element_traits; // undefined: not an element

template <class T, class Accumulator>
struct element_definition {
  using accumulator = Accumulator;
};
// clang-format off
template <> struct element_traits<float>    : element_definition<float, float> { static constexpr std::string_view name = "float"; };
template <> struct element_traits<double>   : element_definition<double, double> { static constexpr std::string_view name = "double"; };
template <> struct element_traits<bfloat16> : element_definition<bfloat16, float> { static constexpr std::string_view name = "bfloat16"; };
template <> struct element_traits<half>     : element_definition<half, float> { static constexpr std::string_view name = "half"; };
// clang-format on
/// Of an integer: "int8" is the end of "uint8".
constexpr std::string_view integer_name(std::size_t bytes, bool is_signed) {
  const std::string_view all = bytes == 1   ? "uint8"
                               : bytes == 2 ? "uint16"
                               : bytes == 4 ? "uint32"
                                            : "uint64";
  return all.substr(is_signed ? 1 : 0);
}
template <integer T>
struct element_traits<T> : element_definition<T, T> {
  static constexpr std::string_view name = integer_name(sizeof(T), std::is_signed_v<T>);
};
template <complex_of_real T>
struct element_traits<T> : element_definition<T, T> {
  static constexpr std::string_view name =
      sizeof(typename T::value_type) == 4 ? "complex_float" : "complex_double";
};
template <record T>
struct element_traits<T> : element_definition<T, T> {
  static constexpr std::string_view name = "record";
};

} // namespace detail

/// float, double, bfloat16, half, the signed and unsigned integers of 8, 16, 32 and 64 bits,
/// std::complex of float and double; and, for a reducer that takes it, any trivially copyable struct of
/// at most 1 KiB that can be made of nothing.
template <class T>
concept element = requires { typename detail::element_traits<T>::accumulator; };

/// What partial results are kept in: float for bfloat16 and half, the type itself otherwise.
template <element T>
using accumulator_t = typename detail::element_traits<T>::accumulator;

template <element T>
inline constexpr std::string_view element_name = detail::element_traits<T>::name;

/// Elements that can be added and multiplied by tutti itself: all but structs.
template <class T>
concept numeric_element =
    element<T> && (detail::integer<T> || detail::complex_of_real<T> || std::floating_point<T> ||
                   std::same_as<T, bfloat16> || std::same_as<T, half>);

template <class T>
concept complex_element = element<T> && detail::complex_of_real<T>;

/// Elements with a fractional part, which a mean needs.
template <class T>
concept real_element = element<T> && (std::floating_point<T> || std::same_as<T, bfloat16> ||
                                      std::same_as<T, half>);

/// Between an element and its accumulator, or between two elements.
template <class To, class From>
TUTTI_HD constexpr To element_cast(From x) noexcept {
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
TUTTI_HD constexpr bool is_finite(T x) noexcept {
  if constexpr (std::same_as<T, bfloat16>)
    return (x.bits & 0x7f80u) != 0x7f80u;
  else if constexpr (std::same_as<T, half>)
    return (x.bits & 0x7c00u) != 0x7c00u;
  else if constexpr (std::floating_point<T>)
    return x - x == T{0};
  else if constexpr (complex_element<T>)
    return tutti::is_finite(x.real()) && tutti::is_finite(x.imag());
  else
    return true;
}

} // namespace tutti
