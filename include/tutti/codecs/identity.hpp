// identity: values travel as they are.
#pragma once

#include <tutti/codecs/codec.hpp>

#include <cstring>

namespace tutti {

struct identity {
  using part = codec_part;
  static constexpr codec_kind kind = codec_kind::exact;

  template <element T>
  constexpr std::size_t bytes(std::size_t n) const noexcept {
    return n * sizeof(T);
  }
  template <element T>
  void encode(std::span<const T> values, std::byte* out) const noexcept {
    if (!values.empty()) std::memcpy(out, values.data(), values.size_bytes());
  }
  template <element T>
  void decode(const std::byte* in, std::span<T> out) const noexcept {
    if (!out.empty()) std::memcpy(out.data(), in, out.size_bytes());
  }
};

} // namespace tutti
