// The proof of a schedule: it is executed once with symbols instead of numbers.
//
// prove(topology, what, root, size) collects the transfers of all ranks and runs them by the rules
// of topologies/schedule.hpp. Shown are
//   * structure: every outgoing transfer meets an incoming one of the same round, ends, chunks and
//     kind; nothing is out of range; a chunk is stored at most once a round, and never combined too;
//   * contributions: every result that is due holds every rank's contribution exactly once, and so
//     does everything that is published in a reduction; in all_gather and broadcast, no chunk is
//     read before it has arrived;
//   * bits: all ranks that end with a result end with the same expression tree, up to the order of
//     the two operands of a single combination. That is required with every message rounded, the
//     sender keeping the rounded value, and every result rounded once at the end; equal trees with
//     the roundings are equal trees without.
// and derived: whether the topology gathers, and whether it may be run by pulling from peers'
// memory.
//
// Messages meet only where their chunks are equal, so values of different chunks never mix, and one
// leaf per rank stands for that rank's contribution to any chunk.
//
// It is constexpr; by static_assert sizes to 8 or so are affordable, larger ones belong into a
// program built with optimisation (all sizes to 256: seconds). No other public header includes it.
#pragma once

#include <tutti/topologies/expressions.hpp>
#include <tutti/topologies/verdict.hpp>
#include <tutti/topologies/whole_schedule.hpp>

#include <algorithm>
#include <cstddef>
#include <numeric>
#include <span>
#include <vector>

namespace tutti {

/// The place of a contribution in the fold at rank `self`: ascending. This is tutti's rule; a model
/// of an executor with another rule is proven, or refuted, by passing that instead.
struct rank_order {
  static constexpr int place(int /*self*/, int contributor, int /*size*/) noexcept {
    return contributor;
  }
};

namespace detail {

/// One symbolic execution.
template <class Order>
class prover {
public:
  constexpr prover(const whole_schedule& all, bool rounding)
      : all_{all}, rounding_{rounding}, trees_{all.size} {}

  constexpr verdict run() {
    if (!well_formed()) return found_;
    sort_by_round();
    begin();
    for (int round = 0; round < all_.rounds; ++round)
      if (!post(round) || !receive(round)) return found_;
    finish();
    return found_;
  }

private:
  static constexpr int absent = -1;

  /// A chunk of one rank in the making, within one round.
  struct fold {
    int value = absent;
    int operands = 0; ///< received ones
    int last_peer = absent;
    bool stored = false;
    bool own_added = false;
    bool inputs_only = true;
  };
  struct change {
    int rank, chunk, value;
  };
  struct posted {
    const transfer* what;
    int next; ///< in the queue of the same two ranks
  };
  struct queue {
    int head = absent, tail = absent;
  };
  struct arrival {
    int place;
    int index; ///< keeps equal places in order
    const transfer* what;
  };

  constexpr bool fail(flaw code, int rank = -1, int round = -1, int chunk = -1) {
    found_ = {code, rank, round, chunk, false, false};
    return false;
  }

  constexpr bool copies() const {
    return all_.what == collective::all_gather || all_.what == collective::broadcast;
  }
  constexpr bool is_owned() const {
    return all_.what == collective::all_gather || all_.what == collective::reduce_scatter;
  }
  constexpr int owner(int chunk) const { return chunk / (all_.chunks / all_.size); }
  constexpr bool starts_with(int rank, int chunk) const {
    return all_.what == collective::all_gather ? owner(chunk) == rank : rank == all_.root;
  }
  constexpr bool must_end_with(int rank, int chunk) const {
    if (all_.what == collective::reduce_scatter) return owner(chunk) == rank;
    return all_.what != collective::reduce || rank == all_.root;
  }
  constexpr std::size_t cell(int rank, int chunk) const {
    return std::size_t(rank) * std::size_t(all_.chunks) + std::size_t(chunk);
  }
  constexpr int round_off(int value) { return rounding_ ? trees_.rounded(value) : value; }

  // --- structure ----------------------------------------------------------------------------

  constexpr bool well_formed() {
    if (is_owned() && all_.chunks % all_.size != 0) return fail(flaw::chunks_without_owner);
    for (int rank = 0; rank < all_.size; ++rank)
      for (const transfer& t : all_.ranks[std::size_t(rank)])
        if (!well_formed(rank, t)) return false;
    return true;
  }

  constexpr bool well_formed(int rank, const transfer& t) {
    const chunk_range& c = t.chunks;
    if (t.round < 0 || t.round >= all_.rounds)
      return fail(flaw::round_out_of_range, rank, t.round, c.first);
    if (t.peer < 0 || t.peer >= all_.size)
      return fail(flaw::peer_out_of_range, rank, t.round, c.first);
    if (t.peer == rank) return fail(flaw::message_to_self, rank, t.round, c.first);
    if (c.first < 0 || c.count < 1 || c.count > all_.chunks || c.stride < 0)
      return fail(flaw::chunks_out_of_range, rank, t.round, c.first);
    if (c.count > 1 && c.count > all_.chunks / std::gcd(c.stride, all_.chunks))
      return fail(flaw::chunk_repeated, rank, t.round, c.first);
    if (copies() && (t.act == action::send || t.act == action::combine))
      return fail(flaw::reduced_in_a_copy, rank, t.round, c.first);
    return true;
  }

