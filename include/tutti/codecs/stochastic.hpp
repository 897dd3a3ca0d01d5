// qsgd, terngrad: rounded at random, so that what arrives is on average what was meant.
#pragma once

#include <tutti/codecs/blocks.hpp>
#include <tutti/codecs/codec.hpp>
#include <tutti/core/random.hpp>

#include <array>
#include <cmath>

namespace tutti {

namespace detail {

/// A draw in [0, 1), a multiple of 2^-24, for each of n values; named by seed, exchange, place and rank, so it does not
/// depend on how data is cut into messages.
template <class Use>
void each_draw(std::uint64_t seed, const coding& at, std::size_t n, Use&& use) {
  const std::array<std::uint32_t, 2> key{std::uint32_t(seed), std::uint32_t(seed >> 32)};
  const auto who = std::uint32_t(at.rank) * 2 + (at.result ? 1 : 0);
  std::array<std::uint32_t, 4> four{};
  for (std::size_t i = 0; i < n; ++i) {
    const std::uint64_t place = at.first + i;
    if (i == 0 || place % 4 == 0)
      four = philox({std::uint32_t(place / 4), std::uint32_t(at.exchange), who, std::uint32_t(place >> 34)}, key);
    use(i, float(four[place % 4] >> 8) * 0x1p-24f);
  }
}

/// x rounded to one of the two whole numbers next to it, so that the mean is x; a whole number stays. x >= 0.
inline std::int32_t rounded_at_random(float x, float draw, std::int32_t most) noexcept {
  const auto below = static_cast<std::int32_t>(x);
  const std::int32_t level = below + (draw < x - float(below) ? 1 : 0);
  return level < most ? level : most;
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
    coding here = at;
    detail::each_block<block>(values, out, 8, [&](const T* from, std::byte* to, auto count) {
      const float scale = step(from, count);
      const float inverse = detail::inverse(scale);
      detail::put(to, scale);
      detail::each_draw(seed, here, count, [&](std::size_t i, float draw) {
        const float x = detail::float_of(from[i]) * inverse;
        const std::int32_t level = scale == scale ? detail::rounded_at_random(std::fabs(x), draw, 127) : 0;
        to[sizeof scale + i] = static_cast<std::byte>(x < 0 ? -level : level);
      });
      here.first += count;
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
    coding here = at;
    detail::each_block<block>(values, out, 2, [&](const T* from, std::byte* to, auto count) {
      const float scale = detail::scale_of(detail::largest_magnitude(from, count), 1);
      const float inverse = detail::inverse(scale);
      detail::put(to, scale);
      std::memset(to + sizeof scale, 0, (count + 3) / 4);
      detail::each_draw(seed, here, count, [&](std::size_t i, float draw) {
        const float x = detail::float_of(from[i]) * inverse;
        if (!(draw < std::fabs(x))) return;
        to[sizeof scale + i / 4] |= static_cast<std::byte>((x < 0 ? 2u : 1u) << (2 * (i % 4)));
      });
      here.first += count;
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
};

} // namespace tutti
