// The price of a schedule: how long it takes on machines that are described by a few numbers.
//
// An alpha-beta-gamma model with one port a rank, direction and kind of link (Hockney 1994; Thakur,
// Rabenseifner, Gropp 2005; while a rank sends to another node, it may send within its own): a message
// of b bytes costs its sender alpha_send + beta b of its outgoing port,
// arrives alpha later, and takes beta b of its receiver's incoming port; combining b bytes costs
// gamma b. Ranks are not synchronised: each begins its next round when its own messages of the last
// one are gone and those it awaits have been folded in.
//
// constexpr; the cost is that of visiting the schedule on every rank. Nothing here decides
// anything: the default topology is a fixed function (collectives/default_topology.hpp).
#pragma once

#include <tutti/topologies/whole_schedule.hpp>

#include <algorithm>
#include <array>
#include <cstddef>
#include <span>
#include <utility>
#include <vector>

namespace tutti {

/// One kind of link. Times are in microseconds.
struct link_cost {
  double latency = 1.0;  ///< alpha: from the end of the send to the arrival of the first byte
  double overhead = 0.2; ///< of a message, at its sender
  double per_byte = 1.0 / 5000; ///< beta: the inverse of the bandwidth; 5 GB/s

  friend constexpr bool operator==(const link_cost&, const link_cost&) = default;
};

struct machine_cost {
  link_cost within = {};                       ///< between ranks of one node
  link_cost between = {20.0, 1.0, 1.0 / 1000}; ///< between nodes
  double per_folded_byte = 1.0 / 8000;         ///< gamma, of each contribution
  double shared_epoch = 0.2;           ///< ranks that reach each other's memory wait for each other
  double per_shared_byte = 1.0 / 8000; ///< and read or write there

  friend constexpr bool operator==(const machine_cost&, const machine_cost&) = default;
};

namespace detail {

/// Every rank's clock, moved on round by round.
class price_walk {
public:
  constexpr price_walk(const whole_schedule& all, std::size_t n, std::size_t element_bytes,
                       const machine_cost& costs, std::span<const int> group_of)
      : all_{all}, cut_{n, all.size, all.chunks},
        element_bytes_{element_bytes}, costs_{costs}, group_of_{group_of} {
    for (int r = 0; r < all.size; ++r) now_.push_back(0);
    sort_by_round();
  }

  constexpr double run() {
    for (int round = 0; round < all_.rounds; ++round) one(round);
    return *std::max_element(now_.begin(), now_.end());
  }

private:
  enum kind { within, between };
  using ports = std::array<double, 2>; ///< when each is free, by the kind of link

  /// A message on its way: when its last byte has left, and how long it keeps the receiver's port.
  struct flight {
    int from;
    double arrival, port;
    bool taken;
  };

  /// The transfers of one rank and round.
  constexpr std::span<const transfer> of(int rank, int round) const {
    const auto& starts = starts_[std::size_t(rank)];
    return std::span{sorted_[std::size_t(rank)]}.subspan(
        starts[std::size_t(round)], starts[std::size_t(round) + 1] - starts[std::size_t(round)]);
  }
  constexpr void sort_by_round() {
    for (const auto& given : all_.ranks) {
      std::vector<std::size_t> starts(std::size_t(all_.rounds) + 1);
      for (const transfer& t : given) ++starts[std::size_t(t.round) + 1];
      for (std::size_t r = 1; r < starts.size(); ++r) starts[r] += starts[r - 1];
      std::vector<std::size_t> place(starts.begin(), starts.end());
      std::vector<transfer> sorted(given.size());
      for (const transfer& t : given) sorted[place[std::size_t(t.round)]++] = t;
      starts_.push_back(std::move(starts));
      sorted_.push_back(std::move(sorted));
    }
    heading_for_.resize(std::size_t(all_.size));
  }

