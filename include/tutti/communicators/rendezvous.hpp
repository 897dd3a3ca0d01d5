// One small block from every rank to every rank: what splitting and verifying need.
#pragma once

#include <tutti/communicators/communicator.hpp>

#include <algorithm>
#include <utility>
#include <vector>

namespace tutti::detail {

/// Blocks until one exchange is complete, while everything else that is in flight moves on; a failure
/// revokes the communicator, and a timeout names the peer. `until` is a time of the communicator's clock.
template <class Comm, class Handle>
void complete(Comm& comm, Handle& handle, const char* call, deadline until) {
  const operations::visit now{comm.in_flight(), call, comm.rank()};
  try {
    for (;;) {
      const auto seen = comm.progress();
      if (handle.test()) return;
      // A peer may wait for one of these before it comes here.
      const bool rests = comm.in_flight().step(seen);
      if (tutti::now_of(comm) >= until)
        throw error{{.code = error_code::timeout,
                     .peer = handle.waiting_for(),
                     .detail = "the peer did not take part in time"}};
      if (rests) comm.idle(seen, (std::min)(until, comm.in_flight().alarm()));
    }
  } catch (const error& e) {
    failure why = e.details();
    if (why.call.empty()) why.call = call;
    if (why.rank < 0) why.rank = comm.rank();
    comm.revoke(why);
    throw error{std::move(why)};
  }
}

/// blocks[r * n, n) is what rank r gave. Collective; size - 1 messages a rank.
template <class Comm>
std::vector<std::uint64_t> rendezvous(Comm& comm, const char* call,
                                      std::span<const std::uint64_t> mine, deadline until) {
  const std::size_t n = mine.size();
  comm.in_flight().history()->add(hash_of_nothing, n, 0, nullptr);
  std::vector<std::uint64_t> blocks(n * std::size_t(comm.size()));
  std::vector<outgoing> sends;
  std::vector<incoming> receives;
  for (int peer = 0; peer < comm.size(); ++peer) {
    const std::span<std::uint64_t> block{blocks.data() + std::size_t(peer) * n, n};
    if (peer == comm.rank()) {
      for (std::size_t k = 0; k < n; ++k) block[k] = mine[k];
      continue;
    }
    sends.push_back({peer, std::as_bytes(mine)});
    receives.push_back({peer, std::as_writable_bytes(block)});
  }
  auto handle =
      comm.exchange(host_execution{}, comm.in_flight().next_channel(), {sends, receives});
  detail::complete(comm, handle, call, until);
  return blocks;
}

/// One group of a split, as every rank computes it: the ranks of one color, by (key, rank).
struct split_group {
  std::vector<int> members;
  int rank = 0;
};
template <class Comm>
split_group split_members(Comm& comm, int color, int key, deadline until) {
  const std::uint64_t mine[] = {std::uint64_t(std::int64_t{color}),
                                std::uint64_t(std::int64_t{key})};
  const auto all = detail::rendezvous(comm, "split", mine, until);
  split_group group;
  const auto key_of = [&](int r) { return std::int64_t(all[2 * std::size_t(r) + 1]); };
  for (int r = 0; r < comm.size(); ++r) {
    if (all[2 * std::size_t(r)] != mine[0]) continue;
    auto& members = group.members; // by key; equal keys stay in rank order
    members.push_back(r);
    for (std::size_t k = members.size() - 1; k > 0 && key_of(members[k - 1]) > key_of(r); --k)
      std::swap(members[k - 1], members[k]);
  }
  for (std::size_t k = 0; k < group.members.size(); ++k)
    if (group.members[k] == comm.rank()) group.rank = int(k);
  return group;
}

} // namespace tutti::detail
