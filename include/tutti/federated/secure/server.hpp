// server: the machine of a secure sum that hands messages on, and takes masks away from the sum in the end.
#pragma once

#include <tutti/federated/secure/client.hpp>
#include <tutti/federated/secure/masks.hpp>
#include <tutti/federated/secure/messages.hpp>

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>
#include <string>
#include <vector>

namespace tutti::secure {

/// Values with masks on them, added up; where, is nobody's secret. `Word` is that of a ring.
template <class Word>
class masked_sum {
public:
  explicit masked_sum(const session& in) : in_{in}, words_(in.values()) {}

  /// Adds a message of a client; returns whose. Who comes twice is bad_data.
  int add(bytes_view bytes) {
    const masked_message one = masked_message::decoded(bytes, in_);
    if (std::ranges::find(clients_, one.client) != clients_.end())
      detail::refuse(error_code::bad_data, "the values of client " + std::to_string(one.client) + " have come before");
    clients_.push_back(one.client);
    std::array<Word, 512> block;
    for (std::size_t begin = 0; begin < words_.size(); begin += block.size()) {
      const std::size_t n = (std::min)(block.size(), words_.size() - begin);
      std::memcpy(block.data(), one.words.data() + begin * sizeof(Word), n * sizeof(Word));
      detail::add_block(block, false, words_.data() + begin, n);
    }
    return one.client;
  }
  /// In the order in which they came.
  std::span<const int> clients() const noexcept { return clients_; }
  std::span<Word> words() noexcept { return words_; }
  std::span<const Word> words() const noexcept { return words_; }

private:
  const session& in_;
  std::vector<int> clients_;
  std::vector<Word> words_;
};

/// Takes what clients say, in four stages; asking for the first answer of a stage ends it, and who has not come by
/// then has dropped out. Messages that cannot be are bad_data, come twice or out of turn included, and change nothing.
/// Where fewer are left than the threshold of a client's neighbours says, it is peer_lost, and there is no sum. The
/// session outlives it. It follows the protocol; what it could learn if it did not is in docs/secure_aggregation.md.
template <class Word>
class server {
public:
  explicit server(const session& in)
      : in_{in}, keys_(std::size_t(in.clients())), sealed_(keys_.size()), commitments_(keys_.size()),
        state_(keys_.size(), came_to::nothing), values_{in}, answered_(keys_.size()), of_key_(keys_.size()),
        of_mask_(keys_.size()) {
    if (8 * int(sizeof(Word)) != in.word_bits())
      detail::refuse(error_code::invalid_argument, "the words of the session have other bits than those of the server");
  }

