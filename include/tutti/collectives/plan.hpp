// A plan: one rank's schedule, resolved into byte ranges, ready to be run any number of times.
#pragma once

#include <tutti/collectives/arithmetic.hpp>
#include <tutti/communicators/communicator.hpp>
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

/// Its bytes stand together: in the data (or the accumulators, when it carries partial results), or in
/// staging, where it is put together or taken apart.
struct message {
  int peer;
  action act;
  bool partial; ///< carries accumulators
  bool staged;
  std::size_t at; ///< in bytes, from the beginning of wherever it stands
  std::size_t bytes;
  std::uint32_t first_piece;
  std::uint32_t pieces;
  bool repeats = false; ///< stands where another one of its round has put the same
};

/// Finished values travel by the results' coder, contributions by theirs.
inline const coder& coder_of(const arithmetic& math, action act) {
  return act == action::publish || act == action::store ? math.results : math.contributions;
}

/// Where one operand of a fold stands: in a received message, or in this rank's own data.
struct operand {
  int rank;
  std::uint32_t receive; ///< index among the plan's receives; own_value for this rank's own
  std::size_t offset;    ///< in elements, within the message; of own values see planner::sent_too
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
  std::uint32_t first_send, last_send;
  std::uint32_t first_receive, last_receive;
  std::uint32_t first_lower, last_lower; ///< pieces to finish before the round begins
  std::uint32_t first_fold, last_fold;
  std::uint64_t number = 1; ///< the same on all ranks, and odd: makes of what a call says what a round says
};

struct plan {
  int rank = 0;
  int size = 1;
  int root = 0;
  bool gathers = false; ///< combines carry encoded contributions, not accumulators
  std::size_t elements = 0;
  std::size_t staging_bytes = 0; ///< of the round that needs most
  std::vector<plan_round> rounds;
  std::vector<message> sends, receives;
  std::vector<piece> pieces;
  std::vector<fold_step> folds;
  std::vector<operand> operands;
  std::size_t most_operands = 1; ///< of one fold
  std::vector<piece> lowers; ///< those from last_lowers on are finished after the last round
  std::uint32_t last_lowers = 0;

  /// Where the arrays of an execution stand in its memory, in bytes: what it sends is at the beginning, and
  /// at the end, behind what is staged, whatever else it needs.
  struct places {
    std::size_t receives = 0, operands = 0, staging = 0, end = 0;
  } at = {};

  /// When everything else is known.
  void lay_out() {
    at.receives = sends.size() * sizeof(outgoing);
    at.operands = at.receives + receives.size() * sizeof(incoming);
    at.staging = padded(at.operands + most_operands * sizeof(const std::byte*));
    at.end = at.staging + staging_bytes;
  }

  /// How much memory it takes.
  std::size_t bytes() const noexcept {
    const auto of = [](const auto& v) { return v.capacity() * sizeof(v[0]); };
    return of(rounds) + of(sends) + of(receives) + of(pieces) + of(folds) + of(operands) + of(lowers);
  }
};

/// Turns transfers, in any order of rounds, into a plan. (A template so that it costs a compiler
/// nothing where no plan is made.)
template <class Chunk = piece>
class planner {
public:
  planner(const layout& where, partition cut, bool reduces, bool gathers, const arithmetic& math)
      : reduces_{reduces}, math_{math} {
    plan_.rank = where.rank;
    plan_.size = where.size;
    plan_.gathers = gathers;
    plan_.elements = cut.n;
    chunks_.reserve(std::size_t(cut.chunks));
    for (int c = 0; c < cut.chunks; ++c) chunks_.push_back({{cut.offset(c), cut.length(c)}, false});
  }

  void expect(std::size_t transfers) { transfers_.reserve(transfers); }

  void operator()(const transfer& t) {
    bool filled = false;
    each_chunk(t.chunks, [&](const chunk& c) { filled = filled || c.where.count > 0; });
    if (!filled) return; // both ends know: nothing is sent
    sorted_ = sorted_ && (transfers_.empty() || transfers_.back().round <= t.round);
    transfers_.push_back(t);
  }

