// One secure sum in one process, of clients that stop where a test says, with everything that was said.
#pragma once

#include <tutti/federated/secure/client.hpp>
#include <tutti/federated/secure/server.hpp>

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <vector>

namespace trial {

/// What a client still does before it drops out.
enum class until { nothing, advertised, shared, masked, end };

inline tutti::secure::key seed_of(int client) {
  tutti::secure::key out;
  for (std::size_t k = 0; k < 32; ++k) out.bytes[k] = static_cast<std::uint8_t>(client * 7 + int(k) + 1);
  return out;
}

template <class Word>
struct one_sum {
  using message = tutti::secure::message;

  tutti::secure::session in;
  std::vector<std::unique_ptr<tutti::secure::client<Word>>> clients;
  tutti::secure::server<Word> server{in};
  std::vector<message> advertised, keys, shared, delivered, masked, survivors, revealed; ///< what was said

  explicit one_sum(const tutti::secure::settings& how) : in{how} {
    for (int c = 0; c < how.clients; ++c)
      clients.push_back(std::make_unique<tutti::secure::client<Word>>(in, c, seed_of(c)));
  }
  /// values(client) are its words; stops(client) says how far it comes. To the reveal, exclusive.
  template <class Values, class Stops>
  void to_the_masks(Values&& values, Stops&& stops) {
    const auto each = [&](until least, auto&& f) {
      for (auto& one : clients)
        if (stops(one->id()) >= least) f(*one);
    };
    each(until::advertised, [&](auto& c) { server.take_advertised(advertised.emplace_back(c.advertise())); });
    each(until::shared, [&](auto& c) {
      keys.push_back(server.keys_for(c.id()));
      shared.push_back(c.share(keys.back()));
    });
    for (const message& m : shared) server.take_shared(m);
    each(until::masked, [&](auto& c) {
      delivered.push_back(server.shares_for(c.id()));
      const std::vector<Word> words = values(c.id());
      masked.push_back(c.mask(delivered.back(), words));
    });
    for (const message& m : masked) server.take_masked(m);
  }
  template <class Stops>
  std::span<const Word> unmasked(Stops&& stops) {
    for (const int c : server.survivors()) {
      survivors.push_back(server.survivors_for(c));
      if (stops(c) == until::end) {
        revealed.push_back(clients[std::size_t(c)]->reveal(survivors.back()));
        server.take_revealed(revealed.back());
      }
    }
    return server.sum();
  }
  template <class Values, class Stops>
  std::span<const Word> run(Values&& values, Stops&& stops) {
    to_the_masks(values, stops);
    return unmasked(stops);
  }
};

} // namespace trial
