// Optimizers: how a gradient moves parameters, one element at a time.
//
//   slots                                      how many state values each parameter has; they begin as 0
//   update(step, parameters, gradients, state) parameters and state of one key range, in place;
//                                              `step` counts from 1, state[k] is the k-th slot
//   learning_rate                              a public member, so that a program may schedule it
//
// Laws: update is elementwise - a value depends on its own gradient and state and on `step`, on nothing
// else - so any split into key ranges gives the same bits, on replicas, servers and outer loops alike.
// Empty ranges are allowed. Multiplications and additions are rounded separately (core/rounded.hpp), so
// the bits do not depend on -march.
#pragma once

#include <array>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <span>

namespace tutti {

template <class T, std::size_t Slots>
using optimizer_slots = std::array<std::span<T>, Slots>;

template <class O, class T>
concept optimizer =
    std::copy_constructible<O> &&
    requires(const O o, std::int64_t step, std::span<T> parameters, std::span<const T> gradients,
             optimizer_slots<T, std::size_t(O::slots)> state) {
      { O::slots } -> std::convertible_to<std::size_t>;
      o.template update<T>(step, parameters, gradients, state);
    };

} // namespace tutti
