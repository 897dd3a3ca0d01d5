// sign_block: one bit a value, and the mean magnitude of each block.
#pragma once

#include <tutti/codecs/blocks.hpp>
#include <tutti/codecs/codec.hpp>

#include <cstddef>
#include <limits>

namespace tutti {

namespace detail {

struct sign_codes {
  static constexpr tutti::execution runs = tutti::execution::both;
  static constexpr std::size_t bits = 1;

  /// The mean magnitude.
  template <class T, class Count>
  static float scale(const T* from, Count n) noexcept {
    if (detail::largest_magnitude(from, n) >= detail::infinite_magnitude) return std::numeric_limits<float>::quiet_NaN();
    return static_cast<float>(detail::sum_of_sizes(from, n, [](float x) { return double(x); }) / double(n));
  }
  template <class T, class Count>
  static void write(const T* __restrict from, float /*scale*/, std::byte* __restrict to, Count n) noexcept {
    for (std::size_t i = 0; i < n / 8; ++i) {
      unsigned signs = 0;
      for (unsigned k = 0; k < 8; ++k) signs |= is_negative(from[8 * i + k]) << k;
      to[i] = static_cast<std::byte>(signs);
    }
    if (n % 8 == 0) return;
    unsigned signs = 0;
    for (unsigned k = 0; k < n % 8; ++k) signs |= is_negative(from[n / 8 * 8 + k]) << k;
    to[n / 8] = static_cast<std::byte>(signs);
  }
  template <class T, class Count>
  static void read(const std::byte* __restrict from, float scale, T* __restrict to, Count n) noexcept {
    const auto one = [&](std::byte signs, unsigned k) {
      return detail::value_of<T>((std::to_integer<unsigned>(signs) >> k & 1) != 0 ? -scale : scale);
    };
    for (std::size_t i = 0; i < n / 8; ++i)
      for (unsigned k = 0; k < 8; ++k) to[8 * i + k] = one(from[i], k);
    for (std::size_t i = n / 8 * 8; i < n; ++i) to[i] = one(from[i / 8], unsigned(i % 8));
  }

private:
  template <class T>
  static unsigned is_negative(T x) noexcept {
    return detail::float_of(x) < 0;
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
