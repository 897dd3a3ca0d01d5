// The order of events in a simulated run, and the rank whose turn it is.
//
// Ranks are threads of which one runs at a time. A rank runs in no time until it computes or waits; then whatever is
// due next happens, in the order of (time, rank that it comes from, how-manieth of that rank), and the rank that it
// wakes runs. So nothing depends on the machine that simulates.
#pragma once

#include <tutti/communicators/simulated_machine.hpp>
#include <tutti/core/hash.hpp>

#include <semaphore.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <queue>
#include <set>
#include <string>
#include <utility>
#include <vector>

namespace tutti::simulated::detail {

/// What is on its way from one rank to another, in numbers of the whole run.
struct flight {
  int source = 0;
  int destination = 0;
  std::size_t bytes = 0;
  ticks takes = 0; ///< of a port

  virtual ~flight() = default;
  virtual void has_left() = 0;
  virtual void has_arrived(const std::shared_ptr<flight>& this_one) = 0;
};

/// A turn that one thread gives and another waits for. POSIX's semaphore, as that is one call of the system on each
/// side: a condition variable wakes who then waits for its mutex, and std::binary_semaphore spins before it sleeps.
class baton {
public:
  baton() noexcept { ::sem_init(&given_, 0, 0); }
  ~baton() { ::sem_destroy(&given_); }
  baton(const baton&) = delete;
  baton& operator=(const baton&) = delete;

  void give() noexcept { ::sem_post(&given_); }
  void take() noexcept {
    while (::sem_wait(&given_) != 0) { // a signal came
    }
  }

private:
  ::sem_t given_;
};

class timeline {
public:
  timeline(int ranks, machine on) : on_{std::move(on)}, ranks_(std::size_t(ranks)), ports_(2 * std::size_t(ranks)) {
    for (int r = 0; r < ranks; ++r) set_alarm(r, 0);
  }

  ticks now() const noexcept { return now_; }
  const machine& runs_on() const noexcept { return on_; }
  int ranks() const noexcept { return int(ranks_.size()); }

  // --- by the run ---------------------------------------------------------------------------

  /// A rank's thread begins: waits for its turn.
  void begin(int rank) { take_turn(rank); }
  /// The first turn of all.
  void start() {
    if (alive_ > 0) give_turn(next_rank());
  }
  /// A rank does nothing more. Who waits for it looks again.
  void end(int rank) {
    state& mine = of(rank);
    mine.ended = true;
    mine.ended_at = now_;
    mine.wakes_at = never;
    --alive_;
    if (mine.under_way == 0) wake_all();
  }
  void pass_on() {
    if (alive_ > 0) give_turn(next_rank());
  }
  /// When all have ended.
  report result() {
    events_ = {};
    report all;
    for (const state& s : ranks_) {
      all.ranks.push_back({seconds_of(s.ended_at), seconds_of(s.computed), seconds_of(s.waited), s.messages, s.bytes});
      all.seconds = (std::max)(all.seconds, all.ranks.back().seconds);
      all.messages += s.messages;
      all.bytes += s.bytes;
    }
    all.trace_hash = hash_;
    return all;
  }

  // --- by the rank whose turn it is ---------------------------------------------------------

  /// How much has happened for this rank so far.
  std::uint64_t events(int rank) const noexcept { return of(rank).events; }

  void compute(int rank, double seconds) {
    state& mine = of(rank);
    const double speed = on_.speed ? on_.speed(rank, seconds_of(now_)) : 1;
    const double takes = seconds / speed;
    if (!(seconds >= 0 && speed > 0 && takes < seconds_of(last_tick)))
      throw error{{.code = error_code::invalid_argument,
                   .call = "compute",
                   .rank = rank,
                   .detail = "it would compute for " + std::to_string(seconds) + " s at speed " +
                             std::to_string(speed) + " - give 0 or more seconds, and a speed above 0"}};
    const ticks length = ticks_of(takes);
    mine.looks = 0;
    if (length == 0) return;
    mine.computed += length;
    note(rank, 1, std::uint64_t(length));
    set_alarm(rank, later(length));
    let_others_run(rank);
  }

  /// Until more than `seen` events have happened, or until that time.
  void wait(int rank, std::uint64_t seen, ticks until) {
    if (dead_) throw error{why_dead(rank)};
    state& mine = of(rank);
    if (mine.events > seen) return;
    if (until <= now_) return look(rank, 64);
    mine.looks = 0;
    mine.patience = first_patience;
    sleep(rank, until);
  }

