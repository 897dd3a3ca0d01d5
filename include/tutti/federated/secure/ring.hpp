// ring: whole numbers modulo 2^b, in which masks cancel, and how many numbers may be added there.
#pragma once

#include <concepts>
#include <cstdint>
#include <limits>
#include <type_traits>

namespace tutti::secure {

/// Of `count` alternatives: the least b with count <= 2^b.
constexpr int bits_for(std::uint64_t count) noexcept {
  int bits = 0;
  while (bits < 64 && (std::uint64_t{1} << bits) < count) ++bits;
  return bits;
}

/// Whether a word of `word_bits` holds the sum over `clients` of signed numbers of `value_bits`, each times a weight of
/// at most `greatest_weight`, whatever they are.
constexpr bool sum_fits(int value_bits, std::uint64_t greatest_weight, std::uint64_t clients, int word_bits) noexcept {
  return value_bits + secure::bits_for(greatest_weight) + secure::bits_for(clients) <= word_bits;
}

namespace detail {

template <class Word>
inline constexpr bool is_ring_word = std::is_same_v<Word, std::uint32_t> || std::is_same_v<Word, std::uint64_t>;

/// Once for each mistake: what stands after one is not instantiated.
template <class Word, int ValueBits, std::uint64_t Clients, std::uint64_t GreatestWeight>
struct ring_sentences {
  static_assert(is_ring_word<Word>, "tutti::secure::ring: masks cancel in words of whole numbers alone, and this is no "
                                    "such word - give std::uint32_t or std::uint64_t, and quantise what is added");
  static_assert(!is_ring_word<Word> || (ValueBits >= 2 && ValueBits <= 52 && Clients >= 1 && GreatestWeight >= 1),
                "tutti::secure::ring: values have 2 to 52 bits, and there is a client that weighs something");
  static_assert(!is_ring_word<Word> || secure::sum_fits(ValueBits, GreatestWeight, Clients, 8 * int(sizeof(Word))),
                "tutti::secure::ring: the sum of so many clients overflows the word - the bits of a value, of the "
                "greatest weight and of the number of clients are to be at most those of the word: give a wider word, "
                "fewer bits or fewer clients");
};

} // namespace detail

/// Words of the ring, and the numbers that they stand for: of ValueBits, sign included, of at most so many clients that
/// weigh at most so much. One that might overflow does not compile.
template <class Word, int ValueBits, std::uint64_t Clients, std::uint64_t GreatestWeight = 1>
struct ring : private detail::ring_sentences<Word, ValueBits, Clients, GreatestWeight> {
  using word = Word;
  static constexpr int word_bits = 8 * int(sizeof(Word)), value_bits = ValueBits;
  static constexpr std::uint64_t most_clients = Clients;

  static constexpr Word of(std::int64_t value) noexcept { return static_cast<Word>(value); }
  /// What the sum of numbers has come to.
  static constexpr std::int64_t number(Word sum) noexcept {
    return static_cast<std::int64_t>(static_cast<std::make_signed_t<Word>>(sum));
  }
};

} // namespace tutti::secure
