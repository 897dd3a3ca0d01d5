// direct: everyone talks to everyone; reduce_scatter in one round, all_gather in another ("two-shot").
#pragma once

#include <tutti/topologies/schedule.hpp>

namespace tutti {

/// Rank r receives every contribution to chunk r and folds them in one go: one rounding order for all,
/// so gathering reducers run on it. Cost: 1 round, p-1 messages and n (p-1)/p elements sent by each
/// rank, for reduce_scatter as for all_gather. Best within a machine and for few ranks.
struct direct {
  using part = topology_part;
  static constexpr bool gathers = true;

  static constexpr bool gives(collective what) noexcept {
    return what == collective::reduce_scatter || what == collective::all_gather;
  }
  constexpr int chunks(int size) const noexcept { return size; }
  constexpr int rounds(collective, int size) const noexcept { return size > 1 ? 1 : 0; }

  template <class Emit>
  constexpr void schedule(collective what, int /*root*/, const layout& where, Emit&& emit) const {
    const bool reducing = what == collective::reduce_scatter;
    for (int k = 1; k < where.size; ++k) {
      const int to = (where.rank + k) % where.size;
      const int from = (where.rank + where.size - k) % where.size;
      if (reducing) {
        emit(transfer{0, to, {to}, action::send});
        emit(transfer{0, from, {where.rank}, action::combine});
      } else {
        emit(transfer{0, to, {where.rank}, action::publish});
        emit(transfer{0, from, {from}, action::store});
      }
    }
  }

  constexpr tutti::traffic traffic(collective what, int /*root*/, const layout& where,
                                   std::size_t n) const {
    const auto p = std::size_t(where.size), r = std::size_t(where.rank);
    const std::size_t own = n / p + (r < n % p ? 1 : 0);
    if (what == collective::reduce_scatter) return {(n < p ? n : p) - (own > 0 ? 1 : 0), n - own};
    return {own > 0 ? p - 1 : 0, own * (p - 1)};
  }
};

} // namespace tutti
