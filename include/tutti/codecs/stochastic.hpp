// qsgd, terngrad: rounded at random, so that what arrives is on average what was meant.
#pragma once

#include <tutti/codecs/blocks.hpp>
#include <tutti/codecs/codec.hpp>
#include <tutti/core/random.hpp>

#include <algorithm>
#include <array>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstring>

namespace tutti {

namespace detail {

/// A draw in [0, 1), a multiple of 2^-24, for each of n values, into `draws`; named by seed, exchange, place and rank, so it
/// does not depend on how data is cut into messages.
inline void draw_each(std::uint64_t seed, const coding& at, std::size_t n, float* draws) noexcept {
  constexpr std::size_t lanes = 16, at_once = 4 * lanes;
  const std::array<std::uint32_t, 2> key{std::uint32_t(seed), std::uint32_t(seed >> 32)};
  const auto who = std::uint32_t(at.rank) * 2 + (at.result ? 1 : 0);
  for (std::size_t done = 0; done < n;) {
    const std::uint64_t place = at.first + done, begin = place / at_once * at_once;
    std::uint32_t words[4][lanes];
    detail::philox_blocks({std::uint32_t(begin / 4), std::uint32_t(at.exchange), who, std::uint32_t(begin >> 34)}, key, words);
    float some[at_once];
    for (std::size_t l = 0; l < lanes; ++l)
      for (std::size_t w = 0; w < 4; ++w) some[4 * l + w] = float(words[w][l] >> 8) * 0x1p-24f;
    const auto skipped = std::size_t(place - begin);
    const std::size_t taken = (std::min)(at_once - skipped, n - done);
    std::memcpy(draws + done, some + skipped, taken * sizeof(float));
    done += taken;
  }
}

/// x rounded to one of the two whole numbers next to |x|, so that the mean is |x|, at most `most`, and with the sign of x;
/// a whole number stays. x is a number.
inline std::int32_t rounded_at_random(float x, float draw, std::int32_t most) noexcept {
  const float size = detail::size_of(x);
  const auto below = static_cast<std::int32_t>(size);
  const std::int32_t drawn = below + (draw < size - float(below) ? 1 : 0), level = drawn < most ? drawn : most;
  return std::int32_t(detail::either(x < 0, std::uint32_t(-level), std::uint32_t(level)));
}

/// n values times `inverse`, none of which is a NaN then, so rounded. n is at most 256.
template <class T, class Code, class Count>
void round_at_random(const T* __restrict from, float inverse, std::int32_t most, std::uint64_t seed, const coding& at,
                     Code* __restrict to, Count n) noexcept {
  float draws[256];
  detail::draw_each(seed, at, n, draws);
  for (std::size_t i = 0; i < n; ++i)
    to[i] = static_cast<Code>(detail::rounded_at_random(detail::float_of(from[i]) * inverse, draws[i], most));
}

} // namespace detail

/// x becomes l / 127 |v|_2 with the sign of x, l one of the two whole numbers next to 127 |x| / |v|_2, drawn so that the
/// mean is x; v is the block (Alistarh, Grubic, Li, Tomioka, Vojnovic, "QSGD: communication-efficient SGD via gradient
/// quantization and encoding", NeurIPS 2017, equation 4 with s = 127 levels). Unbiased, and E |v - C(v)|^2 <=
/// min(256 / 127^2, 16 / 127) |v|^2 (lemma 3.1). Draws are named by seed, exchange, place and rank: give another seed, or a
/// codec_memory that counts exchanges, to each call; trainers count. A block that holds a NaN or an infinity arrives as
/// NaNs. Deterministic.
struct qsgd {
  using part = codec_part;
  static constexpr codec_kind kind = codec_kind::opaque;
  static constexpr std::size_t block = 256;

  std::uint64_t seed = 0;

