// Runs an optimizer over a few steps and says where it leaves its description, bit by bit.
#pragma once

#include "by_hand.hpp"

#include <array>
#include <cstddef>
#include <span>
#include <string>
#include <vector>

namespace optimizers {

/// Numbers in [-2, 2) with all their bits in use.
template <class T>
std::vector<T> some_numbers(std::size_t n, std::uint64_t seed) {
  std::vector<T> out;
  for (std::size_t i = 0; i < n; ++i) {
    seed = seed * 6364136223846793005u + 1442695040888963407u;
    out.push_back(T(double(seed >> 11) * 0x1p-51 - 2));
  }
  return out;
}

/// `update(step, parameters, gradients, states)` against `describe(value, step, gradient)`.
template <class T, std::size_t Slots, class Update, class Describe>
std::string first_difference(Update update, Describe describe) {
  constexpr std::size_t n = 77; // a vector loop and its tail
  auto parameters = some_numbers<T>(n, 1);
  std::vector<by_hand<T>> values;
  for (const T x : parameters) values.push_back({.parameter = x});
  std::array<std::vector<T>, Slots> states;
  std::array<std::span<T>, Slots> spans;
  for (std::size_t k = 0; k < Slots; ++k) spans[k] = states[k] = std::vector<T>(n);
  for (std::int64_t step = 1; step <= 6; ++step) {
    const auto gradients = some_numbers<T>(n, 1 + std::uint64_t(step));
    update(step, std::span<T>{parameters}, std::span<const T>{gradients}, spans);
    for (std::size_t i = 0; i < n; ++i) {
      describe(values[i], step, gradients[i]);
      if (parameters[i] != T(values[i].parameter))
        return "parameter " + std::to_string(i) + " after step " + std::to_string(step);
    }
  }
  return {};
}

template <class T, class Sgd>
std::string sgd_difference(const Sgd& o) {
  return first_difference<T, 1>(
      [&](auto step, auto parameters, auto gradients, auto state) {
        update<T>(o, step, parameters, gradients, state);
      },
      [&](by_hand<T>& value, std::int64_t, T gradient) { value.sgd(o, gradient); });
}

template <class T, class Adam>
std::string adam_difference(const Adam& o, bool decoupled) {
  return first_difference<T, 2>(
      [&](auto step, auto parameters, auto gradients, auto state) {
        update<T>(o, step, parameters, gradients, state);
      },
      [&](by_hand<T>& value, std::int64_t step, T gradient) {
        value.adam(o, step, gradient, decoupled);
      });
}

} // namespace optimizers
