// What clients and the server of a secure sum tell each other, as bytes that are looked at before they are believed.
//
//   advertised   client -> server    its two public keys
//   keys         server -> client    those of its neighbours that have come
//   shared       client -> server    a commitment to its own mask, and for each of these neighbours sealed shares of it
//                                    and of the key behind the common masks
//   delivered    server -> client    what its neighbours have sealed for it
//   masked       client -> server    its values and all its masks
//   survivors    server -> client    which of its neighbours' values have come, and whose have not
//   revealed     client -> server    of who has come a share of its own mask, of who has not one of its key
//
// Every message begins with a mark, its kind, the name of the session and the client that it is from or for; numbers
// have their lowest byte first; clients are in ascending order. Decoding throws bad_data for everything else, and
// names what is wrong and whose message it is.
#pragma once

#include <tutti/federated/secure/session.hpp>

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>
#include <string>
#include <vector>

namespace tutti::secure {

enum class message_kind : std::uint8_t { advertised = 1, keys, shared, delivered, masked, survivors, revealed };

constexpr const char* name(message_kind kind) noexcept {
  switch (kind) {
  case message_kind::advertised: return "advertised";
  case message_kind::keys: return "keys";
  case message_kind::shared: return "shared";
  case message_kind::delivered: return "delivered";
  case message_kind::masked: return "masked";
  case message_kind::survivors: return "survivors";
  case message_kind::revealed: return "revealed";
  }
  return "unknown";
}

namespace detail {

inline constexpr std::uint32_t message_mark = 0x31535354; // "TSS1"
inline constexpr std::size_t head_bytes = 4 + 1 + 16 + 4;

class message_writer {
public:
  message_writer(message_kind kind, const session& in, int client) {
    u32(message_mark);
    out_.push_back(std::uint8_t(kind));
    bytes(in.name());
    u32(std::uint32_t(client));
  }
  message_writer& u32(std::uint32_t number) { return little(number, 4); }
  message_writer& u64(std::uint64_t number) { return little(number, 8); }
  message_writer& bytes(bytes_view more) {
    out_.insert(out_.end(), more.begin(), more.end());
    return *this;
  }
  message take() { return std::move(out_); }

private:
  message_writer& little(std::uint64_t number, int width) {
    for (int k = 0; k < width; ++k) out_.push_back(static_cast<std::uint8_t>(number >> (8 * k)));
    return *this;
  }
  message out_;
};

/// Reads to the end, or says what is wrong.
class message_reader {
public:
  /// Throws unless it is of that kind, in that session, and of one of its clients.
  message_reader(bytes_view in, message_kind kind, const session& of) : left_{in}, kind_{kind} {
    if (in.size() < head_bytes) wrong("it ends before its head does");
    if (u32() != message_mark) wrong("it is no message of a secure sum");
    if (left_[0] != std::uint8_t(kind)) wrong("it is of another kind");
    left_ = left_.subspan(1);
    if (!std::ranges::equal(bytes(16), of.name())) wrong("it is of another session");
    const std::uint32_t who = u32();
    if (who >= std::uint32_t(of.clients())) wrong("there is no such client: " + std::to_string(who));
    client_ = int(who);
  }
  int client() const noexcept { return client_; }
  std::uint32_t u32() { return static_cast<std::uint32_t>(little(4)); }
  std::uint64_t u64() { return little(8); }
  bytes_view bytes(std::size_t n) {
    if (left_.size() < n) wrong("it ends too early");
    const bytes_view taken = left_.first(n);
    left_ = left_.subspan(n);
    return taken;
  }
  template <std::size_t N>
  std::array<std::uint8_t, N> array() {
    std::array<std::uint8_t, N> out{};
    std::ranges::copy(bytes(N), out.begin());
    return out;
  }
  /// How many items of so many bytes follow, here or after other lists: what is told is not believed before that.
  std::size_t count(std::size_t item_bytes) {
    const std::uint32_t told = u32();
    if (told > left_.size() / item_bytes) wrong("it tells of more than it holds");
    return told;
  }
  /// A client that is a neighbour of `of`, behind the one before it (-1 for none).
  int neighbour(const session& in, int of, int before) {
    const std::uint32_t who = u32();
    if (who >= std::uint32_t(in.clients()) || !in.graph().neighbours(of, int(who)))
      wrong("client " + std::to_string(who) + " is no neighbour of client " + std::to_string(of));
    if (int(who) <= before) wrong("its clients are not in ascending order");
    return int(who);
  }
  void end() const {
    if (!left_.empty()) wrong("it goes on behind its end");
  }
  [[noreturn]] void wrong(const std::string& why) const {
    detail::refuse(error_code::bad_data, std::string{"message '"} + name(kind_) + "'" +
                                             (client_ < 0 ? "" : " of client " + std::to_string(client_)) + ": " + why);
  }

private:
  std::uint64_t little(int width) {
    std::uint64_t number = 0;
    const bytes_view from = bytes(std::size_t(width));
    for (int k = 0; k < width; ++k) number |= std::uint64_t{from[std::size_t(k)]} << (8 * k);
    return number;
  }