  /// n + 4 ceil(n / 256).
  template <element T>
  constexpr std::size_t bytes(std::size_t n) const noexcept {
    return detail::block_bytes<block>(n, 8);
  }
  template <element T>
  void encode(std::span<const T> values, std::byte* out, const coding& at) const noexcept {
    detail::widely([&] {
      coding here = at;
      detail::each_block<block>(values, out, 8, [&](const T* from, std::byte* to, auto count) {
        const float scale = step(from, count);
        detail::put(to, scale);
        if (scale == scale) detail::round_at_random(from, 1 / scale, 127, seed, here, to + sizeof scale, count);
        else std::memset(to + sizeof scale, 0, count);
        here.first += count;
      });
    });
  }
  template <element T>
  void decode(const std::byte* in, std::span<T> out, const coding&) const noexcept {
    detail::each_block<block>(out, in, 8, [](T* to, const std::byte* from, auto count) {
      const auto scale = detail::got<float>(from);
      for (std::size_t i = 0; i < count; ++i)
        to[i] = detail::value_of<T>(float(static_cast<signed char>(from[sizeof scale + i])) * scale);
    });
  }

private:
  /// |v|_2 / 127.
  template <class T>
  static float step(const T* from, std::size_t n) noexcept {
    if (detail::largest_magnitude(from, n) >= detail::infinite_magnitude) return std::numeric_limits<float>::quiet_NaN();
    double squares = 0;
    for (std::size_t i = 0; i < n; ++i) squares += double(detail::float_of(from[i])) * double(detail::float_of(from[i]));
    const auto scale = static_cast<float>(std::sqrt(squares) / 127);
    return scale < (std::numeric_limits<float>::min)() ? (std::numeric_limits<float>::min)() : scale;
  }
};

/// x becomes 0, s or -s, s = max |x| over the block: s with probability |x| / s, and the sign of x (Wen, Xu, Yan, Wu, Wang,
/// Chen, Li, "TernGrad: ternary gradients to reduce communication in distributed deep learning", NeurIPS 2017, equations 2
/// and 3). Unbiased; E |v - C(v)|^2 = s |v|_1 - |v|_2^2. Otherwise as qsgd.
struct terngrad {
  using part = codec_part;
  static constexpr codec_kind kind = codec_kind::opaque;
  static constexpr std::size_t block = 256;

  std::uint64_t seed = 0;

  /// ceil(n / 4) + 4 ceil(n / 256).
  template <element T>
  constexpr std::size_t bytes(std::size_t n) const noexcept {
    return detail::block_bytes<block>(n, 2);
  }
  template <element T>
  void encode(std::span<const T> values, std::byte* out, const coding& at) const noexcept {
    detail::widely([&] {
      coding here = at;
      detail::each_block<block>(values, out, 2, [&](const T* from, std::byte* to, auto count) {
        const float scale = detail::scale_of(detail::largest_magnitude(from, count), 1);
        detail::put(to, scale);
        write(from, detail::inverse(scale), here, to + sizeof scale, count);
        here.first += count;
      });
    });
  }
  template <element T>
  void decode(const std::byte* in, std::span<T> out, const coding&) const noexcept {
    detail::each_block<block>(out, in, 2, [](T* to, const std::byte* from, auto count) {
      const auto scale = detail::got<float>(from);
      const std::array<float, 4> all{0 * scale, scale, -scale, 0 * scale}; // of a scale that is a NaN all are
      for (std::size_t i = 0; i < count; ++i)
        to[i] = detail::value_of<T>(all[std::to_integer<std::size_t>(from[sizeof scale + i / 4]) >> (2 * (i % 4)) & 3]);
    });
  }

private:
  /// 1 and 2 stand for s and -s.
  template <class T, class Count>
  void write(const T* __restrict from, float inverse, const coding& at, std::byte* __restrict to, Count n) const noexcept {
    float draws[block];
    std::uint8_t codes[block] = {};
    detail::draw_each(seed, at, n, draws);
    for (std::size_t i = 0; i < n; ++i) {
      const float x = detail::float_of(from[i]) * inverse;
      codes[i] = std::uint8_t((draws[i] < detail::size_of(x)) << (x < 0));
    }
    for (std::size_t i = 0; i < (n + 3) / 4; ++i)
      to[i] = static_cast<std::byte>(codes[4 * i] | codes[4 * i + 1] << 2 | codes[4 * i + 2] << 4 | codes[4 * i + 3] << 6);
  }
};

} // namespace tutti