  /// Per rank, the transfers of round k follow those of round k-1 and keep their order.
  constexpr void sort_by_round() {
    const auto rounds = std::size_t(all_.rounds);
    for (const auto& transfers : all_.ranks) {
      auto next = filled(rounds + 1, 0u);
      for (const transfer& t : transfers) ++next[std::size_t(t.round) + 1];
      next[0] = unsigned(sorted_.size());
      for (std::size_t k = 0; k < rounds; ++k) {
        starts_.push_back(next[k]);
        next[k + 1] += next[k];
      }
      for (std::size_t k = 0; k < transfers.size(); ++k) sorted_.push_back(nullptr);
      for (const transfer& t : transfers) sorted_[next[std::size_t(t.round)]++] = &t;
    }
    starts_.push_back(unsigned(sorted_.size()));
  }

  constexpr std::span<const transfer* const> transfers_of(int rank, int round) const {
    const auto k = std::size_t(rank) * std::size_t(all_.rounds) + std::size_t(round);
    return {sorted_.data() + starts_[k], sorted_.data() + starts_[k + 1]};
  }

  constexpr queue& queue_of(int from, int to) {
    return queues_[std::size_t(from) * std::size_t(all_.size) + std::size_t(to)];
  }

  constexpr void enqueue(int from, const transfer& t) {
    queue& q = queue_of(from, t.peer);
    const int at = int(posted_.size());
    posted_.push_back({&t, absent});
    if (q.head == absent) q.head = at;
    else posted_[std::size_t(q.tail)].next = at;
    q.tail = at;
  }

  /// Takes the message that the receive `t` of `rank` meets out of its queue.
  constexpr bool meet(int rank, const transfer& t) {
    queue& q = queue_of(t.peer, rank);
    const chunk_range& in = t.chunks;
    if (q.head == absent) return fail(flaw::unmatched_receive, rank, t.round, in.first);
    const transfer& sent = *posted_[std::size_t(q.head)].what;
    q.head = posted_[std::size_t(q.head)].next;
    ++met_;
    const chunk_range& out = sent.chunks;
    if ((sent.act == action::send) != (t.act == action::combine))
      return fail(flaw::actions_differ, rank, t.round, in.first);
    const auto wrapped = [this](int k) { return k % all_.chunks; };
    const bool same =
        in == out || (in.count == out.count && wrapped(in.first) == wrapped(out.first) &&
                      (in.count == 1 || wrapped(in.stride) == wrapped(out.stride)));
    return same || fail(flaw::chunks_differ, rank, t.round, in.first);
  }

  constexpr bool all_met(int round) {
    if (met_ == posted_.size()) return true;
    for (int from = 0; from < all_.size; ++from)
      for (int to = 0; to < all_.size; ++to)
        if (const int at = queue_of(from, to).head; at != absent)
          return fail(flaw::unmatched_send, from, round,
                      posted_[std::size_t(at)].what->chunks.first);
    return true;
  }

  // --- execution ----------------------------------------------------------------------------

  /// Values are expressions; in a copy, whether the data has arrived.
  constexpr void begin() {
    const std::size_t cells = std::size_t(all_.size) * std::size_t(all_.chunks);
    queues_ = filled(std::size_t(all_.size) * std::size_t(all_.size), queue{});
    folds_ = filled(std::size_t(all_.chunks), fold{});
    sent_in_ = filled(cells, absent);
    values_.reserve(cells);
    for (int rank = 0; rank < all_.size; ++rank)
      for (int c = 0; c < all_.chunks; ++c)
        values_.push_back(!copies() ? rank : starts_with(rank, c) ? 0 : absent);
  }

  /// Everyone posts; what is sent is rounded, and the sender keeps the rounded value.
  constexpr bool post(int round) {
    posted_.clear();
    met_ = 0;
    for (int rank = 0; rank < all_.size; ++rank)
      for (const transfer* t : transfers_of(rank, round))
        if (is_outgoing(t->act) && !post(rank, *t)) return false;
    return true;
  }

  constexpr bool post(int rank, const transfer& t) {
    enqueue(rank, t);
    return every_chunk(t.chunks, all_.chunks, [&](int c) {
      int& value = values_[cell(rank, c)];
      sent_in_[cell(rank, c)] = t.round;
      if (copies()) return value != absent || fail(flaw::read_before_arrival, rank, t.round, c);
      if (t.act == action::publish && !trees_.is_complete(value))
        return fail(trees_.repeats(value) ? flaw::contribution_repeated
                                          : flaw::published_incomplete,
                    rank, t.round, c);
      value = round_off(value);
      return true;
    });
  }

