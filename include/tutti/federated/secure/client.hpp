// client: the machine of one who contributes to a secure sum (Bonawitz et al. 2017, CCS; with neighbours, Bell et al.
// 2020, CCS).
//
//   y = x + PRG(b) + sum over neighbours v above PRG(s_v) - sum over those below PRG(s_v)     modulo 2^bits
//
// s_v is agreed with neighbour v, so what one adds the other takes away; b is the client's own. Of both secrets each
// neighbour holds a share. In the end it gives the one of b for who has come, or the one of s for who has not, and
// never both: so nobody learns more than the sum, as long as fewer neighbours than the threshold tell what they hold.
#pragma once

#include <tutti/federated/secure/masks.hpp>
#include <tutti/federated/secure/messages.hpp>

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>
#include <string>
#include <utility>
#include <vector>

namespace tutti::secure {

namespace detail {

/// Numbers of the field of shares, in the order of a keystream.
class field_draws {
public:
  explicit field_draws(const key& under) : under_{under} {}
  ~field_draws() { sodium_memzero(block_.data(), sizeof block_); }
  field_draws(const field_draws&) = delete;
  field_draws& operator=(const field_draws&) = delete;

  mersenne_61 operator()() {
    for (;;) { // uniform: 2^61 - 1 of 2^61 are taken
      const std::uint64_t drawn = next() >> 3;
      if (drawn != mersenne_61::prime) return mersenne_61{drawn};
    }
  }

private:
  std::uint64_t next() {
    if (at_ == block_.size()) {
      constexpr std::array<std::uint8_t, crypto_stream_chacha20_NONCEBYTES> once{};
      auto* const bytes = reinterpret_cast<unsigned char*>(block_.data());
      block_.fill(0);
      crypto_stream_chacha20_xor_ic(bytes, bytes, sizeof block_, once.data(), blocks_, under_.bytes.data());
      blocks_ += sizeof block_ / 64;
      at_ = 0;
    }
    return block_[at_++];
  }

  key under_;
  std::array<std::uint64_t, 64> block_{};
  std::size_t at_ = block_.size();
  std::uint64_t blocks_ = 0;
};

inline key mask_in_common(const key_pair& mine, const open_key& theirs, const session& in) {
  return secure::agreed_key(mine, theirs, "tutti secure sum 1: mask in common", in.name());
}
inline key stream_of_own(const key& own, const session& in) {
  return derivation{own.bytes, "tutti secure sum 1: own mask"}.with(in.name()).secret();
}
/// What a server can hold against a mask that it is given together.
inline open_key commitment_to(const key& own, const session& in, int client) {
  return derivation{own.bytes, "tutti secure sum 1: commitment"}.with(in.name()).with(std::uint64_t(client)).open();
}
/// What stands beside sealed shares, and in the derivation of their key: from whom, for whom.
inline message address(const session& in, int from, int to) {
  message out{in.name().begin(), in.name().end()};
  for (const int who : {from, to})
    for (int k = 0; k < 4; ++k) out.push_back(static_cast<std::uint8_t>(std::uint32_t(who) >> (8 * k)));
  return out;
}

} // namespace detail

/// Four calls, in this order, each with what the server has answered to the one before; a call out of turn is
/// invalid_argument. What the server should not have asked is bad_data, fewer neighbours than the threshold are
/// peer_lost, and the client says no more. The session outlives it. `Word` is that of a ring.
template <class Word>
class client {
public:
  /// Its secrets are drawn from the system's entropy.
  client(const session& in, int id) : client{in, id, secure::drawn_key()} {}
  /// All its secrets are functions of `seed`, for tests: who knows it knows its values.
  client(const session& in, int id, const key& seed)
      : in_{in}, id_{id}, seed_{seed}, sealing_{secure::pair_of(derived("sealing key"))},
        masking_{secure::pair_of(derived("masking key"))}, own_{derived("own mask")} {
    if (id < 0 || id >= in.clients())
      detail::refuse(error_code::invalid_argument, "client " + std::to_string(id) + " is not in this session");
    if (8 * int(sizeof(Word)) != in.word_bits())
      detail::refuse(error_code::invalid_argument, "the words of the session have other bits than those of the client");
  }

