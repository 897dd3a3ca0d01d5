// A named piece of a model: what a strategy synchronises.
#pragma once

#include <cstddef>
#include <span>
#include <string>
#include <string_view>
#include <type_traits>

namespace tutti {

/// A name and the values behind it; the values belong to the caller. A model hands a strategy a
/// range of these, in the same order and with the same names and lengths on every rank.
/// `tensor<float>` is a parameter, `tensor<const float>` one that is only read.
template <class T>
struct tensor {
  std::string name;
  std::span<T> values;
};

template <class T>
tensor(std::string, std::span<T>) -> tensor<T>;
template <class T>
tensor(const char*, std::span<T>) -> tensor<T>;
template <class T>
tensor(std::string_view, std::span<T>) -> tensor<T>;

} // namespace tutti
