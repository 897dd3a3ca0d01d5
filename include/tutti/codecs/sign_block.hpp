// sign_block: one bit a value, and the mean magnitude of each block.
#pragma once

#include <tutti/codecs/blocks.hpp>
#include <tutti/codecs/codec.hpp>

#include <algorithm>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <limits>

namespace tutti {

namespace detail {

struct sign_codes {
  static constexpr tutti::execution runs = tutti::execution::both;
  static constexpr std::size_t bits = 1;

  /// The mean magnitude; of a NaN or an infinity the sum is none.
  template <class T, class Count>
  static float scale(const T* from, Count n) noexcept {
    const double sum = detail::sum_of_sizes(from, n, [](float x) { return double(x); });
    return sum - sum == 0 ? static_cast<float>(sum / double(n)) : std::numeric_limits<float>::quiet_NaN();
  }
  template <class T, class Count>
  static void write(const T* __restrict from, float /*scale*/, std::byte* __restrict to, Count n) noexcept {
    std::uint8_t negative[most] = {};
    in_blocks<most>(n, [&](std::size_t begin, auto count) {
      if (count < most) std::memset(negative, 0, most);
      signs(from + begin, negative, count);
      for (std::size_t i = 0; i < (count + 7) / 8; ++i) to[begin / 8 + i] = pack(negative + 8 * i);
    });
  }
  template <class T, class Count>
  static void read(const std::byte* __restrict from, float scale, T* __restrict to, Count n) noexcept {
    std::uint8_t negative[most];
    in_blocks<most>(n, [&](std::size_t begin, auto count) {
      const std::size_t bytes = (std::min)((count + 7) / 8, most / 8); // which g++ does not see by itself
      for (std::size_t i = 0; i < bytes; ++i) unpack(from[begin / 8 + i], negative + 8 * i);
      values(negative, scale, to + begin, count);
    });
  }

private:
  static constexpr std::size_t most = 64; ///< values at once

  template <class T, class Count>
  static void signs(const T* __restrict from, std::uint8_t* __restrict negative, Count n) noexcept {
    for (std::size_t i = 0; i < n; ++i) negative[i] = detail::float_of(from[i]) < 0;
  }
  template <class T, class Count>
  static void values(const std::uint8_t* __restrict negative, float scale, T* __restrict to, Count n) noexcept {
    const auto positive = std::bit_cast<std::uint32_t>(scale);
    for (std::size_t i = 0; i < n; ++i)
      to[i] = detail::value_of<T>(std::bit_cast<float>(positive ^ std::uint32_t(negative[i] != 0) << 31));
  }
  /// Eight bytes of 0 or 1 become the bits of one, the first the lowest; and back, into bytes of 0 or not.
  static std::byte pack(const std::uint8_t* negative) noexcept {
    if constexpr (std::endian::native == std::endian::little)
      return static_cast<std::byte>(detail::got<std::uint64_t>(reinterpret_cast<const std::byte*>(negative)) *
                                        0x0102040810204080u >> 56);
    unsigned all = 0;
    for (unsigned k = 0; k < 8; ++k) all |= unsigned{negative[k]} << k;
    return static_cast<std::byte>(all);
  }
  static void unpack(std::byte signs, std::uint8_t* negative) noexcept {
    const auto all = std::to_integer<std::uint64_t>(signs);
    if constexpr (std::endian::native == std::endian::little)
      detail::put(reinterpret_cast<std::byte*>(negative), all * 0x0101010101010101u & 0x8040201008040201u);
    else
      for (unsigned k = 0; k < 8; ++k) negative[k] = all >> k & 1;
  }
};

} // namespace detail

/// x becomes s or -s, s = mean |x| over the block; a zero of either sign counts as positive. (Scaled signs: Karimireddy,
/// Rebjock, Stich, Jaggi, "Error feedback fixes SignSGD and other gradient compression schemes", ICML 2019, lemma 8:
/// |x - C(x)|^2 = (1 - |x|_1^2 / (d |x|_2^2)) |x|_2^2 over a block of d.) On `direct` and `star` results travel as signs
/// again: where the scales of all ranks are equal that is their majority vote (Bernstein, Wang, Azizzadenesheli,
/// Anandkumar, "signSGD", ICML 2018), and an even vote is positive. Biased: it needs error feedback. A block that holds a
/// NaN or an infinity arrives as NaNs. Deterministic.
/// ceil(n / 8) + 4 ceil(n / Block) bytes.
template <std::size_t Block>
struct basic_sign_block : detail::block_codec<detail::sign_codes, Block> {
  static constexpr bool biased = true;
};
using sign_block = basic_sign_block<256>;

} // namespace tutti