  int id() const noexcept { return id_; }

  message advertise() {
    turn(stage::begun, stage::advertised);
    return advertised_message{id_, {sealing_.open, masking_.open}}.encoded(in_);
  }
  /// Of `keys`, a message.
  message share(bytes_view keys) {
    turn(stage::advertised, stage::failed);
    const keys_message told = keys_message::decoded(keys, in_);
    mine(told.client);
    enough(told.of.size(), "have come");
    std::vector<std::uint32_t> places;
    for (const auto& one : told.of) {
      const key sealing = secure::agreed_key(sealing_, one.keys.sealing, "tutti secure sum 1: sealing", in_.name());
      neighbours_.push_back({one.neighbour, one.keys.masking, sealing});
      places.push_back(place_of(one.neighbour));
    }
    detail::field_draws draw{derived("coefficients")};
    const std::vector<mersenne_61> key_in_numbers = detail::numbers_of(masking_.secret);
    const std::vector<mersenne_61> mask_in_numbers = detail::numbers_of(own_);
    const auto of_key = secure::split<mersenne_61>(key_in_numbers, in_.threshold(), places, draw);
    const auto of_mask = secure::split<mersenne_61>(mask_in_numbers, in_.threshold(), places, draw);
    shared_message out{id_, detail::commitment_to(own_, in_, id_), {}};
    for (std::size_t k = 0; k < neighbours_.size(); ++k)
      out.to.push_back({neighbours_[k].client, seal(neighbours_[k], of_key[k].values, of_mask[k].values)});
    stage_ = stage::shared;
    return out.encoded(in_);
  }
  /// Of `delivered`, a message; `values` are words of a ring that has room for the sum.
  message mask(bytes_view delivered, std::span<const Word> values) {
    turn(stage::shared, stage::failed);
    if (values.size() != in_.values())
      detail::refuse(error_code::invalid_argument, std::to_string(values.size()) +
                                                       " values were given in a session of " +
                                                       std::to_string(in_.values()));
    const delivered_message told = delivered_message::decoded(delivered, in_);
    mine(told.client);
    enough(told.from.size(), "have shared");
    std::vector<secure::mask> masks{{detail::stream_of_own(own_, in_), false}};
    for (const sealed_entry& one : told.from) {
      const partner& who = known(one.neighbour);
      open(who, one);
      masks.push_back({detail::mask_in_common(masking_, who.masking, in_), id_ > who.client});
    }
    message out = masked_message::head(in_, id_);
    std::vector<Word> words(values.begin(), values.end());
    secure::add_masks<Word>(masks, words);
    if (!words.empty()) std::memcpy(out.data() + detail::head_bytes, words.data(), words.size() * sizeof(Word));
    stage_ = stage::masked;
    return out;
  }
  /// Of `survivors`, a message. Refuses lists in which one of those that it shares masks with is missing or is in both,
  /// and to answer a second time.
  message reveal(bytes_view survivors) {
    turn(stage::masked, stage::failed);
    const survivors_message told = survivors_message::decoded(survivors, in_);
    mine(told.client);
    enough(told.came.size(), "have come to the end");
    revealed_message out{id_, {}};
    for (const auto& [neighbour, shares] : held_) {
      const bool came = std::ranges::binary_search(told.came, neighbour);
      const bool dropped = std::ranges::binary_search(told.dropped, neighbour);
      if (came == dropped)
        detail::refuse(error_code::bad_data, "client " + std::to_string(id_) + " is told that client " +
                                                 std::to_string(neighbour) +
                                                 (came ? " has come and has dropped out" : " has neither come nor "
                                                                                           "dropped out") +
                                                 ": who has the shares of both its secrets has its values");
      out.of.push_back({neighbour, dropped, dropped ? shares.of_key : shares.of_mask});
    }
    if (told.came.size() + told.dropped.size() != held_.size())
      detail::refuse(error_code::bad_data, "client " + std::to_string(id_) + " is told of clients whose shares it does "
                                                                             "not hold");
    stage_ = stage::revealed;
    held_.clear();
    return out.encoded(in_);
  }

private:
  struct partner {
    int client;
    open_key masking;
    key sealing; ///< in common with it
  };
  enum class stage { begun, advertised, shared, masked, revealed, failed };

