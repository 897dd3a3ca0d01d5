// What NCCL can reduce by itself, and what it makes of it.
#pragma once

#include <tutti/core/element.hpp>
#include <tutti/core/part.hpp>
#include <tutti/reducers/elementary.hpp>

#include <nccl.h>

#include <concepts>
#include <optional>
#include <type_traits>

namespace tutti::cuda {

/// In place of a topology: NCCL's own collective. A call that names none takes it where NCCL computes what the reducer
/// says (nccl_computes); named, it is also taken where NCCL does something else: bfloat16 and half are added up in
/// bfloat16 and half, and min and max of floating-point values may lose a NaN. In which order is up to NCCL.
struct native {
  using part = topology_part;
};

namespace detail {

template <class R>
inline constexpr std::optional<ncclRedOp_t> nccl_operator_of = std::nullopt;
template <> inline constexpr std::optional<ncclRedOp_t> nccl_operator_of<sum> = ncclSum;
template <> inline constexpr std::optional<ncclRedOp_t> nccl_operator_of<product> = ncclProd;
template <> inline constexpr std::optional<ncclRedOp_t> nccl_operator_of<min> = ncclMin;
template <> inline constexpr std::optional<ncclRedOp_t> nccl_operator_of<max> = ncclMax;
template <> inline constexpr std::optional<ncclRedOp_t> nccl_operator_of<mean> = ncclAvg;

template <class T> constexpr std::optional<ncclDataType_t> nccl_type() {
  if constexpr (std::same_as<T, float>) return ncclFloat32;
  if constexpr (std::same_as<T, double>) return ncclFloat64;
  if constexpr (std::same_as<T, half>) return ncclFloat16;
  if constexpr (std::same_as<T, bfloat16>) return ncclBfloat16;
  if constexpr (std::integral<T>) {
    constexpr bool is_signed = std::is_signed_v<T>;
    if constexpr (sizeof(T) == 1) return is_signed ? ncclInt8 : ncclUint8;
    if constexpr (sizeof(T) == 4) return is_signed ? ncclInt32 : ncclUint32;
    if constexpr (sizeof(T) == 8) return is_signed ? ncclInt64 : ncclUint64;
  }
  return std::nullopt;
}

template <class R, class T>
inline constexpr bool nccl_takes = nccl_operator_of<R>.has_value() && nccl_type<T>().has_value();

template <class R, class T> constexpr void explain_native() {
  static_assert(std::is_empty_v<R>, "tutti::cuda::native: this reducer has state, and operators of NCCL have none - "
                                    "give a topology, as in tutti::ring{}");
  static_assert(!std::is_empty_v<R> || nccl_operator_of<R>.has_value(),
                "tutti::cuda::native: NCCL has no operator for this reducer, but for sum, product, min, max and mean - "
                "give a topology, as in tutti::ring{}");
  static_assert(!nccl_operator_of<R>.has_value() || nccl_type<T>().has_value(),
                "tutti::cuda::native: NCCL does not know these elements - give a topology, as in tutti::ring{}");
}

} // namespace detail

/// Whether NCCL's own collective is what a reducer says it is: of elements that are accumulated in themselves, and no
/// minimum or maximum in which a NaN could be lost.
template <class R, class T>
inline constexpr bool nccl_computes =
    detail::nccl_takes<R, T> && std::same_as<accumulator_t<T>, T> &&
    !(std::floating_point<T> && (std::same_as<R, min> || std::same_as<R, max>));

} // namespace tutti::cuda
