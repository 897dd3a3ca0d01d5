// halving_doubling: reduce_scatter by recursive halving, all_gather by recursive doubling.
#pragma once

#include <tutti/topologies/schedule.hpp>

#include <bit>

namespace tutti {

/// In each round of reduce_scatter a rank gives half of the chunks it still holds to a partner
/// p'/2, p'/4, ..., 1 away and folds in the other half; all_gather is its mirror image. When p is
/// no power of two, p' is the one below and rem = p-p': the even one of ranks 2v and 2v+1, v < rem,
/// first gives what it has to the odd one, which acts for both and hands the result back at the
/// end. all_reduce is both, without the handing back and forth in the middle. Cost of
/// reduce_scatter as of all_gather: log2 p' rounds (two more when rem > 0; so too all_reduce) of
/// one message, n (p-1)/p elements sent by each rank when p is a power of two, at most 2n
/// otherwise. For middling n and more ranks than a ring likes. (Rabenseifner, Optimization of
/// collective reduction operations, 2004.)
struct halving_doubling {
  using part = topology_part;
  static constexpr bool gathers = false;

  static constexpr bool gives(collective what) noexcept {
    return what == collective::all_reduce || what == collective::reduce_scatter ||
           what == collective::all_gather;
  }
  constexpr int chunks(int size) const noexcept { return size; }
  constexpr int rounds(collective what, int size) const noexcept {
    const core_ranks core{size};
    return core.steps() * (what == collective::all_reduce ? 2 : 1) + (core.surplus > 0 ? 2 : 0);
  }

  template <class Emit>
  constexpr void schedule(collective what, int /*root*/, const layout& where, Emit&& emit) const {
    const core_ranks core{where.size};
    const int self = where.rank, even = self & ~1;
    if (core.paired(self)) { // the first and the last round
      const bool gives = self == even, reducing = what != collective::all_gather;
      const chunk_range given = reducing ? chunk_range{0, where.size} : chunk_range{even};
      const int last = rounds(what, where.size) - 1;
      if (reducing) emit(transfer{0, self ^ 1, given, gives ? action::send : action::combine});
      else emit(transfer{0, self ^ 1, given, gives ? action::publish : action::store});
      emit(transfer{last, self ^ 1, handed_back(what, even, where.size),
                    gives ? action::store : action::publish});
      if (gives) return;
    }
    const int v = core.index(self);
    int round = core.surplus > 0 ? 1 : 0;
    if (what != collective::all_gather)
      for (int distance = core.count / 2; distance > 0; distance /= 2, ++round) {
        const int peer = core.rank(v ^ distance);
        emit(transfer{round, peer, core.block(v ^ distance, distance), action::send});
        emit(transfer{round, peer, core.block(v, distance), action::combine});
      }
    if (what != collective::reduce_scatter)
      for (int distance = 1; distance < core.count; distance *= 2, ++round) {
        const int peer = core.rank(v ^ distance);
        emit(transfer{round, peer, core.block(v, distance), action::publish});
        emit(transfer{round, peer, core.block(v ^ distance, distance), action::store});
      }
  }

  constexpr tutti::traffic traffic(collective what, int /*root*/, const layout& where,
                                   std::size_t n) const {
    const core_ranks core{where.size};
    const partition cut{n, where.size, where.size};
    const int self = where.rank, even = self & ~1;
    tutti::traffic sum;
    const auto count = [&sum](std::size_t elements) {
      if (elements > 0) sum = sum + tutti::traffic{1, elements};
    };
    if (core.paired(self)) {
      const std::size_t own = cut.length(even);
      if (self == even) {
        count(what == collective::all_gather ? own : n);
        return sum;
      }
      count(what == collective::reduce_scatter ? own
            : what == collective::all_gather   ? n - own
                                               : n);
    }
    const int v = core.index(self);
    for (int distance = 1; distance < core.count; distance *= 2) {
      const chunk_range mine = core.block(v, distance), theirs = core.block(v ^ distance, distance);
      if (what != collective::all_gather)
        count(cut.offset(theirs.first + theirs.count) - cut.offset(theirs.first));
      if (what != collective::reduce_scatter)
        count(cut.offset(mine.first + mine.count) - cut.offset(mine.first));
    }
    return sum;
  }

private:
  /// What the odd rank of a pair gives the even one at the end.
  static constexpr chunk_range handed_back(collective what, int even, int size) {
    if (what == collective::all_reduce) return {0, size};
    if (what == collective::reduce_scatter) return {even};
    return {even + 1, size - 1}; // all but its own
  }

  /// The p' ranks that halve and double; each stands for the one or two chunks of its rank or pair.
  struct core_ranks {
    int count;   ///< p'
    int surplus; ///< rem

    explicit constexpr core_ranks(int size)
        : count{int(std::bit_floor(unsigned(size)))}, surplus{size - count} {}

    constexpr int steps() const { return int(std::bit_width(unsigned(count))) - 1; }
    constexpr bool paired(int rank) const { return rank < 2 * surplus; }
    constexpr int index(int rank) const { return paired(rank) ? rank / 2 : rank - surplus; }
    constexpr int rank(int v) const { return v < surplus ? 2 * v + 1 : v + surplus; }
    constexpr int first_chunk(int v) const { return v + (v < surplus ? v : surplus); }
    /// The chunks of the aligned block of `width` core ranks that v is in.
    constexpr chunk_range block(int v, int width) const {
      const int begin = v & ~(width - 1);
      return {first_chunk(begin), first_chunk(begin + width) - first_chunk(begin)};
    }
  };
};

} // namespace tutti
