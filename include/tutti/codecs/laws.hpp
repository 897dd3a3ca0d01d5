// check_codec: puts a codec through the laws of codecs/codec.hpp.
//
//   name           broken when
//   bytes          encode leaves one of its bytes(n) bytes unwritten, or writes before or behind
//                  them; or decode writes before or behind its n values, or reads other bytes
//   repeatable     encoding the same values twice gives different bytes
//   round trip     decode(encode(x)) is not x, though the codec is `exact`
//   idempotent     decode(encode(y)) is not y for a y that decode returned, though it is not
//                  `opaque`
//   symmetric      decode(encode(-x)) is not -decode(encode(x)): a rounding that leans to one side
//                  adds up over many ranks and steps. Not asked of a biased codec: error feedback
//                  sends later what leans
//
// A codec that remembers starts every trial without a memory; only `bytes` and `repeatable` are asked
// of it. One that draws is tried at one place, so that it draws the same.
#pragma once

#include <tutti/codecs/codec.hpp>
#include <tutti/core/laws.hpp>

#include <algorithm>
#include <array>
#include <cstdint>

namespace tutti {

namespace detail {

/// A codec behind functions, so that the trials are compiled once per element type.
template <class T>
struct codec_under_test {
  const void* codec;
  codec_kind kind;
  bool remembers;
  bool biased;
  std::size_t (*bytes)(const void*, std::size_t);
  void (*encode)(const void*, std::span<const T>, std::byte*);
  void (*decode)(const void*, const std::byte*, std::span<T>);
};

template <class T, class C>
codec_under_test<T> under_test(const C& codec) {
  return {
      &codec,
      C::kind,
      stateful_codec_of<C, T> && !stateless_codec_of<C, T>,
      is_biased<C>,
      [](const void* c, std::size_t n) {
        return detail::messages_of(*static_cast<const C*>(c)).template bytes<T>(n);
      },
      [](const void* c, std::span<const T> values, std::byte* out) {
        if constexpr (stateless_codec_of<C, T>) {
          detail::encode<T>(*static_cast<const C*>(c), values, out, {});
        } else {
          using A = accumulator_t<T>;
          const std::vector<A> before(values.size());
          std::vector<A> after(values.size());
          std::vector<T> own(values.begin(), values.end());
          static_cast<const C*>(c)->encode({before, after}, std::span<T>{own}, out, coding{});
        }
      },
      [](const void* c, const std::byte* in, std::span<T> out) {
        detail::decode<T>(detail::messages_of(*static_cast<const C*>(c)), in, out, {});
      }};
}

inline constexpr std::size_t guard = 64;

/// Memory with a guard on either side.
struct guarded_bytes {
  explicit guarded_bytes(std::size_t n, unsigned char with)
      : all(guard + n + guard, std::byte{with}), fill{with} {}
  std::byte* data() { return all.data() + guard; }
  bool intact() const {
    const auto same = [&](std::byte b) { return b == std::byte{fill}; };
    return std::all_of(all.begin(), all.begin() + std::ptrdiff_t{guard}, same) &&
           std::all_of(all.end() - std::ptrdiff_t{guard}, all.end(), same);
  }
  std::vector<std::byte> all;
  unsigned char fill;
};

template <class T>
std::vector<std::byte> encoded(law_report& report, const codec_under_test<T>& c,
                               const std::vector<T>& values) {
  const std::size_t bytes = c.bytes(c.codec, values.size());
  std::array<guarded_bytes, 2> wire{guarded_bytes{bytes, 0x00}, guarded_bytes{bytes, 0xff}};
  for (auto& w : wire) {
    c.encode(c.codec, std::span<const T>{values}, w.data());
    if (!w.intact())
      report.add("bytes", "encoding " + std::to_string(values.size()) +
                              " values writes outside of the " + std::to_string(bytes) + " bytes");
  }
  for (std::size_t k = 0; k < bytes; ++k)
    if (wire[0].data()[k] != wire[1].data()[k]) {
      guarded_bytes again{bytes, 0x00};
      c.encode(c.codec, std::span<const T>{values}, again.data());
      const bool unwritten = again.data()[k] == wire[0].data()[k];
      report.add(unwritten ? "bytes" : "repeatable",
                 "byte " + std::to_string(k) + " of " + std::to_string(bytes) +
                     (unwritten ? " was not written" : " differs when encoded again"));
      break;
    }
  return {wire[0].data(), wire[0].data() + bytes};
}

template <class T>
std::vector<T> decoded(law_report& report, const codec_under_test<T>& c,
                       const std::vector<std::byte>& wire, std::size_t n) {
  std::vector<T> out[2];
  for (const unsigned char fill : {static_cast<unsigned char>(0), static_cast<unsigned char>(0xff)}) {
    guarded_bytes in{wire.size(), fill}, memory{n * sizeof(T), fill};
    std::copy(wire.begin(), wire.end(), in.data());
    // Memory of a byte vector is aligned for every element, and the guard is a multiple of that.
    const std::span<T> values{reinterpret_cast<T*>(memory.data()), n};
    c.decode(c.codec, in.data(), values);
    if (!memory.intact())
      report.add("bytes", "decoding " + std::to_string(n) + " values writes outside of them");
    out[fill != 0].assign(values.begin(), values.end());
  }
  if (!detail::same_values(out[0], out[1]))
    report.add("bytes", "decoding " + std::to_string(n) + " values depends on what is around them");
  return out[0];
}

template <class T>
std::vector<T> sent(law_report& report, const codec_under_test<T>& c, const std::vector<T>& x) {
  return detail::decoded(report, c, detail::encoded(report, c, x), x.size());
}

/// Reports the first of x[i] that gave another value than expected.
template <class T>
void expect_same(law_report& report, const char* law, const std::vector<T>& x,
                 const std::vector<T>& expected, const std::vector<T>& got,
                 bool (*same)(const T&, const T&) = &detail::same_value<T>) {
  for (std::size_t i = 0; i < x.size(); ++i)
    if (!same(expected[i], got[i])) {
      report.add(law, detail::text_of(x[i]) + " at place " + std::to_string(i) + " of " +
                          std::to_string(x.size()) + " gives " + detail::text_of(got[i]) +
                          " instead of " + detail::text_of(expected[i]));
      return;
    }
}

template <class T>
std::vector<T> negated(std::vector<T> all) {
  for (T& x : all) x = element_cast<T>(accumulator_t<T>(-element_cast<accumulator_t<T>>(x)));
  return all;
}

template <class T>
void check_values(law_report& report, const codec_under_test<T>& c, const std::vector<T>& x) {
  const auto y = detail::sent(report, c, x);
  if (c.remembers) return;
  if (c.kind == codec_kind::exact) detail::expect_same(report, "round trip", x, x, y);
  if (c.kind != codec_kind::opaque)
    detail::expect_same(report, "idempotent", y, y, detail::sent(report, c, y));
  if (c.biased) return;
  if constexpr (real_element<T>) {
    const auto minus = detail::negated(x);
    detail::expect_same(report, "symmetric", minus, detail::negated(y),
                        detail::sent(report, c, minus), &detail::same_number<T>);
  }
}

} // namespace detail

/// Tries the laws of codecs on values drawn from `seed` and on special ones, in pieces of several
/// lengths. Opaque codecs are tried on finite values only.
template <element T, codec C>
law_report check_codec(const C& codec, std::uint64_t seed = 1) {
  static_assert(
      codec_of<C, T>,
      "tutti::check_codec: this type does not encode such elements - give it bytes, encode "
      "and decode, as codecs/codec.hpp says");
  law_report report;
  if constexpr (codec_of<C, T>) {
    const auto c = detail::under_test<T>(codec);
    random_stream draw{seed};
    for (const std::size_t n : {0u, 1u, 2u, 3u, 7u, 64u, 1000u}) {
      std::vector<T> values;
      for (std::size_t i = 0; i < n; ++i) values.push_back(detail::random_element<T>(draw));
      detail::check_values(report, c, values);
    }
    detail::check_values(report, c, detail::special_elements<T>(C::kind == codec_kind::opaque));
  }
  return report;
}

} // namespace tutti
