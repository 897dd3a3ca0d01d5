// one_shot: everyone sends everything to everyone, who folds it all; all_reduce in a single round.
#pragma once

#include <tutti/topologies/schedule.hpp>

namespace tutti {

/// Every rank receives every contribution and folds them in one go, in rank order, so all ranks
/// compute the same expression and gathering reducers run on it. Cost: 1 round; each rank sends p-1
/// messages and n (p-1) elements, and folds n p. Scratch: n (p-1) elements of received
/// contributions. For small n, where a second round costs more than the elements; `direct` is the
/// two-shot form.
struct one_shot {
  using part = topology_part;
  static constexpr bool gathers = true;

  static constexpr bool gives(collective what) noexcept { return what == collective::all_reduce; }
  constexpr int chunks(int) const noexcept { return 1; }
  constexpr int rounds(collective, int size) const noexcept { return size > 1 ? 1 : 0; }

  template <class Emit>
  constexpr void schedule(collective, int /*root*/, const layout& where, Emit&& emit) const {
    for (int k = 1; k < where.size; ++k) {
      emit(transfer{0, (where.rank + k) % where.size, {0}, action::send});
      emit(transfer{0, (where.rank + where.size - k) % where.size, {0}, action::combine});
    }
  }

  constexpr tutti::traffic traffic(collective, int /*root*/, const layout& where,
                                   std::size_t n) const {
    const auto others = std::size_t(where.size - 1);
    return n > 0 ? tutti::traffic{others, n * others} : tutti::traffic{};
  }
};

} // namespace tutti
