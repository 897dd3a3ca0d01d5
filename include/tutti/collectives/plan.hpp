// A plan: one rank's schedule, resolved into byte ranges, ready to be run any number of times.
#pragma once

#include <tutti/topologies/schedule.hpp>

#include <cstddef>
#include <cstdint>
#include <span>
#include <utility>
#include <vector>

namespace tutti::detail {

struct piece { ///< elements [offset, offset + count) of the caller's data
  std::size_t offset;
  std::size_t count;
};

struct message {
  int peer;
  action act;
  std::size_t elements;
  std::uint32_t first_piece;
  std::uint32_t pieces;
};

/// Where one operand of a fold stands: in a received message, or in this rank's own data.
struct operand {
  int rank;
  std::uint32_t message; ///< index within the plan; own_value for this rank's own
  std::size_t offset;    ///< in elements, within the message
};
inline constexpr std::uint32_t own_value = ~std::uint32_t{0};

/// One K-way left fold in rank order.
struct fold_step {
  piece where;
  std::uint32_t first_operand;
  std::uint32_t operands;
};

/// Half-open ranges into the arrays of the plan.
struct plan_round {
  std::uint32_t first_message, last_message; ///< outgoing ones first
  std::uint32_t first_lower, last_lower;     ///< pieces to finish before the round begins
  std::uint32_t first_fold, last_fold;
};

struct plan {
  int rank = 0;
  int size = 1;
  bool gathers = false; ///< combines carry encoded contributions, not accumulators
  std::size_t elements = 0;
  std::vector<plan_round> rounds;
  std::vector<message> messages;
  std::vector<piece> pieces;
  std::vector<fold_step> folds;
  std::vector<operand> operands;
  std::vector<piece> lowers; ///< those from last_lowers on are finished after the last round
  std::uint32_t last_lowers = 0;
};

/// Turns transfers, in any order of rounds, into a plan. (A template so that it costs a compiler
/// nothing where no plan is made.)
template <class Count = std::size_t>
class planner {
public:
  planner(const layout& where, partition cut, bool reduces, bool gathers)
      : cut_{cut}, reduces_{reduces}, state_(std::size_t(cut.chunks), raw) {
    plan_.rank = where.rank;
    plan_.size = where.size;
    plan_.gathers = gathers;
    plan_.elements = cut.n;
  }

  void operator()(const transfer& t) {
    if (elements(t.chunks) == 0) return; // both ends know: nothing is sent
    sorted_ = sorted_ && (transfers_.empty() || transfers_.back().round <= t.round);
    transfers_.push_back(t);
  }

  /// `wanted` are the chunks whose finished values this rank must end with.
  plan finish(chunk_range wanted) {
    if (!sorted_) sort_by_round();
    for (std::size_t first = 0, last = 0; first < transfers_.size(); first = last) {
      while (last < transfers_.size() && transfers_[last].round == transfers_[first].round) ++last;
      add_round({transfers_.data() + first, last - first});
    }
    close(wanted);
    return std::move(plan_);
  }

private:
  /// Counts the transfers of each round, then puts each in its place; the order within a round stays.
  void sort_by_round() {
    std::vector<std::size_t> place(1);
    for (const transfer& t : transfers_) {
      if (std::size_t(t.round) + 2 > place.size()) place.resize(std::size_t(t.round) + 2);
      ++place[std::size_t(t.round) + 1];
    }
    for (std::size_t r = 1; r < place.size(); ++r) place[r] += place[r - 1];
    std::vector<transfer> sorted(transfers_.size());
    for (const transfer& t : transfers_) sorted[place[std::size_t(t.round)]++] = t;
    transfers_ = std::move(sorted);
  }

  enum chunk_state : unsigned char { raw, finished };

  template <class Visit>
  void each_chunk(chunk_range range, Visit&& visit) const {
    for (int k = 0, c = range.first % cut_.chunks; k < range.count; ++k) {
      visit(c);
      c += range.stride;
      while (c >= cut_.chunks) c -= cut_.chunks;
    }
  }
  Count elements(chunk_range range) const {
    Count total = 0;
    each_chunk(range, [&](int c) { total += cut_.length(c); });
    return total;
  }

  /// Appends the pieces of a range, joining neighbours.
  std::uint32_t add_pieces(chunk_range range, std::vector<piece>& out) const {
    const std::size_t before = out.size();
    each_chunk(range, [&](int c) {
      const piece next{cut_.offset(c), cut_.length(c)};
      if (next.count == 0) return;
      if (out.size() > before && out.back().offset + out.back().count == next.offset)
        out.back().count += next.count;
      else
        out.push_back(next);
    });
    return std::uint32_t(out.size() - before);
  }

  void add_message(const transfer& t) {
    const auto first = std::uint32_t(plan_.pieces.size());
    const std::uint32_t count = add_pieces(t.chunks, plan_.pieces);
    plan_.messages.push_back({t.peer, t.act, elements(t.chunks), first, count});
  }

