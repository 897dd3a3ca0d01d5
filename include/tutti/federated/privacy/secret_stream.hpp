// secret_stream: numbers that nobody can foresee, by ChaCha20 of libsodium; each has a name, and is made when it is asked
// for.
#pragma once

#include <tutti/core/error.hpp>

#include <sodium.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <span>

namespace tutti::detail {

/// Under one key of 256 bits no two names, and no two places under a name, have anything in common.
class secret_stream {
public:
  /// Keyed by the system's entropy. Throws `transport` where libsodium finds none.
  secret_stream() { rekey(); }
  /// Keyed by a number: no secret, for tests.
  explicit secret_stream(std::uint64_t seed) {
    for (std::size_t k = 0; k < 8; ++k) key_[k] = static_cast<unsigned char>(seed >> (8 * k));
  }
  ~secret_stream() { sodium_memzero(key_.data(), key_.size()); }
  secret_stream(const secret_stream&) = default;
  secret_stream& operator=(const secret_stream&) = default;

  /// What was made under the key before cannot be made again.
  void rekey() {
    if (sodium_init() < 0)
      throw error{{.code = error_code::transport,
                   .call = "privacy_plan",
                   .detail = "libsodium cannot be initialised, so noise would be no secret - reinstall it"}};
    randombytes_buf(key_.data(), key_.size());
  }

  /// Uniform words from the block `first` on, of 8 words each, under a name.
  void words(std::uint64_t name, std::uint64_t first, std::span<std::uint64_t> out) const {
    std::array<unsigned char, 8> nonce{};
    for (std::size_t k = 0; k < 8; ++k) nonce[k] = static_cast<unsigned char>(name >> (8 * k));
    std::fill(out.begin(), out.end(), 0);
    auto* bytes = reinterpret_cast<unsigned char*>(out.data());
    crypto_stream_chacha20_xor_ic(bytes, bytes, out.size_bytes(), nonce.data(), first, key_.data());
  }

  /// to[i] += scale times the number at begin + i of a standard normal distribution; `begin` is a multiple of 8. By Box
  /// and Muller, of a radius made of 64 bits and an angle of 53: at most 9.4, and in double, so that probabilities are
  /// the normal's but for some 2^-50 of their size.
  void add_normals(std::uint64_t name, std::size_t begin, double scale, std::span<double> to) const {
    std::array<std::uint64_t, 512> block;
    for (std::size_t from = 0; from < to.size(); from += block.size()) {
      const std::size_t n = (std::min)(block.size(), to.size() - from), whole = (n + 7) / 8 * 8;
      words(name, (begin + from) / 8, std::span{block}.first(whole));
      for (std::size_t k = 0; k < n; k += 2) {
        const double radius = scale * std::sqrt(-2 * std::log((double(block[k]) + .5) * 0x1p-64));
        const double angle = 2 * 3.14159265358979323846 * (double(block[k + 1] >> 11) * 0x1p-53);
        to[from + k] += radius * std::cos(angle);
        if (k + 1 < n) to[from + k + 1] += radius * std::sin(angle);
      }
    }
  }

private:
  std::array<unsigned char, crypto_stream_chacha20_KEYBYTES> key_{};
};

} // namespace tutti::detail
