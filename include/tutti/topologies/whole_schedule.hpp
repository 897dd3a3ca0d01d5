// A schedule as a value: the transfers of every rank, to be proven, drawn, counted or broken.
#pragma once

#include <tutti/topologies/schedule.hpp>

#include <cstddef>
#include <span>
#include <vector>

namespace tutti {

/// What all ranks together are to do. Within ranks[r], rounds may come in any order.
struct whole_schedule {
  collective what = collective::all_reduce;
  int root = 0; ///< of broadcast and reduce
  int size = 1;
  int chunks = 1;
  int rounds = 0;
  std::vector<std::vector<transfer>> ranks = {};
};

/// Visits every rank. Precondition: carries<T>(what).
template <schedule_topology T>
constexpr whole_schedule collect(const T& topology, collective what, int root, int size,
                                 std::span<const int> group_of = {}) {
  const layout anyone{0, size, group_of};
  whole_schedule all{what, root, size, tutti::chunks_of(topology, anyone),
                     tutti::rounds_of(topology, what, anyone)};
  all.ranks.reserve(std::size_t(size));
  for (int rank = 0; rank < size; ++rank) {
    std::vector<transfer> transfers;
    tutti::visit(topology, what, root, layout{rank, size, group_of},
                 [&](const transfer& t) { transfers.push_back(t); });
    all.ranks.push_back(static_cast<std::vector<transfer>&&>(transfers));
  }
  return all;
}

/// Calls visit(chunk) for the chunks of a range in turn, until it answers false; whether it never
/// did.
template <class Visit>
constexpr bool every_chunk(const chunk_range& range, int chunks, Visit&& visit) {
  const int stride = range.stride % chunks;
  int c = range.first % chunks;
  for (int k = 0; k < range.count; ++k) {
    if (!visit(c)) return false;
    c += stride;
    if (c >= chunks) c -= chunks;
  }
  return true;
}

/// What a rank sends when n elements are moved: what topology.traffic() claims in advance.
constexpr traffic moved(const whole_schedule& all, int rank, std::size_t n) {
  const partition cut{n, all.size, all.chunks};
  traffic sum;
  for (const transfer& t : all.ranks[std::size_t(rank)])
    if (is_outgoing(t.act)) sum = sum + traffic::message(cut.length(t.chunks));
  return sum;
}

} // namespace tutti
