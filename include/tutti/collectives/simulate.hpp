// simulate: how long a schedule takes on a machine, for rank counts that no one has.
//
// The walk is that of simulated::run, without its ranks: the same ports, the same links, the same order of events, but
// no data, no threads, and a fraction of a microsecond a transfer.
#pragma once

#include <tutti/communicators/simulated_machine.hpp>
#include <tutti/core/hash.hpp>
#include <tutti/topologies/whole_schedule.hpp>

#include <algorithm>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <queue>
#include <string>
#include <utility>
#include <vector>

namespace tutti {

namespace detail {

using simulated::detail::ticks;

/// What is due at a time: a rank begins its next step, or its message `which` begins to arrive.
struct due_event {
  static constexpr int begins = INT32_MAX;
  ticks at;
  int rank;
  int which;
};

/// Events by (time, rank, message, beginnings last). None is put in before the one that was taken last: a radix heap
/// (Ahuja, Mehlhorn, Orlin, Tarjan 1990), of which each event changes its bucket a few times.
class due_events {
public:
  void put(const due_event& e) {
    ++count_;
    if (e.at != now_)
      buckets_[bucket_of(e.at)].push_back(e);
    else if (present_.empty() || comes_first{}(present_.back(), e))
      present_.push_back(e);
    else
      late_.push(e);
  }
  bool empty() const noexcept { return count_ == 0; }
  due_event take() {
    --count_;
    if (next_ == present_.size() && late_.empty()) come_to_the_next();
    if (next_ < present_.size() && (late_.empty() || !comes_first{}(late_.top(), present_[next_])))
      return present_[next_++];
    const due_event e = late_.top();
    late_.pop();
    return e;
  }

private:
  struct comes_first {
    bool operator()(const due_event& a, const due_event& b) const noexcept {
      return a.rank != b.rank ? a.rank < b.rank : a.which < b.which;
    }
  };
  struct comes_later {
    bool operator()(const due_event& a, const due_event& b) const noexcept { return comes_first{}(b, a); }
  };
  /// By the highest bit in which its time differs from the present.
  std::size_t bucket_of(ticks at) const noexcept { return std::size_t(std::bit_width(std::uint64_t(at ^ now_))); }

  void come_to_the_next() {
    present_.clear();
    next_ = 0;
    std::size_t first = 1;
    while (buckets_[first].empty()) ++first;
    std::vector<due_event> all;
    all.swap(buckets_[first]);
    now_ = std::min_element(all.begin(), all.end(), [](const auto& a, const auto& b) { return a.at < b.at; })->at;
    for (const due_event& e : all)
      if (e.at == now_)
        present_.push_back(e);
      else
        buckets_[bucket_of(e.at)].push_back(e);
    all.clear();
    if (buckets_[first].capacity() == 0) buckets_[first].swap(all); // its memory, to be used again
    if (!std::is_sorted(present_.begin(), present_.end(), comes_first{}))
      std::sort(present_.begin(), present_.end(), comes_first{});
  }

  ticks now_ = 0;
  std::size_t count_ = 0, next_ = 0;
  std::vector<due_event> present_; ///< of this time, in their order, from next_ on
  std::priority_queue<due_event, std::vector<due_event>, comes_later> late_; ///< of this time, in front of its end
  std::vector<due_event> buckets_[64];
};

class simulated_walk {
public:
  simulated_walk(const whole_schedule& all, std::size_t n, std::size_t element_bytes, const simulated::machine& on)
      : on_{on}, size_{all.size}, states_(std::size_t(all.size)), ports_(2 * std::size_t(all.size)) {
    simulated::detail::require_machine(on, all.size, "simulate");
    latencies_[0] = simulated::detail::ticks_of(on.between.latency);
    latencies_[1] = simulated::detail::ticks_of(on.within.latency);
    const partition cut{n, all.size, all.chunks};
    std::size_t most = 0;
    for (const auto& given : all.ranks) most += given.size();
    legs_.reserve(most / 2);
    for (int r = 0; r < size_; ++r) add(r, all, cut, element_bytes);
    states_.back().end = steps_.size();
    for (int r = 0; r + 1 < size_; ++r) states_[std::size_t(r)].end = states_[std::size_t(r) + 1].at;
  }

