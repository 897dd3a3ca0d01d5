// SHA-256, by which runs compare their weights.
#pragma once

#include <sodium.h>

#include <array>
#include <cstddef>
#include <span>
#include <stdexcept>
#include <string>

namespace models {

using digest = std::array<unsigned char, crypto_hash_sha256_BYTES>;

/// May be called by several threads at once.
inline digest sha256(std::span<const std::byte> bytes) {
  if (sodium_init() < 0) {
    throw std::runtime_error("sha256: libsodium cannot be initialised - reinstall it");
  }
  digest out{};
  crypto_hash_sha256(out.data(), reinterpret_cast<const unsigned char*>(bytes.data()),
                     bytes.size());
  return out;
}

/// Two digits a byte, in lower case.
inline std::string hex(std::span<const unsigned char> bytes) {
  constexpr char digits[] = "0123456789abcdef";
  std::string text;
  for (const unsigned char b : bytes) {
    text += digits[b >> 4];
    text += digits[b & 15];
  }
  return text;
}

} // namespace models
