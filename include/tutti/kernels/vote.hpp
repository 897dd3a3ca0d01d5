// The majority vote of messages of signs (codecs/sign_block.hpp), 32 signs at a time and never one by one.
#pragma once

#include <tutti/core/limits.hpp>
#include <tutti/kernels/arithmetic.hpp>
#include <tutti/kernels/packets.hpp>

#include <cstddef>
#include <cstdint>
#include <cstring>

namespace tutti::detail::kernels {

/// Messages of one length, as words: of each block the scale, then `Block` signs, the last block being cut off behind
/// its last byte. `out` may be one of the messages.
template <std::size_t Most> struct ballots {
  const std::byte* in[Most];
  std::byte* out;
  std::size_t bytes;
  std::size_t head; ///< of all pointers, in words
  int count;
};

namespace vote_parts {

/// Bits that are set in more than half of the words that were added: counters of 32 columns, digit by digit.
template <std::size_t Digits> struct tally {
  std::uint32_t digit[Digits] = {};

  TUTTI_HD void add(std::uint32_t votes) {
#if defined(__CUDA_ARCH__)
#pragma unroll
#endif
    for (std::size_t d = 0; d < Digits; ++d) {
      const std::uint32_t carried = digit[d] & votes;
      digit[d] ^= votes;
      votes = carried;
    }
  }
  /// Columns that count more than `most`.
  TUTTI_HD std::uint32_t above(std::uint32_t most) const {
    std::uint32_t above = 0, equal = ~0u;
#if defined(__CUDA_ARCH__)
#pragma unroll
#endif
    for (std::size_t d = Digits; d-- > 0;) {
      const std::uint32_t wanted = -(most >> d & 1); // all bits of it
      above |= equal & digit[d] & ~wanted;
      equal &= ~(digit[d] ^ wanted);
    }
    return above;
  }
};

/// Of memory that is aligned to it.
template <class W> TUTTI_HD W word_at(const std::byte* from) {
#if defined(__CUDA_ARCH__)
  return *reinterpret_cast<const W*>(from);
#else
  W word;
  std::memcpy(&word, from, sizeof word);
  return word;
#endif
}
template <class W> TUTTI_HD void put_word(std::byte* to, W word) {
#if defined(__CUDA_ARCH__)
  *reinterpret_cast<W*>(to) = word;
#else
  std::memcpy(to, &word, sizeof word);
#endif
}

/// Enough digits to count to `most`.
TUTTI_HD constexpr std::size_t digits_for(std::size_t most) {
  std::size_t n = 0;
  while (most >> n != 0) ++n;
  return n;
}

} // namespace vote_parts

/// The signs that most of the messages have, an even vote being positive; the scale of each block is the mean of
/// theirs, added up in double from the first to the last, divided and rounded once. One read of each message, one
/// write.
template <std::size_t Block, std::size_t Most, class Context>
TUTTI_HD void vote(Context& ctx, const ballots<Most>& of) {
  namespace parts = vote_parts;
  constexpr std::size_t block_words = 1 + Block / 32, length = 4;
  const auto half = std::uint32_t(of.count / 2);
  const auto mean_scale = [&](std::size_t i) {
    double all = 0;
    for (int k = 0; k < of.count; ++k)
      all = add(all, double(bits_as<float>(parts::word_at<std::uint32_t>(of.in[k] + 4 * i))));
    const auto scale = static_cast<float>(divide(all, double(of.count)));
    return bits_as<std::uint32_t>(scale == scale ? scale : float{nan_of<float>});
  };
  const auto many = [&](std::size_t i) {
    parts::tally<parts::digits_for(Most)> all[length];
#if defined(__CUDA_ARCH__)
#pragma unroll 4
#endif
    for (int k = 0; k < of.count; ++k) {
      const auto next = load<length>(reinterpret_cast<const std::uint32_t*>(of.in[k]) + i);
      for (std::size_t j = 0; j < length; ++j) all[j].add(next.values[j]);
    }
    static_assert(block_words > length, "tutti: a packet has one scale at most");
    const std::size_t at = (i + block_words - 1) / block_words * block_words; // of the next scale
    const bool has_scale = at < i + length;
    const std::uint32_t scale = has_scale ? mean_scale(at) : 0; // read before `out` is written
    packet<std::uint32_t> result;
    for (std::size_t j = 0; j < length; ++j) result.values[j] = all[j].above(half);
    store(reinterpret_cast<std::uint32_t*>(of.out) + i, result);
    if (has_scale) parts::put_word(of.out + 4 * at, scale);
  };
  const auto one = [&](std::size_t i) {
    parts::tally<parts::digits_for(Most)> all;
    for (int k = 0; k < of.count; ++k) all.add(parts::word_at<std::uint32_t>(of.in[k] + 4 * i));
    parts::put_word(of.out + 4 * i, i % block_words == 0 ? mean_scale(i) : all.above(half));
  };
  in_packets<length>(ctx, of.bytes / 4, of.head, many, one);

  const std::size_t end = of.bytes / 4 * 4; // of the last block what is no whole word
  ctx.each([&](unsigned lane) {
    if (ctx.block() != 0 || lane >= of.bytes - end) return;
    parts::tally<parts::digits_for(Most)> all;
    for (int k = 0; k < of.count; ++k) all.add(parts::word_at<std::uint8_t>(of.in[k] + end + lane));
    parts::put_word(of.out + end + lane, static_cast<std::uint8_t>(all.above(half)));
  });
}

} // namespace tutti::detail::kernels