  simulated::report run() {
    for (int r = 0; r < size_; ++r) events_.put({0, r, due_event::begins});
    while (!events_.empty()) {
      const due_event e = events_.take();
      if (e.which == due_event::begins)
        begin(e.rank, e.at);
      else
        reach(e.rank, legs_[std::size_t(e.which)], e.at);
    }
    return result();
  }

private:
  /// One message, at its sender.
  struct leg {
    int peer;
    int round;
    ticks takes;
    ticks latency;
  };
  /// One rank in one round.
  struct step {
    int round;
    int awaited = 0;
    std::size_t first_leg, end_leg;
    ticks ready = 0; ///< what has come and gone so far
    std::size_t folded = 0;
  };
  struct state {
    std::size_t at = 0, end = 0; ///< of steps
    bool begun = false;          ///< the step that it is at
    ticks finished = 0, folding = 0;
    std::uint64_t messages = 0, bytes = 0;
  };
  struct two_way_port {
    ticks sends_at = 0, receives_at = 0;
  };

  void add(int rank, const whole_schedule& all, const partition& cut, std::size_t element_bytes) {
    const auto& given = all.ranks[std::size_t(rank)];
    const auto by_round = [](const transfer& a, const transfer& b) { return a.round < b.round; };
    const std::vector<transfer>* sorted = &given;
    if (!std::is_sorted(given.begin(), given.end(), by_round)) {
      sorted_ = given;
      std::stable_sort(sorted_.begin(), sorted_.end(), by_round);
      sorted = &sorted_;
    }
    state& its = states_[std::size_t(rank)];
    its.at = steps_.size();
    for (const transfer& t : *sorted) {
      const std::size_t bytes = cut.length(t.chunks) * element_bytes;
      if (bytes == 0) continue;
      if (its.at == steps_.size() || steps_.back().round != t.round)
        steps_.push_back({.round = t.round, .first_leg = legs_.size(), .end_leg = legs_.size()});
      step& s = steps_.back();
      if (is_outgoing(t.act)) {
        legs_.push_back(leg_of(rank, t, bytes));
        s.end_leg = legs_.size();
        ++its.messages;
        its.bytes += bytes;
      } else {
        ++s.awaited;
        if (t.act == action::combine) s.folded += bytes;
      }
    }
  }
  leg leg_of(int from, const transfer& t, std::size_t bytes) const {
    using simulated::detail::ticks_for;
    if (!on_.link_of) {
      const bool own = node_of(from) == node_of(t.peer);
      return {t.peer, t.round, ticks_for(bytes, own ? on_.within : on_.between), latencies_[own]};
    }
    const simulated::link l = on_.link_of(from, t.peer);
    simulated::detail::require_link(l, "simulate");
    return {t.peer, t.round, ticks_for(bytes, l), simulated::detail::ticks_of(l.latency)};
  }

  int node_of(int rank) const noexcept { return on_.nodes.empty() ? rank : on_.nodes[std::size_t(rank)]; }
  two_way_port& port(int here, int there) noexcept {
    const bool own = node_of(here) == node_of(there);
    return ports_[std::size_t(own ? here : size_ + node_of(here))];
  }

  /// The step that a rank is at, now.
  void begin(int rank, ticks now) {
    state& its = states_[std::size_t(rank)];
    for (; its.at < its.end; ++its.at) {
      step& s = steps_[its.at];
      for (std::size_t k = s.first_leg; k < s.end_leg; ++k) {
        const leg& l = legs_[k];
        ticks& free = port(rank, l.peer).sends_at;
        const ticks starts = (std::max)(now, free);
        put(starts + l.latency, rank, int(k));
        free = starts + l.takes;
        s.ready = (std::max)(s.ready, free);
      }
      its.begun = true;
      if (s.awaited > 0) return;
      if (end(rank, s, now) > now) return;
    }
  }
  /// All that it awaits in this step is known; the time at which the next one begins.
  ticks end(int rank, const step& s, ticks now) {
    state& its = states_[std::size_t(rank)];
    const ticks begins = (std::max)(now, s.ready), folding = folding_of(rank, s, begins), next = begins + folding;
    its.folding += folding;
    its.begun = false;
    its.finished = next;
    if (next > now) {
      ++its.at;
      if (its.at < its.end) put(next, rank, due_event::begins);
    }
    return next;
  }
  ticks folding_of(int rank, const step& s, ticks at) const {
    if (on_.per_folded_byte == 0 || s.folded == 0) return 0;
    const double speed = on_.speed ? on_.speed(rank, simulated::detail::seconds_of(at)) : 1;
    if (!(speed > 0))
      refuse("rank " + std::to_string(rank) + " has a speed of " + std::to_string(speed) + " - give more than 0");
    return simulated::detail::ticks_of(double(s.folded) * on_.per_folded_byte / speed);
  }
  void reach(int from, const leg& l, ticks now) {
    ticks& free = port(l.peer, from).receives_at;
    free = (std::max)(now, free) + l.takes;
    state& its = states_[std::size_t(l.peer)];
    std::size_t k = its.at;
    while (k < its.end && steps_[k].round != l.round) ++k;
    if (k == its.end || steps_[k].awaited == 0) stranded(l.peer, l.round, from, "is sent what it does not expect by");
    step& s = steps_[k];
    s.ready = (std::max)(s.ready, free);
    if (--s.awaited > 0 || k != its.at || !its.begun) return;
    if (end(l.peer, s, now) == now) {
      ++its.at;
      begin(l.peer, now);
    }
  }