  /// A rank looks for what has happened, in vain. One that looks again and again without waiting would do so for ever
  /// in no time: after some thousand looks it sleeps until the next event, whoever's that is, or for a microsecond,
  /// and longer from one time to the next.
  void look(int rank, int weight) {
    state& mine = of(rank);
    if ((mine.looks += weight) < most_looks) return;
    mine.looks = 0;
    const ticks soon = later(mine.patience);
    if (mine.patience < longest_patience) mine.patience *= 2;
    sleep(rank, (std::max)(soon, next_due()));
  }
  /// Whom it waits for as far as it knows; -1 for nobody.
  void waits_for(int rank, int peer) noexcept { of(rank).waits_for = peer; }

  void post(std::shared_ptr<flight> f) {
    const bool moves = f->source != f->destination;
    const link l = moves ? link_between(f->source, f->destination) : link{};
    state& from = of(f->source);
    ++from.messages;
    ++from.under_way;
    from.bytes += f->bytes;
    if (!moves) {
      schedule(now_, f, stage::leaves);
      return schedule(now_, std::move(f), stage::arrives);
    }
    f->takes = ticks_for(f->bytes, l);
    ticks& free = port(f->source, f->destination).sends_at;
    const ticks wait = (std::max)(free - now_, ticks{0});
    const ticks first_byte = later(wait + ticks_of(l.latency));
    free = later(wait + f->takes);
    schedule(free, f, stage::leaves);
    schedule(first_byte, std::move(f), stage::reaches);
  }

  /// Something that this rank may wait for.
  void happened(int rank) {
    state& its = of(rank);
    ++its.events;
    its.looks = 0;
    its.patience = first_patience;
    if (its.waiting) set_alarm(rank, now_);
  }
  /// It has returned, and all that it sent has arrived.
  bool has_left(int rank) const noexcept { return of(rank).ended && of(rank).under_way == 0; }

  /// Nobody could move, and nothing was due.
  bool dead() const noexcept { return dead_.has_value(); }
  failure why_dead(int rank) const {
    failure why = *dead_;
    why.rank = rank;
    why.peer = of(rank).waits_for;
    return why;
  }

private:
  static constexpr ticks first_patience = 1'000'000, longest_patience = 1'000'000'000'000;
  static constexpr int most_looks = 1 << 16;

  struct state {
    std::uint64_t events = 0;
    std::uint64_t sequence = 0; ///< of what comes from it
    std::uint64_t messages = 0, bytes = 0;
    std::uint64_t under_way = 0; ///< of its messages
    ticks wakes_at = never;
    ticks computed = 0, waited = 0, ended_at = 0;
    ticks patience = first_patience;
    int looks = 0;
    int waits_for = -1;
    bool waiting = false;
    bool ended = false;
    baton turn;
  };
  /// When it is free.
  struct two_way_port {
    ticks sends_at = 0, receives_at = 0;
  };
  enum class stage : std::uint8_t { leaves, reaches, arrives };
  struct event {
    ticks at;
    int rank;
    stage what;
    std::uint64_t sequence;
    std::shared_ptr<flight> of;

    friend bool operator<(const event& a, const event& b) noexcept { // the first is the greatest
      if (a.at != b.at) return a.at > b.at;
      return a.rank != b.rank ? a.rank > b.rank : a.sequence > b.sequence;
    }
  };

  state& of(int rank) noexcept { return ranks_[std::size_t(rank)]; }
  const state& of(int rank) const noexcept { return ranks_[std::size_t(rank)]; }
  ticks later(ticks by) const {
    if (by > last_tick - now_)
      throw error{{.code = error_code::invalid_argument,
                   .detail = "virtual time ends 53 days after the run began - compute less, or on faster links"}};
    return now_ + by;
  }

  int node_of(int rank) const noexcept { return on_.nodes.empty() ? rank : on_.nodes[std::size_t(rank)]; }
  link link_between(int from, int to) const {
    if (!on_.link_of) return node_of(from) == node_of(to) ? on_.within : on_.between;
    const link l = on_.link_of(from, to);
    require_link(l, "exchange");
    return l;
  }
  two_way_port& port(int here, int there) noexcept {
    const bool own = node_of(here) == node_of(there);
    return ports_[own ? std::size_t(here) : ranks_.size() + std::size_t(node_of(here))];
  }