  /// `wanted` are the chunks whose finished values this rank must end with.
  plan finish(chunk_range wanted) {
    if (!sorted_) sort_by_round();
    plan_.sends.reserve(transfers_.size());
    plan_.receives.reserve(transfers_.size());
    plan_.pieces.reserve(transfers_.size());
    for (std::size_t first = 0, last = 0; first < transfers_.size(); first = last) {
      while (last < transfers_.size() && transfers_[last].round == transfers_[first].round) ++last;
      add_round({transfers_.data() + first, last - first});
    }
    plan_.last_lowers = std::uint32_t(plan_.lowers.size());
    lower(wanted);
    plan_.lay_out();
    return std::move(plan_);
  }

private:
  struct chunk {
    Chunk where;
    bool finished; ///< holds a result, not a contribution or a partial result
  };

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

  template <class Visit>
  void each_chunk(chunk_range range, Visit&& visit) {
    const int all = int(chunks_.size());
    for (int k = 0, c = range.first; k < range.count; ++k, c += range.stride) {
      while (c >= all) c -= all;
      visit(chunks_[std::size_t(c)]);
    }
  }

  /// Appends the piece that a chunk is, or lengthens the last one of those from `first` on.
  static void add_piece(std::vector<piece>& out, std::size_t first, const piece& next) {
    if (next.count == 0) return;
    if (out.size() > first && out.back().offset + out.back().count == next.offset)
      out.back().count += next.count;
    else
      out.push_back(next);
  }

  message message_of(const transfer& t) {
    message m{t.peer, t.act, false, false, 0, 0, std::uint32_t(plan_.pieces.size()), 0, false};
    m.partial = !plan_.gathers && (t.act == action::send || t.act == action::combine);
    each_chunk(t.chunks, [&](const chunk& c) { add_piece(plan_.pieces, m.first_piece, c.where); });
    m.pieces = std::uint32_t(plan_.pieces.size()) - m.first_piece;
    for (std::uint32_t k = 0; k < m.pieces; ++k)
      m.bytes += bytes_of(m, plan_.pieces[m.first_piece + k].count);
    m.staged = t.act == action::combine || m.pieces != 1 || (!math_.exact && !m.partial);
    if (!math_.exact && !m.partial && is_outgoing(t.act))
      if (const message* same = same_before(m)) {
        m.at = same->at;
        m.repeats = true;
        return m;
      }
    m.at = m.staged ? std::exchange(staged_, staged_ + padded(m.bytes))
                    : bytes_of(m, plan_.pieces[m.first_piece].offset);
    return m;
  }
  /// A message of this round with the same encoded values: they are encoded once, whoever they go to.
  const message* same_before(const message& m) const {
    for (std::size_t k = sends_before_; k < plan_.sends.size(); ++k) {
      const message& one = plan_.sends[k];
      bool same = one.act == m.act && one.pieces == m.pieces;
      for (std::uint32_t p = 0; same && p < m.pieces; ++p) {
        const piece &a = plan_.pieces[one.first_piece + p], &b = plan_.pieces[m.first_piece + p];
        same = a.offset == b.offset && a.count == b.count;
      }
      if (same) return &one;
    }
    return nullptr;
  }
  std::size_t bytes_of(const message& m, std::size_t elements) const {
    return m.partial ? elements * math_.accumulator_bytes : math_.bytes_of(coder_of(math_, m.act), elements);
  }

  /// How many there are of everything: where a round begins, or ends.
  struct extent {
    explicit extent(const plan& p)
        : sends(std::uint32_t(p.sends.size())), receives(std::uint32_t(p.receives.size())),
          lowers(std::uint32_t(p.lowers.size())), folds(std::uint32_t(p.folds.size())) {}
    std::uint32_t sends, receives, lowers, folds;
  };

  void add_round(std::span<const transfer> transfers) {
    const extent first{plan_};
    staged_ = 0;
    sends_before_ = plan_.sends.size();
    combines_.clear();
    for (const transfer& t : transfers) {
      if (t.act == action::publish) lower(t.chunks);
      if (is_outgoing(t.act)) {
        plan_.sends.push_back(message_of(t));
      } else {
        if (t.act == action::combine)
          combines_.push_back({t.peer, t.chunks, std::uint32_t(plan_.receives.size())});
        plan_.receives.push_back(message_of(t));
      }
    }
    if (!combines_.empty()) add_folds();
    for (const transfer& t : transfers)
      if (t.act == action::store) each_chunk(t.chunks, [](chunk& c) { c.finished = true; });
    if (staged_ > plan_.staging_bytes) plan_.staging_bytes = staged_;
    const extent last{plan_};
    plan_.rounds.push_back({first.sends, last.sends, first.receives, last.receives, first.lowers,
                            last.lowers, first.folds, last.folds, 2 * std::uint64_t(transfers[0].round) + 1});
  }