  void take_advertised(bytes_view bytes) {
    const advertised_message one = advertised_message::decoded(bytes, in_);
    arrives(one.client, came_to::nothing, stage::advertising);
    keys_[std::size_t(one.client)] = one.keys;
    state_[std::size_t(one.client)] = came_to::advertise;
  }
  /// For a client that has advertised its keys.
  message keys_for(int client) {
    pass(stage::advertising, stage::sharing);
    keys_message out{client, {}};
    for (const int v : neighbours(client, came_to::advertise)) out.of.push_back({v, keys_[std::size_t(v)]});
    return out.encoded(in_);
  }
  void take_shared(bytes_view bytes) {
    const shared_message one = shared_message::decoded(bytes, in_);
    arrives(one.client, came_to::advertise, stage::sharing);
    const std::vector<int> for_whom = with(one.client, came_to::advertise, came_to::share);
    if (!std::ranges::equal(for_whom, one.to, {}, {}, &sealed_entry::neighbour))
      detail::refuse(error_code::bad_data, "client " + std::to_string(one.client) +
                                               " has not shared its secrets with the neighbours that it was told of");
    commitments_[std::size_t(one.client)] = one.commitment;
    sealed_[std::size_t(one.client)] = one.to;
    state_[std::size_t(one.client)] = came_to::share;
  }
  /// For a client that has shared its secrets.
  message shares_for(int client) {
    pass(stage::sharing, stage::masking);
    delivered_message out{client, {}};
    for (const int v : neighbours(client, came_to::share)) {
      const auto& all = sealed_[std::size_t(v)];
      out.from.push_back({v, std::ranges::find(all, client, &sealed_entry::neighbour)->shut});
    }
    return out.encoded(in_);
  }
  void take_masked(bytes_view bytes) {
    const masked_message one = masked_message::decoded(bytes, in_);
    arrives(one.client, came_to::share, stage::masking);
    values_.add(bytes);
    state_[std::size_t(one.client)] = came_to::mask;
  }
  /// The same of all of `clients` at once: their messages, added up elsewhere by a masked_sum.
  void take_masked(std::span<const int> clients, std::span<const Word> sum) {
    if (sum.size() != in_.values())
      detail::refuse(error_code::invalid_argument, "a sum of other values than those of the session");
    for (const int client : clients) arrives(client, came_to::share, stage::masking);
    for (const int client : clients) state_[std::size_t(client)] = came_to::mask;
    for (std::size_t i = 0; i < sum.size(); ++i) values_.words()[i] = static_cast<Word>(values_.words()[i] + sum[i]);
  }
  /// For a client whose values have come. Nobody is asked where the sum could not be told, or would tell more than one:
  /// where too few neighbours of somebody are left, or those who are left fall apart into several sums.
  message survivors_for(int client) {
    if (stage_ == stage::masking) refuse_what_cannot_be();
    pass(stage::masking, stage::unmasking);
    require(client, came_to::mask);
    return survivors_message{client, with(client, came_to::mask, came_to::mask),
                             with(client, came_to::share, came_to::share)}
        .encoded(in_);
  }
  void take_revealed(bytes_view bytes) {
    const revealed_message one = revealed_message::decoded(bytes, in_);
    arrives(one.client, came_to::mask, stage::unmasking);
    if (answered_[std::size_t(one.client)])
      detail::refuse(error_code::bad_data, "client " + std::to_string(one.client) + " has answered before");
    std::size_t asked = with(one.client, came_to::share, came_to::mask).size();
    for (const auto& share : one.of) {
      const bool dropped = state_[std::size_t(share.neighbour)] == came_to::share;
      if (share.dropped != dropped || state_[std::size_t(share.neighbour)] < came_to::share)
        detail::refuse(error_code::bad_data, "client " + std::to_string(one.client) +
                                                 " tells what it was not asked for, of client " +
                                                 std::to_string(share.neighbour));
      --asked;
    }
    if (asked != 0)
      detail::refuse(error_code::bad_data,
                     "client " + std::to_string(one.client) + " tells less than it was asked for");
    answered_[std::size_t(one.client)] = true;
    for (const auto& share : one.of)
      (share.dropped ? of_key_ : of_mask_)[std::size_t(share.neighbour)].push_back(
          {std::uint32_t(in_.threshold()), std::uint32_t(one.client) + 1, share.numbers});
  }
  /// The sum of the values of all survivors, modulo 2^bits. Shares that are wrong are bad_data and name whose they are;
  /// after a failure more answers may be taken.
  std::span<const Word> sum() {
    if (stage_ == stage::done) return values_.words();
    if (stage_ != stage::unmasking) detail::refuse(error_code::invalid_argument, "the server was called out of turn");
    std::vector<mask> masks;
    for (int u = 0; u < in_.clients(); ++u) {
      if (state_[std::size_t(u)] == came_to::mask) {
        const key own = secret(u, of_mask_);
        if (detail::commitment_to(own, in_, u) != commitments_[std::size_t(u)]) refuse_secret(u);
        masks.push_back({detail::stream_of_own(own, in_), true});
      } else if (const std::vector<int> left = with(u, came_to::mask, came_to::mask);
                 state_[std::size_t(u)] == came_to::share && !left.empty()) {
        const key_pair pair = secure::pair_of(secret(u, of_key_));
        if (pair.open != keys_[std::size_t(u)].masking) refuse_secret(u);
        for (const int v : left) // v has added it where u is above
          masks.push_back({detail::mask_in_common(pair, keys_[std::size_t(v)].masking, in_), v < u});
      }
    }
    secure::add_masks<Word>(masks, values_.words());
    stage_ = stage::done;
    return values_.words();
  }

