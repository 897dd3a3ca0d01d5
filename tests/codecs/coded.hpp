// What the tests of codecs share.
#pragma once

#include <tutti/codecs/codec.hpp>
#include <tutti/core/random.hpp>

#include <cmath>
#include <cstring>
#include <limits>
#include <vector>

namespace coded {

inline constexpr float infinite = std::numeric_limits<float>::infinity();
inline constexpr float none = std::numeric_limits<float>::quiet_NaN();

template <class T, class C>
std::vector<std::byte> encoded(const C& codec, const std::vector<T>& values) {
  std::vector<std::byte> wire(codec.template bytes<T>(values.size()));
  codec.encode(std::span<const T>{values}, wire.data());
  return wire;
}
template <class T, class C>
std::vector<T> decoded(const C& codec, const std::vector<std::byte>& wire, std::size_t n) {
  std::vector<T> out(n, T(77));
  codec.decode(wire.data(), std::span<T>{out});
  return out;
}
/// What arrives of them.
template <class T, class C>
std::vector<T> sent(const C& codec, const std::vector<T>& values) {
  return coded::decoded<T>(codec, coded::encoded(codec, values), values.size());
}

/// Of very different sizes, both signs, some of them zero.
inline std::vector<float> drawn(std::size_t n, std::uint64_t seed = 1) {
  tutti::random_stream draw{seed};
  std::vector<float> out;
  for (std::size_t i = 0; i < n; ++i) {
    const float x = std::ldexp(draw.uniform() - .5f, int(draw.below(10)) - 5);
    out.push_back(draw.below(16) == 0 ? 0 : x);
  }
  return out;
}

template <class T>
bool same_bits(const std::vector<T>& a, const std::vector<T>& b) {
  return a.size() == b.size() && (a.empty() || std::memcmp(a.data(), b.data(), a.size() * sizeof(T)) == 0);
}
inline double squares(const std::vector<float>& x) {
  double all = 0;
  for (const float v : x) all += double(v) * double(v);
  return all;
}
inline std::vector<float> difference(const std::vector<float>& a, const std::vector<float>& b) {
  std::vector<float> out(a.size());
  for (std::size_t i = 0; i < a.size(); ++i) out[i] = a[i] - b[i];
  return out;
}

} // namespace coded
