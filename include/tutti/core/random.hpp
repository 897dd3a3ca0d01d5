// Counter-based random numbers: a draw is a function of its name, not of who draws or in what order.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>

namespace tutti {

/// Philox4x32-10 (Salmon, Moraes, Dror, Shaw: "Parallel random numbers: as easy as 1, 2, 3", SC 2011).
/// One block: four 32-bit words from a 128-bit counter and a 64-bit key.
constexpr std::array<std::uint32_t, 4> philox(std::array<std::uint32_t, 4> counter,
                                              std::array<std::uint32_t, 2> key) noexcept {
  for (int r = 0; r < 10; ++r) {
    const std::uint64_t a = std::uint64_t{0xD2511F53} * counter[0];
    const std::uint64_t b = std::uint64_t{0xCD9E8D57} * counter[2];
    counter = {std::uint32_t(b >> 32) ^ counter[1] ^ key[0], std::uint32_t(b),
               std::uint32_t(a >> 32) ^ counter[3] ^ key[1], std::uint32_t(a)};
    key[0] += 0x9E3779B9;
    key[1] += 0xBB67AE85;
  }
  return counter;
}

namespace detail {

/// The blocks of `Lanes` counters one behind the other, of which `counter` is the first: word w of block l is words[w][l].
/// counter[0] does not overflow among them.
template <std::size_t Lanes>
constexpr void philox_blocks(std::array<std::uint32_t, 4> counter, std::array<std::uint32_t, 2> key,
                             std::uint32_t (&words)[4][Lanes]) noexcept {
  for (std::size_t l = 0; l < Lanes; ++l) {
    words[0][l] = counter[0] + std::uint32_t(l);
    for (std::size_t w = 1; w < 4; ++w) words[w][l] = counter[w];
  }
  for (int r = 0; r < 10; ++r) {
    for (std::size_t l = 0; l < Lanes; ++l) {
      const std::uint64_t a = std::uint64_t{0xD2511F53} * words[0][l];
      const std::uint64_t b = std::uint64_t{0xCD9E8D57} * words[2][l];
      words[0][l] = std::uint32_t(b >> 32) ^ words[1][l] ^ key[0];
      words[1][l] = std::uint32_t(b);
      words[2][l] = std::uint32_t(a >> 32) ^ words[3][l] ^ key[1];
      words[3][l] = std::uint32_t(a);
    }
    key[0] += 0x9E3779B9;
    key[1] += 0xBB67AE85;
  }
}

} // namespace detail

/// A stream of draws named by (seed, round, client): the same numbers on every rank that names it so.
/// Satisfies UniformRandomBitGenerator; the members below give the same values with every standard
/// library, which the distributions of <random> do not. Streams of different names do not overlap
/// within 2^32 blocks.
class random_stream {
public:
  using result_type = std::uint32_t;

  constexpr explicit random_stream(std::uint64_t seed, std::uint32_t round = 0,
                                   std::uint64_t client = 0) noexcept
      : key_{std::uint32_t(seed), std::uint32_t(seed >> 32)},
        counter_{0, round, std::uint32_t(client), std::uint32_t(client >> 32)} {}

  static constexpr result_type(min)() noexcept { return 0; }
  static constexpr result_type(max)() noexcept { return ~result_type{0}; }

  constexpr result_type operator()() noexcept {
    if (used_ == 4) {
      block_ = philox(counter_, key_);
      ++counter_[0];
      used_ = 0;
    }
    return block_[std::size_t(used_++)];
  }

  /// Uniform in [0, 1), a multiple of 2^-24.
  constexpr float uniform() noexcept { return float((*this)() >> 8) * 0x1p-24f; }

  /// Uniform in [0, bound), without bias (Lemire 2019, "Fast random integer generation in an
  /// interval"). `bound` is at least 1.
  constexpr std::uint32_t below(std::uint32_t bound) noexcept {
    std::uint64_t wide = std::uint64_t((*this)()) * bound;
    if (std::uint32_t(wide) < bound) {
      const std::uint32_t least = (0u - bound) % bound;
      while (std::uint32_t(wide) < least) wide = std::uint64_t((*this)()) * bound;
    }
    return std::uint32_t(wide >> 32);
  }

private:
  std::array<std::uint32_t, 2> key_;
  std::array<std::uint32_t, 4> counter_;
  std::array<std::uint32_t, 4> block_{};
  int used_ = 4;
};

} // namespace tutti