  bytes_view left_;
  message_kind kind_;
  int client_ = -1;
};

/// A key as numbers of the field of its shares: of 60 bits, and the last of 16.
inline constexpr std::size_t key_numbers = 5;

inline std::vector<mersenne_61> numbers_of(const key& secret) {
  std::vector<mersenne_61> out;
  for (std::size_t n = 0; n < key_numbers; ++n) {
    std::uint64_t number = 0;
    for (std::size_t bit = 60 * n; bit < (std::min)(60 * (n + 1), std::size_t{256}); bit += 4)
      number |= std::uint64_t(secret.bytes[bit / 8] >> (bit % 8) & 15) << (bit - 60 * n);
    out.push_back(mersenne_61{number});
  }
  return out;
}
/// False where they are none of a key.
[[nodiscard]] inline bool key_from(std::span<const mersenne_61> numbers, key& out) {
  if (numbers.size() != key_numbers) return false;
  out.bytes = {};
  for (std::size_t n = 0; n < key_numbers; ++n) {
    const std::size_t bits = n + 1 < key_numbers ? 60 : 16;
    if (numbers[n].value() >> bits != 0) return false;
    for (std::size_t bit = 60 * n; bit < 60 * n + bits; bit += 4)
      out.bytes[bit / 8] |= static_cast<std::uint8_t>((numbers[n].value() >> (bit - 60 * n) & 15) << (bit % 8));
  }
  return true;
}

/// Shares of one client's two secrets, at the place of the neighbour that holds them.
struct held_shares {
  std::vector<mersenne_61> of_key, of_mask;
};
inline constexpr std::size_t share_bytes = 8 * key_numbers;
inline constexpr std::size_t sealed_bytes = 2 * share_bytes + crypto_aead_chacha20poly1305_ietf_ABYTES;

} // namespace detail

/// Both keys of a client: for what is sealed for it, and for masks in common.
struct open_keys {
  open_key sealing{}, masking{};
};

struct advertised_message {
  int client = 0;
  open_keys keys = {};

  message encoded(const session& in) const {
    return detail::message_writer{message_kind::advertised, in, client}.bytes(keys.sealing).bytes(keys.masking).take();
  }
  static advertised_message decoded(bytes_view bytes, const session& in) {
    detail::message_reader from{bytes, message_kind::advertised, in};
    advertised_message out{from.client()};
    out.keys.sealing = from.array<32>();
    out.keys.masking = from.array<32>();
    from.end();
    return out;
  }
};

struct keys_message {
  struct entry {
    int neighbour;
    open_keys keys = {};
  };
  int client = 0;
  std::vector<entry> of = {};

  message encoded(const session& in) const {
    detail::message_writer to{message_kind::keys, in, client};
    to.u32(std::uint32_t(of.size()));
    for (const entry& one : of) to.u32(std::uint32_t(one.neighbour)).bytes(one.keys.sealing).bytes(one.keys.masking);
    return to.take();
  }
  static keys_message decoded(bytes_view bytes, const session& in) {
    detail::message_reader from{bytes, message_kind::keys, in};
    keys_message out{from.client(), {}};
    int before = -1;
    for (std::size_t left = from.count(4 + 64); left > 0; --left) {
      before = from.neighbour(in, out.client, before);
      entry one{before, {}};
      one.keys.sealing = from.array<32>();
      one.keys.masking = from.array<32>();
      out.of.push_back(one);
    }
    from.end();
    return out;
  }
};

/// `shared` and `delivered`: whom it is for, or from.
struct sealed_entry {
  int neighbour;
  std::array<std::uint8_t, detail::sealed_bytes> shut;
};

namespace detail {

inline void write_sealed(message_writer& to, std::span<const sealed_entry> all) {
  to.u32(std::uint32_t(all.size()));
  for (const sealed_entry& one : all) to.u32(std::uint32_t(one.neighbour)).bytes(one.shut);
}
inline std::vector<sealed_entry> read_sealed(message_reader& from, const session& in) {
  std::vector<sealed_entry> out;
  int before = -1;
  for (std::size_t left = from.count(4 + sealed_bytes); left > 0; --left) {
    before = from.neighbour(in, from.client(), before);
    out.push_back({before, from.array<sealed_bytes>()});
  }
  from.end();
  return out;
}

} // namespace detail

struct shared_message {
  int client = 0;
  open_key commitment{}; ///< to its own mask
  std::vector<sealed_entry> to = {};