  constexpr void one(int round) {
    for (auto& flights : heading_for_) flights.clear();
    std::vector<ports> out;
    for (const double now : now_) out.push_back({now, now});
    for (int r = 0; r < all_.size; ++r)
      for (const transfer& t : of(r, round))
        if (is_outgoing(t.act)) send(r, t, out[std::size_t(r)]);
    std::vector<double> next;
    for (int r = 0; r < all_.size; ++r) {
      const double now = now_[std::size_t(r)];
      ports in{now, now};
      double folding = 0;
      for (const transfer& t : of(r, round))
        if (!is_outgoing(t.act)) {
          const double bytes = bytes_of(t);
          if (bytes == 0) continue;
          const flight* f = meet(t.peer, r);
          if (f == nullptr) continue; // not a schedule: the proof says so
          double& port = in[kind_of(r, t.peer)];
          port = (std::max)(port + f->port, f->arrival);
          if (t.act == action::combine) folding += bytes * costs_.per_folded_byte;
        }
      const ports& gone = out[std::size_t(r)];
      next.push_back((std::max)({gone[within], gone[between], in[within], in[between]}) + folding);
    }
    now_ = next;
  }
  constexpr void send(int rank, const transfer& t, ports& out) {
    const double bytes = bytes_of(t);
    if (bytes == 0) return;
    const kind to = kind_of(rank, t.peer);
    const link_cost& link = to == within ? costs_.within : costs_.between;
    out[to] += link.overhead + bytes * link.per_byte;
    heading_for_[std::size_t(t.peer)].push_back(
        {rank, out[to] + link.latency, bytes * link.per_byte, false});
  }
  constexpr const flight* meet(int from, int to) {
    for (flight& f : heading_for_[std::size_t(to)])
      if (f.from == from && !f.taken) {
        f.taken = true;
        return &f;
      }
    return nullptr;
  }
  constexpr double bytes_of(const transfer& t) const {
    return double(cut_.length(t.chunks) * element_bytes_);
  }
  constexpr kind kind_of(int a, int b) const {
    const bool same = group_of_.empty() || group_of_[std::size_t(a)] == group_of_[std::size_t(b)];
    return same ? within : between;
  }

  const whole_schedule& all_;
  partition cut_;
  std::size_t element_bytes_;
  const machine_cost& costs_;
  std::span<const int> group_of_;
  std::vector<double> now_;
  std::vector<std::vector<transfer>> sorted_;        ///< of each rank, by round
  std::vector<std::vector<std::size_t>> starts_;     ///< where its rounds begin there
  std::vector<std::vector<flight>> heading_for_;     ///< each rank, in this round
};

} // namespace detail

/// The microseconds that n elements take on a schedule, when all ranks begin at once.
constexpr double price(const whole_schedule& all, std::size_t n, std::size_t element_bytes,
                       const machine_cost& costs = {}, std::span<const int> group_of = {}) {
  return detail::price_walk{all, n, element_bytes, costs, group_of}.run();
}

/// The same for one collective of a topology. Precondition: carries<T>(what).
template <schedule_topology T>
constexpr double price(const T& topology, collective what, int root, int size, std::size_t n,
                       std::size_t element_bytes, const machine_cost& costs = {},
                       std::span<const int> group_of = {}) {
  return tutti::price(tutti::collect(topology, what, root, size, group_of), n, element_bytes, costs,
                      group_of);
}

/// The same without messages, by ranks that reach each other's memory: one epoch for what fits beside
/// the announcement of the call, otherwise one before and one behind the work, of which each rank does its
/// share.
constexpr double price_in_shared_memory(collective what, int size, std::size_t bytes,
                                        const machine_cost& costs = {}) {
  constexpr std::size_t short_bytes = 2048;
  if (size == 1) return 0;
  if (bytes <= short_bytes) return costs.shared_epoch + double(bytes) * costs.per_shared_byte;
  const double reads = what == collective::all_gather || what == collective::broadcast ? 1.0 / size : 1;
  const double writes = what == collective::reduce_scatter || what == collective::reduce ? 1.0 / size : 1;
  return 2 * costs.shared_epoch + (reads + writes) * double(bytes) * costs.per_shared_byte;
}

} // namespace tutti