  /// Marks chunks as finished, and notes what must be lowered for it.
  void lower(chunk_range range) {
    if (!reduces_) return;
    each_chunk(range, [&](chunk& c) {
      if (!c.finished) add_piece(plan_.lowers, plan_.lowers.size(), c.where);
      c.finished = true;
    });
  }

  /// Folds of one round: one for each distinct range, or for each chunk where ranges overlap.
  void add_folds() {
    bool alike = true;
    for (const combine_of& c : combines_) alike = alike && c.chunks == combines_.front().chunks;
    if (alike)
      fold_range();
    else
      fold_chunks();
  }

  void fold_range() {
    const message m = plan_.receives[combines_.front().receive];
    std::size_t within = 0;
    for (std::uint32_t k = 0; k < m.pieces; ++k) {
      const piece where = plan_.pieces[m.first_piece + k];
      begin_fold(where);
      for (const combine_of& c : combines_) add_operand({c.peer, c.receive, within});
      end_fold();
      within += where.count;
    }
    finish_gathered(combines_.front().chunks);
  }

  void fold_chunks() {
    std::vector<unsigned char> done(chunks_.size());
    for (const combine_of& outer : combines_)
      each_chunk(outer.chunks, [&](const chunk& one) {
        unsigned char& seen = done[std::size_t(&one - chunks_.data())];
        if (one.where.count == 0 || seen) return;
        seen = 1;
        begin_fold(one.where);
        for (const combine_of& c : combines_) {
          std::size_t within = 0;
          each_chunk(c.chunks, [&](const chunk& other) {
            if (&other == &one) add_operand({c.peer, c.receive, within});
            within += other.where.count;
          });
        }
        end_fold();
      });
    for (const combine_of& c : combines_) finish_gathered(c.chunks);
  }

  void begin_fold(piece where) {
    plan_.folds.push_back({where, std::uint32_t(plan_.operands.size()), 0});
    plan_.operands.push_back({plan_.rank, own_value, sent_too(where)});
  }
  /// Behind which of the sends of this round, plus one, the same values stand; 0 when behind none.
  std::size_t sent_too(piece where) const {
    if (math_.exact || !plan_.gathers) return 0;
    for (std::size_t k = sends_before_; k < plan_.sends.size(); ++k) {
      const message& m = plan_.sends[k];
      const piece& sent = plan_.pieces[m.first_piece];
      if (m.act == action::send && m.pieces == 1 && sent.offset == where.offset && sent.count == where.count)
        return k + 1;
    }
    return 0;
  }
  /// Operands of a fold stand in rank order.
  void add_operand(operand o) {
    auto& all = plan_.operands;
    all.push_back(o);
    const std::size_t first = plan_.folds.back().first_operand;
    for (std::size_t k = all.size() - 1; k > first && all[k - 1].rank > o.rank; --k)
      std::swap(all[k - 1], all[k]);
  }
  void end_fold() {
    fold_step& fold = plan_.folds.back();
    fold.operands = std::uint32_t(plan_.operands.size()) - fold.first_operand;
    if (fold.operands > plan_.most_operands) plan_.most_operands = fold.operands;
  }
  /// A gathered fold leaves finished values.
  void finish_gathered(chunk_range range) {
    if (plan_.gathers) each_chunk(range, [](chunk& c) { c.finished = true; });
  }

  struct combine_of {
    int peer;
    chunk_range chunks;
    std::uint32_t receive;
  };

  bool reduces_;
  bool sorted_ = true;
  const arithmetic& math_;
  plan plan_;
  std::size_t staged_ = 0; ///< bytes of this round
  std::size_t sends_before_ = 0;
  std::vector<chunk> chunks_;
  std::vector<transfer> transfers_;
  std::vector<combine_of> combines_;
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
               bool gathers, const arithmetic& math) {
  const partition cut{n, where.size, tutti::chunks_of(topology, where)};
  const bool reduces = what != collective::all_gather && what != collective::broadcast;
  planner<> build{where, cut, reduces, gathers, math};
  if (where.size > 1) {
    build.expect(2 * std::size_t(tutti::rounds_of(topology, what, where)));
    tutti::visit(topology, what, root, where, [&](const transfer& t) { build(t); });
  }
  plan made = build.finish(wanted_chunks(what, root, where.rank, where.size, cut.chunks));
  made.root = root;
  return made;
}

} // namespace tutti::detail
