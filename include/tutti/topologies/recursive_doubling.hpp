// recursive_doubling: all_reduce by exchanging everything with partners 1, 2, 4, ... away.
#pragma once

#include <tutti/topologies/schedule.hpp>

#include <bit>

namespace tutti {

/// After k rounds a rank holds the sum over the 2^k ranks around it. When p is no power of two, p'
/// is the one below, and the rem = p-p' surplus ranks 0, 2, ..., 2 rem - 2 first give their values
/// to their right neighbours, and get the result from them at the end. Cost: log2 p' rounds (two
/// more when rem > 0), each sending all n elements once. For small n, where latency counts and
/// volume does not. (Thakur, Rabenseifner and Gropp, Optimization of collective communication
/// operations in MPICH, 2005, section 4.)
struct recursive_doubling {
  using part = topology_part;
  static constexpr bool gathers = false;

  static constexpr bool gives(collective what) noexcept { return what == collective::all_reduce; }
  constexpr int chunks(int) const noexcept { return 1; }
  constexpr int rounds(collective, int size) const noexcept {
    const auto p = unsigned(size);
    return int(std::bit_width(p)) - 1 + (std::has_single_bit(p) ? 0 : 2);
  }

  template <class Emit>
  constexpr void schedule(collective, int /*root*/, const layout& where, Emit&& emit) const {
    const int core_size = int(std::bit_floor(unsigned(where.size)));
    const int surplus = where.size - core_size;
    const int last = rounds(collective::all_reduce, where.size) - 1;
    const int self = where.rank;
    const bool paired = self < 2 * surplus;
    if (paired && self % 2 == 0) {
      emit(transfer{0, self + 1, {0}, action::send});
      emit(transfer{last, self + 1, {0}, action::store});
      return;
    }
    const int core = paired ? self / 2 : self - surplus;
    int round = 0;
    if (paired) emit(transfer{0, self - 1, {0}, action::combine});
    if (surplus > 0) ++round;
    for (int distance = 1; distance < core_size; distance *= 2, ++round) {
      const int other = core ^ distance;
      const int peer = other < surplus ? 2 * other + 1 : other + surplus;
      emit(transfer{round, peer, {0}, action::send});
      emit(transfer{round, peer, {0}, action::combine});
    }
    if (paired) emit(transfer{last, self - 1, {0}, action::publish});
  }

  constexpr tutti::traffic traffic(collective, int /*root*/, const layout& where,
                                   std::size_t n) const {
    if (n == 0) return {};
    const auto p = unsigned(where.size), self = unsigned(where.rank);
    const auto exchanges = std::size_t(std::bit_width(p) - 1);
    if (self >= 2 * (p - std::bit_floor(p))) return {exchanges, exchanges * n};
    if (self % 2 == 0) return {1, n};
    return {exchanges + 1, (exchanges + 1) * n};
  }
};

} // namespace tutti
