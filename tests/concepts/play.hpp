// Plays a schedule on simulated ranks, keeping of every value who contributed to it and how.
#pragma once

#include <tutti/topologies/schedule.hpp>

#include <algorithm>
#include <cstdint>
#include <map>
#include <string>
#include <utility>
#include <vector>

namespace concepts {

/// What one rank holds of one chunk.
struct held {
  std::vector<int> times;       ///< how often each rank's contribution is in it; empty: nothing
  std::uint64_t expression = 0; ///< how they were combined, up to the order of two operands
  friend bool operator==(const held&, const held&) = default;
};

inline std::uint64_t scrambled(std::uint64_t x) {
  x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9u;
  x = (x ^ (x >> 27)) * 0x94d049bb133111ebu;
  return x ^ (x >> 31);
}

inline held contribution(int rank, int size) {
  held h{std::vector<int>(std::size_t(size)), scrambled(std::uint64_t(rank) + 1)};
  h.times[std::size_t(rank)] = 1;
  return h;
}

inline held combined(held a, const held& b) {
  if (a.times.empty() || b.times.empty()) return {};
  for (std::size_t k = 0; k < a.times.size(); ++k) a.times[k] += b.times[k];
  a.expression = scrambled(scrambled(a.expression) + scrambled(b.expression));
  return a;
}

using memory = std::vector<std::vector<held>>; ///< [rank][chunk]

struct outcome {
  memory ranks;
  std::size_t messages = 0;
  std::string wrong; ///< a transfer that met none; empty when all did
};

/// The chunk numbers of a range, in the order of the message.
inline std::vector<int> numbers(const tutti::chunk_range& range, int chunks) {
  std::vector<int> out;
  for (int k = 0; k < range.count; ++k)
    out.push_back(((range.first + k * range.stride) % chunks + chunks) % chunks);
  return out;
}

inline memory before(tutti::collective what, int root, int size, int chunks) {
  const std::vector<held> nothing(static_cast<std::size_t>(chunks));
  memory ranks(static_cast<std::size_t>(size), nothing);
  for (int r = 0; r < size; ++r)
    for (int c = 0; c < chunks; ++c) {
      const bool gathered = what == tutti::collective::all_gather;
      const bool broadcast = what == tutti::collective::broadcast;
      const bool has = gathered ? c / (chunks / size) == r : !broadcast || r == root;
      if (has) ranks[std::size_t(r)][std::size_t(c)] = contribution(r, size);
    }
  return ranks;
}

namespace detail {

using pair = std::pair<int, int>; // from, to
using mail = std::map<pair, std::vector<tutti::transfer>>;

inline void play_round(outcome& o, const mail& sent, const mail& received, int chunks) {
  const memory start = o.ranks;
  std::map<pair, std::vector<int>> folds; // {rank, chunk}: from whom
  for (const auto& [ends, transfers] : received) {
    const auto found = sent.find(ends);
    for (std::size_t k = 0; k < transfers.size(); ++k) {
      const auto& t = transfers[k];
      const auto [from, to] = ends;
      const auto act =
          t.act == tutti::action::combine ? tutti::action::send : tutti::action::publish;
      if (found == sent.end() || found->second.size() != transfers.size() ||
          found->second[k].act != act ||
          numbers(found->second[k].chunks, chunks) != numbers(t.chunks, chunks)) {
        o.wrong = "round " + std::to_string(t.round) + ": rank " + std::to_string(to) +
                  " receives what rank " + std::to_string(from) + " does not send";
        return;
      }
      ++o.messages;
      for (const int c : numbers(t.chunks, chunks))
        if (t.act == tutti::action::store)
          o.ranks[std::size_t(to)][std::size_t(c)] = start[std::size_t(from)][std::size_t(c)];
        else folds[{to, c}].push_back(from);
    }
  }
  for (const auto& [ends, transfers] : sent)
    if (!received.count(ends)) o.wrong = "rank " + std::to_string(ends.first) + " sends in vain";
  for (auto [where, from] : folds) {
    from.push_back(where.first);
    std::sort(from.begin(), from.end());
    held total = start[std::size_t(from[0])][std::size_t(where.second)];
    for (std::size_t k = 1; k < from.size(); ++k)
      total = combined(total, start[std::size_t(from[k])][std::size_t(where.second)]);
    o.ranks[std::size_t(where.first)][std::size_t(where.second)] = total;
  }
}

} // namespace detail

template <tutti::schedule_topology T>
outcome play(const T& topology, tutti::collective what, int size, std::vector<int> groups = {},
             int root = 0) {
  const int chunks = tutti::chunks_of(topology, {0, size, groups});
  const int rounds = tutti::rounds_of(topology, what, tutti::layout{0, size, groups});
  std::map<int, detail::mail> sent, received;
  outcome o{before(what, root, size, chunks), 0, {}};
  for (int rank = 0; rank < size; ++rank)
    tutti::visit(topology, what, root, {rank, size, groups}, [&](const tutti::transfer& t) {
      if (t.round < 0 || t.round >= rounds || t.peer == rank || t.peer < 0 || t.peer >= size)
        o.wrong = "a transfer that cannot be";
      if (tutti::is_outgoing(t.act)) sent[t.round][{rank, t.peer}].push_back(t);
      else received[t.round][{t.peer, rank}].push_back(t);
    });
  for (int round = 0; round < rounds && o.wrong.empty(); ++round)
    detail::play_round(o, sent[round], received[round], chunks);
  return o;
}

/// Whether every rank's contribution is in `h` exactly once.
inline bool complete(const held& h) {
  return !h.times.empty() && std::count(h.times.begin(), h.times.end(), 1) == int(h.times.size());
}

/// What is wrong with an all_reduce: a contribution that is missing or counted twice, or ranks that
/// combined them in different ways and so end with different bits. Empty when nothing is.
inline std::string wrong_all_reduce(const outcome& o) {
  if (!o.wrong.empty()) return o.wrong;
  for (const auto& rank : o.ranks)
    for (std::size_t c = 0; c < rank.size(); ++c) {
      if (!complete(rank[c])) return "a contribution is missing or counted twice";
      if (!(rank[c] == o.ranks[0][c])) return "ranks combined the contributions in different ways";
    }
  return {};
}

inline std::string wrong_reduce_scatter(const outcome& o) {
  if (!o.wrong.empty()) return o.wrong;
  for (std::size_t c = 0; c < o.ranks[0].size(); ++c)
    if (!complete(o.ranks[c / (o.ranks[0].size() / o.ranks.size())][c]))
      return "an owner misses a contribution or has it twice";
  return {};
}

inline std::string wrong_all_gather(const outcome& o) {
  if (!o.wrong.empty()) return o.wrong;
  const auto size = int(o.ranks.size()), chunks = int(o.ranks[0].size());
  for (const auto& rank : o.ranks)
    for (int c = 0; c < chunks; ++c)
      if (!(rank[std::size_t(c)] == contribution(c / (chunks / size), size)))
        return "a chunk did not arrive";
  return {};
}

} // namespace concepts
