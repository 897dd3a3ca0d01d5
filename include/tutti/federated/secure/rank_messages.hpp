// How messages of a secure sum travel between ranks, each of which is the place of some clients; the server is at
// rank 0.
#pragma once

#include <tutti/carriers/control.hpp>
#include <tutti/core/error.hpp>
#include <tutti/federated/secure/keys.hpp>

#include <array>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>
#include <string>
#include <utility>
#include <vector>

namespace tutti::secure::detail {

/// A message, and the client that it is from or for.
struct addressed {
  int client;
  message bytes;
};

inline std::vector<std::uint64_t> packed(std::span<const addressed> all) {
  std::vector<std::uint64_t> out;
  for (const addressed& one : all) {
    out.push_back(std::uint64_t(one.client));
    out.push_back(one.bytes.size());
    const std::size_t at = out.size();
    out.resize(at + (one.bytes.size() + 7) / 8);
    if (!one.bytes.empty()) std::memcpy(out.data() + at, one.bytes.data(), one.bytes.size());
  }
  return out;
}
inline void unpack(std::span<const std::uint64_t> words, std::vector<addressed>& to) {
  for (std::size_t at = 0; at < words.size();) {
    addressed one{int(words[at]), message(words[at + 1])};
    at += 2;
    if (!one.bytes.empty()) std::memcpy(one.bytes.data(), words.data() + at, one.bytes.size());
    at += (one.bytes.size() + 7) / 8;
    to.push_back(std::move(one));
  }
}

/// Collective: those of all ranks, to all.
inline std::vector<addressed> gathered(control& ranks, std::span<const addressed> mine) {
  std::vector<std::uint64_t> words = packed(mine);
  const std::uint64_t own = words.size();
  const std::vector<std::uint64_t> lengths = ranks.gather({&own, 1});
  std::uint64_t most = 0;
  for (const std::uint64_t length : lengths) most = length > most ? length : most;
  words.resize(most);
  std::vector<addressed> out;
  if (most == 0) return out;
  const std::vector<std::uint64_t> all = ranks.gather(words);
  for (std::size_t r = 0; r < lengths.size(); ++r)
    detail::unpack(std::span{all}.subspan(r * most, lengths[r]), out);
  return out;
}

/// Collective: what say() of rank 0 returns, to all. Where it throws peer_lost, as a server does that cannot go on,
/// `refusal` is why on every rank.
template <class Say>
std::vector<addressed> said_by_server(control& ranks, std::string& refusal, Say&& say) {
  std::vector<addressed> out;
  if (ranks.rank() == 0) {
    try {
      out = say();
    } catch (const error& e) {
      if (e.code() != error_code::peer_lost) throw;
      refusal = e.details().detail;
    }
  }
  message why{refusal.begin(), refusal.end()};
  out.push_back({-1, std::move(why)});
  std::vector<std::uint64_t> words = packed(out);
  std::uint64_t length = words.size();
  ranks.broadcast(std::as_writable_bytes(std::span{&length, 1}), 0);
  words.resize(length);
  ranks.broadcast(std::as_writable_bytes(std::span{words}), 0);
  out.clear();
  detail::unpack(words, out);
  refusal.assign(out.back().bytes.begin(), out.back().bytes.end());
  out.pop_back();
  return out;
}

} // namespace tutti::secure::detail