  void schedule(ticks at, std::shared_ptr<flight> f, stage what) {
    const int rank = f->source;
    events_.push({at, rank, what, of(rank).sequence++, std::move(f)});
  }
  void set_alarm(int rank, ticks at) {
    ticks& alarm = of(rank).wakes_at;
    if (alarm == at) return;
    if (alarm != never) asleep_.erase({alarm, rank});
    if (at != never) asleep_.insert({at, rank});
    alarm = at;
  }
  void wake_all() {
    for (int r = 0; r < ranks(); ++r)
      if (!of(r).ended) happened(r);
  }
  ticks next_due() const noexcept {
    if (events_.empty()) return asleep_.empty() ? now_ : asleep_.begin()->first;
    return asleep_.empty() ? events_.top().at : (std::min)(events_.top().at, asleep_.begin()->first);
  }

  void sleep(int rank, ticks until) {
    state& mine = of(rank);
    const ticks begin = now_;
    mine.waiting = true;
    set_alarm(rank, until);
    let_others_run(rank);
    mine.waiting = false;
    mine.waited += now_ - begin;
  }

  // --- turns --------------------------------------------------------------------------------

  void let_others_run(int rank) {
    const int next = next_rank();
    if (next == rank) return;
    give_turn(next);
    take_turn(rank);
  }
  void give_turn(int rank) { of(rank).turn.give(); }
  void take_turn(int rank) { of(rank).turn.take(); }

  /// Lets happen what is due before the next rank wakes; that rank.
  int next_rank() {
    for (;;) {
      if (asleep_.empty() && events_.empty()) die();
      const bool flies = !events_.empty() && (asleep_.empty() || std::pair{events_.top().at, events_.top().rank} <=
                                                                     *asleep_.begin());
      if (!flies) {
        const auto [at, rank] = *asleep_.begin();
        asleep_.erase(asleep_.begin());
        of(rank).wakes_at = never;
        now_ = at;
        note(rank, 0, 0);
        return rank;
      }
      const event next = events_.top();
      events_.pop();
      now_ = next.at;
      happen(next);
    }
  }
  void happen(const event& e) {
    note(e.rank, 2 + std::uint64_t(e.what), (std::uint64_t(e.of->destination) << 40) ^ e.of->bytes);
    switch (e.what) {
    case stage::leaves: return e.of->has_left();
    case stage::reaches: {
      ticks& free = port(e.of->destination, e.of->source).receives_at;
      free = later((std::max)(free - now_, ticks{0}) + e.of->takes);
      return schedule(free, e.of, stage::arrives); // behind what came before it at the same time
    }
    case stage::arrives: return arrive(e.of);
    }
  }
  void arrive(const std::shared_ptr<flight>& f) {
    f->has_arrived(f);
    if (--of(f->source).under_way == 0 && of(f->source).ended) wake_all();
  }
  void note(int rank, std::uint64_t what, std::uint64_t value) noexcept {
    for (const std::uint64_t number : {std::uint64_t(now_), std::uint64_t(rank) << 8 | what, value})
      hash_ = tutti::detail::hashed(hash_, number);
  }

  /// All that are left wait, without a deadline, for what will not come.
  void die() {
    constexpr int most_named = 16;
    std::string who;
    int named = 0;
    for (int r = 0; r < ranks(); ++r) {
      if (of(r).ended || ++named > most_named) continue;
      const int peer = of(r).waits_for;
      who += (who.empty() ? "rank " : ", rank ") + std::to_string(r) + " waits for " +
             (peer < 0 ? "any message" : "rank " + std::to_string(peer)) +
             (peer >= 0 && of(peer).ended ? ", which has returned" : "");
    }
    if (named > most_named) who += ", and " + std::to_string(named - most_named) + " more wait";
    dead_ = {.code = error_code::timeout, .detail = "nobody can move, and no deadline is due: " + who};
    wake_all();
  }

  const machine on_;
  ticks now_ = 0;
  std::vector<state> ranks_;
  std::vector<two_way_port> ports_; ///< of each rank within its node, and of each node
  std::priority_queue<event> events_;
  std::set<std::pair<ticks, int>> asleep_; ///< who computes, or waits until a time
  int alive_ = ranks();
  std::optional<failure> dead_;
  std::uint64_t hash_ = tutti::detail::hash_of_nothing;
};

} // namespace tutti::simulated::detail