  /// Whose values are in the sum, ascending.
  std::vector<int> survivors() const {
    std::vector<int> out;
    for (int u = 0; u < in_.clients(); ++u)
      if (state_[std::size_t(u)] == came_to::mask) out.push_back(u);
    return out;
  }
  /// Who had shared secrets, and whose values did not come: masks for them were taken away.
  int recovered() const { return int(std::ranges::count(state_, came_to::share)); }

private:
  enum class came_to { nothing, advertise, share, mask };
  enum class stage { advertising, sharing, masking, unmasking, done };

  /// Neighbours that have come to something between the two.
  std::vector<int> with(int client, came_to least, came_to most) const {
    std::vector<int> out;
    for (const int v : in_.graph().of(client))
      if (state_[std::size_t(v)] >= least && state_[std::size_t(v)] <= most) out.push_back(v);
    return out;
  }
  /// The same of a client that has come as far, and at least as many as the threshold says.
  std::vector<int> neighbours(int client, came_to least) const {
    require(client, least);
    std::vector<int> out = with(client, least, came_to::mask);
    enough(client, out.size());
    return out;
  }
  void enough(int client, std::size_t left) const {
    if (left < std::size_t(in_.threshold()))
      detail::refuse(error_code::peer_lost, std::to_string(left) + " neighbours of client " + std::to_string(client) +
                                                " are left, and " + std::to_string(in_.threshold()) + " are needed");
  }
  void require(int client, came_to least) const {
    if (client < 0 || client >= in_.clients() || state_[std::size_t(client)] < least)
      detail::refuse(error_code::invalid_argument, "client " + std::to_string(client) + " has not come so far");
  }
  void pass(stage from, stage to) {
    if (stage_ == from) stage_ = to;
    if (stage_ != to) detail::refuse(error_code::invalid_argument, "the server was called out of turn");
  }
  void arrives(int client, came_to before, stage in) const {
    if (stage_ != in)
      detail::refuse(error_code::bad_data, "a message of client " + std::to_string(client) + " comes out of turn");
    if (client < 0 || client >= in_.clients() || state_[std::size_t(client)] != before)
      detail::refuse(error_code::bad_data, "client " + std::to_string(client) +
                                               " says what it has said before, or has left something out");
  }
  void refuse_what_cannot_be() const {
    const std::vector<int> left = survivors();
    if (left.empty()) detail::refuse(error_code::peer_lost, "the values of nobody have come");
    for (int u = 0; u < in_.clients(); ++u) {
      const std::size_t near = with(u, came_to::mask, came_to::mask).size();
      if (state_[std::size_t(u)] == came_to::mask || (state_[std::size_t(u)] == came_to::share && near > 0))
        enough(u, near);
    }
    std::vector<int> reached{left[0]};
    for (std::size_t k = 0; k < reached.size(); ++k)
      for (const int v : with(reached[k], came_to::mask, came_to::mask))
        if (std::ranges::find(reached, v) == reached.end()) reached.push_back(v);
    if (reached.size() != left.size())
      detail::refuse(error_code::peer_lost, "those who are left fall apart: the sum over " +
                                                std::to_string(reached.size()) + " of " + std::to_string(left.size()) +
                                                " could be told by itself");
  }
  key secret(int client, const std::vector<std::vector<share<mersenne_61>>>& shares) const {
    enough(client, shares[std::size_t(client)].size());
    key out;
    try {
      if (detail::key_from(secure::recovered<mersenne_61>(shares[std::size_t(client)]), out)) return out;
    } catch (const error&) { // beside those that make the secret there is one that does not fit
    }
    refuse_secret(client);
  }
  [[noreturn]] static void refuse_secret(int client) {
    detail::refuse(error_code::bad_data, "the shares of client " + std::to_string(client) +
                                             " do not make its secret: one of its neighbours has told another");
  }

  const session& in_;
  std::vector<open_keys> keys_;
  std::vector<std::vector<sealed_entry>> sealed_;
  std::vector<open_key> commitments_;
  std::vector<came_to> state_;
  masked_sum<Word> values_;
  std::vector<bool> answered_;
  std::vector<std::vector<share<mersenne_61>>> of_key_, of_mask_;
  stage stage_ = stage::advertising;
};

} // namespace tutti::secure