  constexpr bool receive(int round) {
    changes_.clear();
    for (int rank = 0; rank < all_.size; ++rank) {
      arrivals_.clear();
      for (const transfer* t : transfers_of(rank, round)) {
        if (is_outgoing(t->act)) continue;
        if (!meet(rank, *t)) return false;
        arrivals_.push_back({Order::place(rank, t->peer, all_.size), int(arrivals_.size()), t});
      }
      if (arrivals_.size() > 1)
        std::sort(arrivals_.begin(), arrivals_.end(), [](const arrival& a, const arrival& b) {
          return a.place != b.place ? a.place < b.place : a.index < b.index;
        });
      if (!absorb(rank)) return false;
    }
    if (!all_met(round)) return false;
    for (const change& c : changes_) values_[cell(c.rank, c.chunk)] = c.value;
    return true;
  }

  /// Combines and stores what arrived at one rank; the new values stand after the round.
  constexpr bool absorb(int rank) {
    const std::size_t first = changes_.size();
    for (const arrival& a : arrivals_) {
      const bool fine = every_chunk(a.what->chunks, all_.chunks, [&](int c) {
        fold& f = folds_[std::size_t(c)];
        if (f.value == absent) changes_.push_back({rank, c, absent});
        return a.what->act == action::store ? store(f, rank, *a.what, c) : combine(f, rank, a, c);
      });
      if (!fine) return false;
    }
    for (std::size_t k = first; k < changes_.size(); ++k) {
      change& changed = changes_[k];
      fold& f = folds_[std::size_t(changed.chunk)];
      if (!f.stored && !f.own_added) add_own(f, rank, changed.chunk);
      if (!f.stored && (f.operands != all_.size - 1 || !f.inputs_only)) found_.gathers = false;
      if (sent_in_[cell(rank, changed.chunk)] == arrivals_.front().what->round)
        found_.pull_safe = false;
      changed.value = f.value;
      f = {};
    }
    return true;
  }

  constexpr bool store(fold& f, int rank, const transfer& t, int c) {
    if (f.stored) return fail(flaw::stored_twice, rank, t.round, c);
    if (f.value != absent) return fail(flaw::combined_and_stored, rank, t.round, c);
    f.stored = true;
    f.value = values_[cell(t.peer, c)];
    return true;
  }

  constexpr bool combine(fold& f, int rank, const arrival& a, int c) {
    const transfer& t = *a.what;
    if (f.stored) return fail(flaw::combined_and_stored, rank, t.round, c);
    if (f.last_peer == t.peer) return fail(flaw::chunk_repeated, rank, t.round, c);
    if (!f.own_added && Order::place(rank, rank, all_.size) < a.place) add_own(f, rank, c);
    add(f, values_[cell(t.peer, c)]);
    f.last_peer = t.peer;
    ++f.operands;
    return true;
  }
  constexpr void add_own(fold& f, int rank, int c) {
    f.own_added = true;
    add(f, values_[cell(rank, c)]);
  }
  constexpr void add(fold& f, int value) {
    f.inputs_only = f.inputs_only && trees_.is_input(value);
    f.value = f.value == absent ? value : trees_.combine(f.value, value);
  }

  constexpr void finish() {
    auto agreed = filled(std::size_t(all_.chunks), absent);
    for (int rank = 0; rank < all_.size; ++rank)
      for (int c = 0; c < all_.chunks; ++c)
        if (must_end_with(rank, c) && !check_result(rank, c, agreed[std::size_t(c)])) return;
  }

  constexpr bool check_result(int rank, int c, int& agreed) {
    const int value = values_[cell(rank, c)];
    if (copies()) return value != absent || fail(flaw::result_missing, rank, -1, c);
    if (!trees_.is_complete(value))
      return fail(trees_.repeats(value) ? flaw::contribution_repeated : flaw::contribution_missing,
                  rank, -1, c);
    const int result = round_off(value);
    if (agreed == absent) agreed = result;
    return agreed == result || fail(flaw::results_differ, rank, -1, c);
  }

  const whole_schedule& all_;
  bool rounding_;
  verdict found_;
  expressions trees_;
  std::vector<const transfer*> sorted_; ///< by rank, then by round
  std::vector<unsigned> starts_;        ///< of the transfers of (rank, round) in sorted_
  std::vector<int> values_, sent_in_;   ///< per rank and chunk
  std::vector<queue> queues_;           ///< per pair of ranks, empty between rounds
  std::vector<posted> posted_;
  std::size_t met_ = 0;
  std::vector<arrival> arrivals_;
  std::vector<fold> folds_; ///< per chunk
  std::vector<change> changes_;
};

} // namespace detail

/// Proves a schedule that was collected, or made up.
template <class Order = rank_order>
constexpr verdict prove(const whole_schedule& all) {
  verdict found = detail::prover<Order>{all, true}.run();
  if (found.code == flaw::results_differ && detail::prover<Order>{all, false}.run().holds())
    found.code = flaw::rounded_results_differ;
  return found;
}

/// Proves what a topology yields for one collective. Precondition: carries<T>(what).
template <schedule_topology T>
constexpr verdict prove(const T& topology, collective what, int root, int size,
                        std::span<const int> group_of = {}) {
  return tutti::prove(tutti::collect(topology, what, root, size, group_of));
}

} // namespace tutti
