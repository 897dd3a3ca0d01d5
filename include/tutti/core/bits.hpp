// Bits in words of 64, as small words between ranks have them.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

namespace tutti::detail {

/// How many words hold n bits.
constexpr std::size_t words_for_bits(std::size_t n) noexcept { return (n + 63) / 64; }

constexpr bool bit(std::span<const std::uint64_t> words, std::size_t k) noexcept {
  return (words[k / 64] >> k % 64 & 1) != 0;
}

/// Writes bits 0 to n - 1 over all of `words`: bit(k) of each.
template <class Bit>
constexpr void write_bits(std::span<std::uint64_t> words, std::size_t n, Bit&& bit) {
  for (std::uint64_t& word : words) word = 0;
  for (std::size_t k = 0; k < n; ++k) words[k / 64] |= std::uint64_t(bit(k) ? 1 : 0) << k % 64;
}

} // namespace tutti::detail
