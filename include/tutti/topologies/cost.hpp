// The price of a schedule: how long it takes on machines that are described by a few numbers.
//
// An alpha-beta-gamma model with one port a rank and direction (Hockney 1994; Thakur, Rabenseifner,
// Gropp 2005): a message of b bytes costs its sender alpha_send + beta b of its outgoing port,
// arrives alpha later, and takes beta b of its receiver's incoming port; combining b bytes costs
// gamma b. Ranks are not synchronised: each begins its next round when its own messages of the last
// one are gone and those it awaits have been folded in.
//
// constexpr; the cost is that of visiting the schedule on every rank. Nothing here decides
// anything: the default topology is a fixed function (collectives/default_topology.hpp).
#pragma once

#include <tutti/topologies/whole_schedule.hpp>

#include <algorithm>
#include <cstddef>
#include <span>
#include <vector>

namespace tutti {

/// One kind of link. Times are in microseconds.
struct link_cost {
  double latency = 1.0;  ///< alpha: from the end of the send to the arrival of the first byte
  double overhead = 0.2; ///< of a message, at its sender
  double per_byte = 1.0 / 5000; ///< beta: the inverse of the bandwidth; 5 GB/s
};

struct machine_cost {
  link_cost within = {};                       ///< between ranks of one node
  link_cost between = {20.0, 1.0, 1.0 / 1000}; ///< between nodes
  double per_folded_byte = 1.0 / 8000;         ///< gamma, of each contribution
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
  }

  constexpr double run() {
    for (int round = 0; round < all_.rounds; ++round) one(round);
    return *std::max_element(now_.begin(), now_.end());
  }

private:
  /// A message on its way: when its last byte has left, and how long it keeps the receiver's port.
  struct flight {
    int from, to;
    double arrival, port;
    bool taken;
  };

  constexpr void one(int round) {
    flights_.clear();
    std::vector<double> free = now_; // outgoing ports
    for (int r = 0; r < all_.size; ++r)
      for (const transfer& t : all_.ranks[std::size_t(r)])
        if (t.round == round && is_outgoing(t.act)) send(r, t, free[std::size_t(r)]);
    std::vector<double> next = free;
    for (int r = 0; r < all_.size; ++r) {
      double port = now_[std::size_t(r)], folding = 0;
      for (const transfer& t : all_.ranks[std::size_t(r)])
        if (t.round == round && !is_outgoing(t.act)) {
          const double bytes = bytes_of(t);
          if (bytes == 0) continue;
          const flight* f = meet(t.peer, r);
          if (f == nullptr) continue; // not a schedule: the proof says so
          port = (std::max)(port + f->port, f->arrival);
          if (t.act == action::combine) folding += bytes * costs_.per_folded_byte;
        }
      next[std::size_t(r)] = (std::max)(next[std::size_t(r)], port) + folding;
    }
    now_ = next;
  }
  constexpr void send(int rank, const transfer& t, double& free) {
    const double bytes = bytes_of(t);
    if (bytes == 0) return;
    const link_cost& link = link_between(rank, t.peer);
    free += link.overhead + bytes * link.per_byte;
    flights_.push_back({rank, t.peer, free + link.latency, bytes * link.per_byte, false});
  }
  constexpr const flight* meet(int from, int to) {
    for (flight& f : flights_)
      if (f.from == from && f.to == to && !f.taken) {
        f.taken = true;
        return &f;
      }
    return nullptr;
  }
  constexpr double bytes_of(const transfer& t) const {
    return double(cut_.length(t.chunks) * element_bytes_);
  }
  constexpr const link_cost& link_between(int a, int b) const {
    const bool same = group_of_.empty() || group_of_[std::size_t(a)] == group_of_[std::size_t(b)];
    return same ? costs_.within : costs_.between;
  }

  const whole_schedule& all_;
  partition cut_;
  std::size_t element_bytes_;
  const machine_cost& costs_;
  std::span<const int> group_of_;
  std::vector<double> now_;
  std::vector<flight> flights_;
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

} // namespace tutti