  void add_round(std::span<const transfer> transfers) {
    plan_round round{};
    round.first_lower = std::uint32_t(plan_.lowers.size());
    round.first_message = std::uint32_t(plan_.messages.size());
    for (const transfer& t : transfers)
      if (is_outgoing(t.act)) {
        if (t.act == action::publish) lower(t.chunks);
        add_message(t);
      }
    const auto first_receive = std::uint32_t(plan_.messages.size());
    for (const transfer& t : transfers)
      if (!is_outgoing(t.act)) add_message(t);
    round.last_message = std::uint32_t(plan_.messages.size());
    round.last_lower = std::uint32_t(plan_.lowers.size());
    round.first_fold = std::uint32_t(plan_.folds.size());
    add_folds(transfers, first_receive);
    round.last_fold = std::uint32_t(plan_.folds.size());
    for (const transfer& t : transfers)
      if (t.act == action::store)
        each_chunk(t.chunks, [&](int c) { state_[std::size_t(c)] = finished; });
    plan_.rounds.push_back(round);
  }

  /// Marks chunks as finished, and notes what must be lowered for it.
  void lower(chunk_range range) {
    each_chunk(range, [&](int c) {
      if (!reduces_ || state_[std::size_t(c)] == finished) return;
      state_[std::size_t(c)] = finished;
      add_pieces({c}, plan_.lowers);
    });
  }

  /// Folds of one round: one for each distinct range, or for each chunk where ranges overlap.
  void add_folds(std::span<const transfer> transfers, std::uint32_t first_receive) {
    combines_.clear();
    std::uint32_t at = first_receive;
    for (const transfer& t : transfers) {
      if (is_outgoing(t.act)) continue;
      if (t.act == action::combine) combines_.push_back({t, at});
      ++at;
    }
    if (combines_.empty()) return;
    bool alike = true;
    for (const combine_of& c : combines_)
      alike = alike && c.what.chunks == combines_.front().what.chunks;
    if (alike)
      fold_range(combines_.front().what.chunks);
    else
      fold_chunks();
  }

  void fold_range(chunk_range range) {
    std::size_t within = 0;
    fold_pieces_.clear();
    add_pieces(range, fold_pieces_);
    for (const piece& where : fold_pieces_) {
      begin_fold(where);
      for (const combine_of& c : combines_) add_operand({c.what.peer, c.at, within});
      end_fold();
      within += where.count;
    }
    finish_gathered(range);
  }

  void fold_chunks() {
    std::vector<unsigned char> done(std::size_t(cut_.chunks));
    for (const combine_of& outer : combines_)
      each_chunk(outer.what.chunks, [&](int chunk) {
        if (cut_.length(chunk) == 0 || done[std::size_t(chunk)]) return;
        done[std::size_t(chunk)] = 1;
        begin_fold({cut_.offset(chunk), cut_.length(chunk)});
        for (const combine_of& c : combines_) {
          std::size_t within = 0;
          each_chunk(c.what.chunks, [&](int other) {
            if (other == chunk) add_operand({c.what.peer, c.at, within});
            within += cut_.length(other);
          });
        }
        end_fold();
        finish_gathered({chunk});
      });
  }

  void begin_fold(piece where) {
    plan_.folds.push_back({where, std::uint32_t(plan_.operands.size()), 0});
    plan_.operands.push_back({plan_.rank, own_value, 0});
  }
  /// Operands of a fold stand in rank order.
  void add_operand(operand o) {
    plan_.operands.push_back(o);
    auto& all = plan_.operands;
    for (std::size_t k = all.size() - 1;
         k > plan_.folds.back().first_operand && all[k - 1].rank > o.rank; --k)
      std::swap(all[k - 1], all[k]);
  }
  void end_fold() {
    fold_step& fold = plan_.folds.back();
    fold.operands = std::uint32_t(plan_.operands.size()) - fold.first_operand;
  }
  /// A gathered fold leaves finished values.
  void finish_gathered(chunk_range range) {
    if (plan_.gathers)
      each_chunk(range, [&](int c) { state_[std::size_t(c)] = finished; });
  }

  /// What is still unreduced at the end and wanted is finished; where no one else contributed, that is
  /// a fold of one.
  void close(chunk_range wanted) {
    plan_.last_lowers = std::uint32_t(plan_.lowers.size());
    lower(wanted);
  }

  struct combine_of {
    transfer what;
    std::uint32_t at;
  };

  partition cut_;
  bool reduces_;
  bool sorted_ = true;
  plan plan_;
  std::vector<unsigned char> state_;
  std::vector<transfer> transfers_;
  std::vector<combine_of> combines_;
  std::vector<piece> fold_pieces_;
};

/// The chunks whose result `rank` ends with.
constexpr chunk_range wanted_chunks(collective what, int root, int rank, int size, int chunks) {
  if (what == collective::reduce_scatter) {
    const int each = chunks / size;
    return {rank * each, each};
  }
  if (what == collective::reduce && rank != root) return {0, 0};
  return {0, chunks};
}

/// The plan of where.rank for n elements. `T` must carry `what`.
template <schedule_topology T>
plan make_plan(const T& topology, collective what, int root, const layout& where, std::size_t n,
               bool gathers) {
  const partition cut{n, where.size, tutti::chunks_of(topology, where)};
  const bool reduces = what != collective::all_gather && what != collective::broadcast;
  planner<> build{where, cut, reduces, gathers};
  if (where.size > 1)
    tutti::visit(topology, what, root, where, [&](const transfer& t) { build(t); });
  return build.finish(wanted_chunks(what, root, where.rank, where.size, cut.chunks));
}

} // namespace tutti::detail