  void turn(stage from, stage to) {
    if (stage_ != from)
      detail::refuse(error_code::invalid_argument, "client " + std::to_string(id_) +
                                                       (stage_ == stage::failed ? " has refused to go on"
                                                                                : " was called out of turn"));
    stage_ = to;
  }
  void mine(int told) const {
    if (told != id_)
      detail::refuse(error_code::bad_data, "client " + std::to_string(id_) + " is given a message for client " +
                                               std::to_string(told));
  }
  void enough(std::size_t neighbours, const char* what) const {
    if (neighbours < std::size_t(in_.threshold()))
      detail::refuse(error_code::peer_lost, std::to_string(neighbours) + " neighbours of client " +
                                                std::to_string(id_) + " " + what + ", and " +
                                                std::to_string(in_.threshold()) + " are needed");
  }
  const partner& known(int neighbour) const {
    const auto at = std::ranges::find(neighbours_, neighbour, &partner::client);
    if (at == neighbours_.end())
      detail::refuse(error_code::bad_data, "client " + std::to_string(id_) + " is given shares of client " +
                                               std::to_string(neighbour) + ", whose keys it was not given");
    return *at;
  }
  static std::uint32_t place_of(int client) { return std::uint32_t(client) + 1; }
  key derived(std::string_view name) const {
    return detail::derivation{seed_.bytes, name}.with(in_.name()).with(std::uint64_t(id_)).secret();
  }
  static key sealing_key(const partner& with, bytes_view address) {
    return detail::derivation{with.sealing.bytes, "tutti secure sum 1: one direction"}.with(address).secret();
  }
  std::array<std::uint8_t, detail::sealed_bytes> seal(const partner& for_whom,
                                                      std::span<const mersenne_61> of_key,
                                                      std::span<const mersenne_61> of_mask) const {
    std::array<std::uint8_t, 2 * detail::share_bytes> plain{};
    std::size_t at = 0;
    for (const auto& numbers : {of_key, of_mask})
      for (const mersenne_61 number : numbers)
        for (int k = 0; k < 8; ++k) plain[at++] = static_cast<std::uint8_t>(number.value() >> (8 * k));
    const message beside = detail::address(in_, id_, for_whom.client);
    const message shut = secure::sealed(sealing_key(for_whom, beside), plain, beside);
    sodium_memzero(plain.data(), plain.size());
    std::array<std::uint8_t, detail::sealed_bytes> out{};
    std::ranges::copy(shut, out.begin());
    return out;
  }
  void open(const partner& from, const sealed_entry& one) {
    std::array<std::uint8_t, 2 * detail::share_bytes> plain{};
    const message beside = detail::address(in_, from.client, id_);
    const auto refuse_it = [&](const char* why) {
      detail::refuse(error_code::bad_data, "the shares of client " + std::to_string(from.client) + " for client " +
                                               std::to_string(id_) + why);
    };
    if (!secure::opened(sealing_key(from, beside), one.shut, beside, plain)) refuse_it(" were changed on their way");
    detail::held_shares shares;
    for (std::size_t n = 0; n < 2 * detail::key_numbers; ++n) {
      std::uint64_t number = 0;
      for (std::size_t k = 0; k < 8; ++k) number |= std::uint64_t{plain[8 * n + k]} << (8 * k);
      if (number >= mersenne_61::prime) refuse_it(" are no numbers of their field");
      (n < detail::key_numbers ? shares.of_key : shares.of_mask).push_back(mersenne_61{number});
    }
    sodium_memzero(plain.data(), plain.size());
    held_.push_back({from.client, std::move(shares)});
  }

  const session& in_;
  int id_;
  key seed_;
  key_pair sealing_, masking_;
  key own_; ///< b
  stage stage_ = stage::begun;
  std::vector<partner> neighbours_; ///< that have advertised keys
  std::vector<std::pair<int, detail::held_shares>> held_; ///< of those who have shared
};

} // namespace tutti::secure
