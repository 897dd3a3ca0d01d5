// sign_block: one bit a value, and the mean magnitude of each block.
#pragma once

#include <tutti/codecs/blocks.hpp>
#include <tutti/codecs/codec.hpp>

#include <array>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <limits>
#include <type_traits>

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
    for (std::size_t begin = 0; begin < n; begin += most) {
      if (n - begin >= most) {
        signs(from + begin, negative, std::integral_constant<std::size_t, most>{});
        pack(negative, to + begin / 8, most);
      } else {
        std::memset(negative, 0, most);
        signs(from + begin, negative, n - begin);
        pack(negative, to + begin / 8, n - begin);
      }
    }
  }
  template <class T, class Count>
  static void read(const std::byte* __restrict from, float scale, T* __restrict to, Count n) noexcept {
    float four[4];
    for (std::size_t i = 0; i < n / 4; ++i) {
      const auto bits = std::to_integer<unsigned>(from[i / 2]) >> i % 2 * 4 & 15;
      for (std::size_t k = 0; k < 4; ++k) four[k] = with_sign(scale, sign_masks[bits][k]);
      for (std::size_t k = 0; k < 4; ++k) to[4 * i + k] = detail::value_of<T>(four[k]);
    }
    for (std::size_t i = n / 4 * 4; i < n; ++i)
      to[i] = detail::value_of<T>(with_sign(scale, std::to_integer<std::uint32_t>(from[i / 8]) >> i % 8 << 31));
  }

private:
  static constexpr std::size_t most = 64; ///< values at once

  template <class T, class Count>
  static void signs(const T* __restrict from, std::uint8_t* __restrict negative, Count n) noexcept {
    for (std::size_t i = 0; i < n; ++i) negative[i] = detail::float_of(from[i]) < 0;
  }
  /// Eight bytes of 0 or 1 become the bits of one, the first the lowest.
  static void pack(const std::uint8_t* __restrict negative, std::byte* __restrict to, std::size_t n) noexcept {
    for (std::size_t i = 0; i < (n + 7) / 8; ++i) {
      std::uint64_t eight = 0;
      for (unsigned k = 0; k < 8; ++k) eight |= std::uint64_t{negative[8 * i + k]} << 8 * k;
      to[i] = static_cast<std::byte>(eight * 0x0102040810204080u >> 56);
    }
  }
  static float with_sign(float x, std::uint32_t mask) noexcept {
    return std::bit_cast<float>(std::bit_cast<std::uint32_t>(x) ^ mask);
  }
  static constexpr auto sign_masks = [] {
    std::array<std::array<std::uint32_t, 4>, 16> masks{};
    for (unsigned bits = 0; bits < 16; ++bits)
      for (unsigned k = 0; k < 4; ++k) masks[bits][k] = bits >> k << 31;
    return masks;
  }();
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