  void put(ticks at, int rank, int which) {
    if (at > simulated::detail::last_tick) refuse("it takes longer than the 53 days of virtual time - simulate less");
    events_.put({at, rank, which});
  }

  /// Of those that wait for ever, the first one waits for nobody who does.
  void require_end() const {
    int first = -1;
    const auto round_of = [&](int r) { return steps_[states_[std::size_t(r)].at].round; };
    for (int r = 0; r < size_; ++r)
      if (states_[std::size_t(r)].at < states_[std::size_t(r)].end && (first < 0 || round_of(r) < round_of(first)))
        first = r;
    if (first >= 0) stranded(first, round_of(first), -1, "waits for what nobody sends");
  }
  simulated::report result() const {
    require_end();
    simulated::report all{.trace_hash = hash_of_nothing};
    all.ranks.reserve(states_.size());
    for (int r = 0; r < size_; ++r) {
      const state& s = states_[std::size_t(r)];
      const double finish = simulated::detail::seconds_of(s.finished);
      all.ranks.push_back({.seconds = finish,
                           .compute = simulated::detail::seconds_of(s.folding),
                           .wait = simulated::detail::seconds_of(s.finished - s.folding),
                           .messages = s.messages,
                           .bytes = s.bytes});
      all.seconds = (std::max)(all.seconds, finish);
      all.messages += s.messages;
      all.bytes += s.bytes;
      all.trace_hash = detail::hashed(all.trace_hash, std::uint64_t(s.finished));
    }
    return all;
  }
  [[noreturn]] static void refuse(std::string why) { simulated::detail::refuse(std::move(why), "simulate"); }
  [[noreturn]] static void stranded(int rank, int round, int peer, const char* how) {
    refuse("it is no schedule: in round " + std::to_string(round) + " rank " + std::to_string(rank) + " " + how +
           (peer < 0 ? "" : " rank " + std::to_string(peer)) + " - prove it first");
  }

  const simulated::machine& on_;
  const int size_;
  ticks latencies_[2] = {}; ///< between nodes, within one
  std::vector<leg> legs_;
  std::vector<step> steps_;
  std::vector<state> states_;
  std::vector<two_way_port> ports_; ///< of each rank within its node, and of each node
  std::vector<transfer> sorted_;
  due_events events_;
};

} // namespace detail

/// What n elements on a schedule take in virtual time, when all ranks begin at once: for each rank when it has all that
/// is its due, how long it has combined, and what it has sent. As simulated::run would say of the collective, but for
/// the hash, which is one of these times. 10^5 ranks and a million transfers take a fraction of a second.
/// Throws invalid_argument for machines that cannot be, and for what is no schedule.
inline simulated::report simulate(const whole_schedule& all, std::size_t n, std::size_t element_bytes,
                                  const simulated::machine& on = {}) {
  return detail::simulated_walk{all, n, element_bytes, on}.run();
}

/// The same for one collective of a topology. Precondition: carries<T>(what).
template <schedule_topology T>
simulated::report simulate(const T& topology, collective what, int root, int size, std::size_t n,
                           std::size_t element_bytes, const simulated::machine& on = {}) {
  std::vector<int> nodes = on.nodes;
  for (int r = 0; on.nodes.empty() && r < size; ++r) nodes.push_back(r);
  return tutti::simulate(tutti::collect(topology, what, root, size, nodes), n, element_bytes, on);
}

} // namespace tutti