  message encoded(const session& in) const {
    detail::message_writer out{message_kind::shared, in, client};
    out.bytes(commitment);
    detail::write_sealed(out, to);
    return out.take();
  }
  static shared_message decoded(bytes_view bytes, const session& in) {
    detail::message_reader from{bytes, message_kind::shared, in};
    shared_message out{from.client(), from.array<32>(), {}};
    out.to = detail::read_sealed(from, in);
    return out;
  }
};

struct delivered_message {
  int client = 0;
  std::vector<sealed_entry> from = {};

  message encoded(const session& in) const {
    detail::message_writer out{message_kind::delivered, in, client};
    detail::write_sealed(out, from);
    return out.take();
  }
  static delivered_message decoded(bytes_view bytes, const session& in) {
    detail::message_reader reader{bytes, message_kind::delivered, in};
    delivered_message out{reader.client(), {}};
    out.from = detail::read_sealed(reader, in);
    return out;
  }
};

/// Its values stay where they are in the message: they are many.
struct masked_message {
  int client = 0;
  bytes_view words = {}; ///< session::values() of them

  /// Room for the values, behind the head.
  static message head(const session& in, int client) {
    message out = detail::message_writer{message_kind::masked, in, client}.take();
    out.resize(detail::head_bytes + in.values() * std::size_t(in.word_bits() / 8));
    return out;
  }
  static masked_message decoded(bytes_view bytes, const session& in) {
    detail::message_reader from{bytes, message_kind::masked, in};
    const masked_message out{from.client(), from.bytes(in.values() * std::size_t(in.word_bits() / 8))};
    from.end();
    return out;
  }
};

struct survivors_message {
  int client = 0;
  std::vector<int> came = {}, dropped = {};

  message encoded(const session& in) const {
    detail::message_writer to{message_kind::survivors, in, client};
    for (const std::vector<int>* list : {&came, &dropped}) {
      to.u32(std::uint32_t(list->size()));
      for (const int one : *list) to.u32(std::uint32_t(one));
    }
    return to.take();
  }
  static survivors_message decoded(bytes_view bytes, const session& in) {
    detail::message_reader from{bytes, message_kind::survivors, in};
    survivors_message out{from.client(), {}, {}};
    for (std::vector<int>* list : {&out.came, &out.dropped}) {
      int before = -1;
      for (std::size_t left = from.count(4); left > 0; --left)
        list->push_back(before = from.neighbour(in, out.client, before));
    }
    from.end();
    return out;
  }
};

struct revealed_message {
  struct entry {
    int neighbour;
    bool dropped; ///< a share of its key then, and else of its own mask
    std::vector<mersenne_61> numbers;
  };
  int client = 0;
  std::vector<entry> of = {};

  message encoded(const session& in) const {
    detail::message_writer to{message_kind::revealed, in, client};
    to.u32(std::uint32_t(of.size()));
    for (const entry& one : of) {
      to.u32(std::uint32_t(one.neighbour)).u32(one.dropped);
      for (const mersenne_61 number : one.numbers) to.u64(number.value());
    }
    return to.take();
  }
  static revealed_message decoded(bytes_view bytes, const session& in) {
    detail::message_reader from{bytes, message_kind::revealed, in};
    revealed_message out{from.client(), {}};
    int before = -1;
    for (std::size_t left = from.count(4 + 4 + detail::share_bytes); left > 0; --left) {
      before = from.neighbour(in, out.client, before);
      const std::uint32_t dropped = from.u32();
      if (dropped > 1) from.wrong("a share is of a key or of a mask");
      entry one{before, dropped == 1, {}};
      for (std::size_t k = 0; k < detail::key_numbers; ++k) {
        const std::uint64_t number = from.u64();
        if (number >= mersenne_61::prime) from.wrong("a share is no number of its field");
        one.numbers.push_back(mersenne_61{number});
      }
      out.of.push_back(std::move(one));
    }
    from.end();
    return out;
  }
};

} // namespace tutti::secure
