// Masks: the keystreams of ChaCha20 under keys of 256 bits, added to words of a ring.
#pragma once

#include <tutti/federated/secure/keys.hpp>

#include <algorithm>
#include <array>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <span>

namespace tutti::secure {

/// A mask, and whether it is taken away.
struct mask {
  key under;
  bool minus = false;
};

namespace detail {

inline constexpr std::size_t mask_bytes = 8192; // a block of values, and of a stream, stay in the first-level cache

/// The first `words` of a block; all of it, with a constant for its length, is what compilers make vectors of.
template <class Word, std::size_t Length>
void add_block(const std::array<Word, Length>& stream, bool minus, Word* __restrict to, std::size_t words) {
  if (words == Length && !minus)
    for (std::size_t i = 0; i < Length; ++i) to[i] = static_cast<Word>(to[i] + stream[i]);
  else if (words == Length)
    for (std::size_t i = 0; i < Length; ++i) to[i] = static_cast<Word>(to[i] - stream[i]);
  else
    for (std::size_t i = 0; i < words; ++i)
      to[i] = static_cast<Word>(minus ? to[i] - stream[i] : to[i] + stream[i]);
}

} // namespace detail

/// values += every mask, modulo 2^b. A key is that of one mask in one sum: the stream begins at its beginning. Costs
/// the keystreams and little more: all are added to a block of values before the next.
template <class Word>
void add_masks(std::span<const mask> masks, std::span<Word> values) {
  static_assert(std::endian::native == std::endian::little, "tutti::secure: words travel with their lowest byte first, "
                                                            "and this machine keeps them otherwise");
  constexpr std::size_t length = detail::mask_bytes / sizeof(Word);
  constexpr std::array<std::uint8_t, crypto_stream_chacha20_NONCEBYTES> once{};
  alignas(64) std::array<Word, length> stream;
  auto* const bytes = reinterpret_cast<unsigned char*>(stream.data());
  for (std::size_t begin = 0; begin < values.size(); begin += length) {
    const std::size_t words = (std::min)(length, values.size() - begin);
    for (const mask& one : masks) {
      stream.fill(0);
      crypto_stream_chacha20_xor_ic(bytes, bytes, words * sizeof(Word), once.data(),
                                    begin * sizeof(Word) / 64, one.under.bytes.data());
      detail::add_block(stream, one.minus, values.data() + begin, words);
    }
  }
  sodium_memzero(stream.data(), sizeof stream);
}

} // namespace tutti::secure
