// ring: every rank talks to its two neighbours only; the chunks travel round.
#pragma once

#include <tutti/topologies/schedule.hpp>

namespace tutti {

/// Chunk c starts at rank c+1 and collects one contribution at every hop until rank c completes it;
/// all_gather sends it round once more. Cost, for reduce_scatter as for all_gather: p-1 rounds, p-1
/// messages and n (p-1)/p elements sent by each rank. No schedule moves less; for large n.
/// (Patarasuk and Yuan, Bandwidth optimal all-reduce algorithms, 2009.)
struct ring {
  using part = topology_part;
  static constexpr bool gathers = false;

  static constexpr bool gives(collective what) noexcept {
    return what == collective::reduce_scatter || what == collective::all_gather;
  }
  constexpr int chunks(int size) const noexcept { return size; }
  constexpr int rounds(collective, int size) const noexcept { return size - 1; }

  template <class Emit>
  constexpr void schedule(collective what, int /*root*/, const layout& where, Emit&& emit) const {
    const bool reducing = what == collective::reduce_scatter;
    const int p = where.size;
    const int next = (where.rank + 1) % p, previous = (where.rank + p - 1) % p;
    const int start = reducing ? previous : where.rank; // the chunk sent in round 0
    for (int round = 0; round < p - 1; ++round) {
      const int out = (start + p - round) % p, in = (out + p - 1) % p;
      emit(transfer{round, next, {out}, reducing ? action::send : action::publish});
      emit(transfer{round, previous, {in}, reducing ? action::combine : action::store});
    }
  }

  constexpr tutti::traffic traffic(collective what, int /*root*/, const layout& where,
                                   std::size_t n) const {
    const int p = where.size;
    const int kept = what == collective::reduce_scatter ? where.rank : (where.rank + 1) % p;
    const std::size_t unsent = partition{n, p, p}.length(kept); // every other chunk is sent once
    const std::size_t filled = n < std::size_t(p) ? n : std::size_t(p);
    return {filled - (unsent > 0 ? 1 : 0), n - unsent};
  }
};

} // namespace tutti
