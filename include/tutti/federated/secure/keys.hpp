// Keys of a secure sum, by libsodium: X25519 agrees on them, BLAKE2b derives one of the other, each use under a name of
// its own, and ChaCha20-Poly1305 seals what only one client may read.
#pragma once

#include <tutti/core/error.hpp>

#include <sodium.h>

#include <array>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace tutti::secure {

using bytes_view = std::span<const std::uint8_t>;
using message = std::vector<std::uint8_t>;

/// 256 bits that are forgotten with the object.
struct key {
  std::array<std::uint8_t, 32> bytes{};

  key() = default;
  key(const key&) = default;
  key& operator=(const key&) = default;
  ~key() { sodium_memzero(bytes.data(), bytes.size()); }
  friend bool operator==(const key& a, const key& b) { return sodium_memcmp(a.bytes.data(), b.bytes.data(), 32) == 0; }
};

/// What all may know: an X25519 point, a commitment.
using open_key = std::array<std::uint8_t, 32>;

struct key_pair {
  key secret = {};
  open_key open{};
};

namespace detail {

[[noreturn]] inline void refuse(error_code code, std::string why) {
  throw error{{.code = code, .call = "secure_sum", .detail = std::move(why)}};
}

/// Before anything else of libsodium's. Costs nothing after the first time.
inline void require_sodium() {
  if (sodium_init() < 0) detail::refuse(error_code::unsupported, "libsodium cannot be initialised");
}

/// BLAKE2b-256 under a key, of a name and what is put in behind it.
class derivation {
public:
  derivation(bytes_view under, std::string_view name) {
    crypto_generichash_init(&state_, under.data(), under.size(), 32);
    const auto length = static_cast<std::uint8_t>(name.size()); // so that no name is the beginning of another
    crypto_generichash_update(&state_, &length, 1);
    crypto_generichash_update(&state_, reinterpret_cast<const std::uint8_t*>(name.data()), name.size());
  }
  derivation& with(bytes_view more) {
    crypto_generichash_update(&state_, more.data(), more.size());
    return *this;
  }
  derivation& with(std::uint64_t number) {
    std::array<std::uint8_t, 8> bytes{};
    for (std::size_t k = 0; k < 8; ++k) bytes[k] = static_cast<std::uint8_t>(number >> (8 * k));
    return with(bytes);
  }
  void into(std::span<std::uint8_t, 32> out) {
    crypto_generichash_final(&state_, out.data(), out.size());
    sodium_memzero(&state_, sizeof state_);
  }
  key secret() {
    key out;
    into(out.bytes);
    return out;
  }
  open_key open() {
    open_key out{};
    into(out);
    return out;
  }

private:
  crypto_generichash_state state_;
};

} // namespace detail

/// From the system's entropy.
inline key drawn_key() {
  detail::require_sodium();
  key out;
  randombytes_buf(out.bytes.data(), out.bytes.size());
  return out;
}

/// X25519 (RFC 7748) from 32 secret bytes.
inline key_pair pair_of(const key& secret) {
  key_pair out{secret};
  crypto_scalarmult_base(out.open.data(), secret.bytes.data());
  return out;
}

/// What two holders of key pairs both come to, under a name, in a session. Throws bad_data for a point of low order,
/// with which everybody would come to the same.
inline key agreed_key(const key_pair& mine, const open_key& theirs, std::string_view name, bytes_view session) {
  key point;
  if (crypto_scalarmult(point.bytes.data(), mine.secret.bytes.data(), theirs.data()) != 0)
    detail::refuse(error_code::bad_data, "an X25519 key of low order");
  const bool first = mine.open < theirs;
  return detail::derivation{point.bytes, name}
      .with(session)
      .with(first ? mine.open : theirs)
      .with(first ? theirs : mine.open)
      .secret();
}

/// `plain` for who has the key, which seals nothing else; `beside` is not sent and has to be the same.
inline message sealed(const key& by, bytes_view plain, bytes_view beside) {
  message out(plain.size() + crypto_aead_chacha20poly1305_ietf_ABYTES);
  constexpr std::array<std::uint8_t, crypto_aead_chacha20poly1305_ietf_NPUBBYTES> once{};
  crypto_aead_chacha20poly1305_ietf_encrypt(out.data(), nullptr, plain.data(), plain.size(), beside.data(),
                                            beside.size(), nullptr, once.data(), by.bytes.data());
  return out;
}
/// False where it was not sealed by this key, or was changed since.
[[nodiscard]] inline bool opened(const key& by, bytes_view shut, bytes_view beside, std::span<std::uint8_t> plain) {
  constexpr std::size_t mark = crypto_aead_chacha20poly1305_ietf_ABYTES;
  constexpr std::array<std::uint8_t, crypto_aead_chacha20poly1305_ietf_NPUBBYTES> once{};
  return shut.size() == plain.size() + mark &&
         crypto_aead_chacha20poly1305_ietf_decrypt(plain.data(), nullptr, nullptr, shut.data(), shut.size(),
                                                   beside.data(), beside.size(), once.data(), by.bytes.data()) == 0;
}

} // namespace tutti::secure
