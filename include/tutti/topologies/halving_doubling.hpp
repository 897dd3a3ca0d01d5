// halving_doubling: reduce_scatter by recursive halving, all_gather by recursive doubling.
#pragma once

#include <tutti/topologies/schedule.hpp>

#include <bit>

namespace tutti {

/// In each round of reduce_scatter a rank gives half of the chunks it still holds to a partner p'/2,
/// p'/4, ..., 1 away and folds in the other half; all_gather is its mirror image. When p is no power
/// of two, p' is the one below and rem = p-p': the even one of ranks 2v and 2v+1, v < rem, first gives
/// all it has to the odd one, which acts for both and hands chunk 2v back at the end.
/// Cost, for each of the two: log2 p' rounds (two more when rem > 0) of one message, n (p-1)/p
/// elements sent by each rank when p is a power of two, and up to 2n by an even one otherwise. For
/// middling n and more ranks than a ring likes. (Rabenseifner, Optimization of collective reduction
/// operations, 2004.)
struct halving_doubling {
  using part = topology_part;
  static constexpr bool gathers = false;

  static constexpr bool gives(collective what) noexcept {
    return what == collective::reduce_scatter || what == collective::all_gather;
  }
  constexpr int chunks(int size) const noexcept { return size; }
  constexpr int rounds(collective, int size) const noexcept {
    const auto p = unsigned(size);
    return int(std::bit_width(p)) - 1 + (std::has_single_bit(p) ? 0 : 2);
  }

  template <class Emit>
  constexpr void schedule(collective what, int /*root*/, const layout& where, Emit&& emit) const {
    const core_ranks core{where.size};
    const bool reducing = what == collective::reduce_scatter;
    const auto out = reducing ? action::send : action::publish;
    const auto in = reducing ? action::combine : action::store;
    const int last = rounds(what, where.size) - 1;
    const int self = where.rank, even = self & ~1;
    const chunk_range all{0, where.size}, others{(even + 1) % where.size, where.size - 1};
    if (core.paired(self)) { // the first and the last round
      const chunk_range first_chunks = reducing ? all : chunk_range{even};
      const chunk_range last_chunks = reducing ? chunk_range{even} : others;
      emit(transfer{0, self ^ 1, first_chunks, self == even ? out : in});
      emit(transfer{last, self ^ 1, last_chunks, self == even ? action::store : action::publish});
      if (self == even) return;
    }
    const int v = core.index(self);
    const int steps = int(std::bit_width(unsigned(core.count))) - 1;
    for (int step = 0; step < steps; ++step) {
      const int distance = 1 << (reducing ? steps - 1 - step : step);
      const int round = step + (core.surplus > 0 ? 1 : 0), peer = core.rank(v ^ distance);
      const chunk_range mine = core.block(v, distance), theirs = core.block(v ^ distance, distance);
      emit(transfer{round, peer, reducing ? theirs : mine, out});
      emit(transfer{round, peer, reducing ? mine : theirs, in});
    }
  }

  constexpr tutti::traffic traffic(collective what, int /*root*/, const layout& where,
                                   std::size_t n) const {
    const core_ranks core{where.size};
    const partition cut{n, where.size, where.size};
    const bool reducing = what == collective::reduce_scatter;
    const int self = where.rank, even = self & ~1;
    tutti::traffic sum;
    const auto count = [&sum](std::size_t elements) {
      if (elements > 0) sum = sum + tutti::traffic{1, elements};
    };
    if (core.paired(self)) {
      if (self == even) count(reducing ? n : cut.length(even));
      else count(reducing ? cut.length(even) : n - cut.length(even));
      if (self == even) return sum;
    }
    const int v = core.index(self);
    for (int distance = 1; distance < core.count; distance *= 2) {
      const chunk_range sent = core.block(reducing ? v ^ distance : v, distance);
      count(cut.offset(sent.first + sent.count) - cut.offset(sent.first));
    }
    return sum;
  }

private:
  /// The p' ranks that halve and double; each stands for the one or two chunks of its rank or pair.
  struct core_ranks {
    int count;   ///< p'
    int surplus; ///< rem

    explicit constexpr core_ranks(int size)
        : count{int(std::bit_floor(unsigned(size)))}, surplus{size - count} {}

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
