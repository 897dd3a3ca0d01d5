// cast<W>: values travel as another element type, usually a shorter one.
#pragma once

#include <tutti/codecs/codec.hpp>
#include <tutti/core/blocks.hpp>
#include <tutti/core/widely.hpp>

#include <cstddef>
#include <cstring>
#include <span>

namespace tutti {

/// Contributions and finished results travel as W; partial results as accumulators (float for bfloat16
/// and half), so between a contribution's encoding and the finished result nothing is rounded to W.
/// Error against the exact sum of the K encoded contributions x_i, for float sums: at most
/// u_W |result| + (K-1) 2^-24 sum|x_i|, with u_W = 2^-8 for bfloat16 and 2^-11 for half (above the
/// subnormal range). On `direct` and `star` every message is in W.
template <element W>
  requires(numeric_element<W> && !complex_element<W>)
struct cast {
  using part = codec_part;
  static constexpr codec_kind kind = codec_kind::additive;
  static constexpr tutti::execution runs = tutti::execution::both;
  static constexpr bool elementwise = true;

  template <element T>
  constexpr std::size_t bytes(std::size_t n) const noexcept {
    return n * sizeof(W);
  }
  template <element T>
  void encode(std::span<const T> values, std::byte* out) const noexcept {
    detail::widely([&] {
      detail::in_blocks<256>(values.size(), [&](std::size_t begin, auto count) {
        write(values.data() + begin, out + begin * sizeof(W), count);
      });
    });
  }
  template <element T>
  void decode(const std::byte* in, std::span<T> out) const noexcept {
    detail::widely([&] {
      detail::in_blocks<256>(out.size(), [&](std::size_t begin, auto count) {
        read(in + begin * sizeof(W), out.data() + begin, count);
      });
    });
  }

private:
  template <class T, class Count>
  static void write(const T* __restrict values, std::byte* __restrict out, Count n) noexcept {
    for (std::size_t i = 0; i < n; ++i) {
      const W w = element_cast<W>(element_cast<accumulator_t<T>>(values[i]));
      std::memcpy(out + i * sizeof(W), &w, sizeof(W));
    }
  }
  template <class T, class Count>
  static void read(const std::byte* __restrict in, T* __restrict out, Count n) noexcept {
    for (std::size_t i = 0; i < n; ++i) {
      W w;
      std::memcpy(&w, in + i * sizeof(W), sizeof(W));
      out[i] = element_cast<T>(element_cast<accumulator_t<W>>(w));
    }
  }
};

} // namespace tutti
