// bruck: all-gather and reduce-scatter in ceil(log2 p) rounds, for any rank count.
#pragma once

#include <tutti/topologies/schedule.hpp>

#include <bit>

namespace tutti {

/// all_gather: before round k rank r holds the chunks r, r+1, ... of 2^k ranks; it gives all of
/// them (in the last round as many as are still missing) to rank r - 2^k. reduce_scatter is the
/// same film backwards, with partial results. Cost, for each: ceil(log2 p) rounds and messages, n
/// (p-1)/p elements sent by each rank. Scratch: the chunks of one message, at most n/2 elements.
/// Near partners come first and the longest messages go farthest; `pat` is the opposite. For small
/// n and any p. (Bruck, Ho, Kipnis, Upfal, Weathersby, Efficient algorithms for all-to-all
/// communications in multiport message-passing systems, 1997.)
struct bruck {
  using part = topology_part;
  static constexpr bool gathers = false;

  static constexpr bool gives(collective what) noexcept {
    return what == collective::reduce_scatter || what == collective::all_gather;
  }
  constexpr int chunks(int size) const noexcept { return size; }
  constexpr int rounds(collective, int size) const noexcept {
    return int(std::bit_width(unsigned(size - 1)));
  }

  template <class Emit>
  constexpr void schedule(collective what, int /*root*/, const layout& where, Emit&& emit) const {
    const int p = where.size, last = rounds(what, p) - 1;
    for (int step = 0; step <= last; ++step) {
      const int distance = 1 << step, count = count_of(distance, p);
      const int above = (where.rank + distance) % p, below = (where.rank + p - distance) % p;
      if (what == collective::all_gather) {
        emit(transfer{step, below, {where.rank, count}, action::publish});
        emit(transfer{step, above, {above, count}, action::store});
      } else {
        emit(transfer{last - step, above, {above, count}, action::send});
        emit(transfer{last - step, below, {where.rank, count}, action::combine});
      }
    }
  }

  constexpr tutti::traffic traffic(collective what, int /*root*/, const layout& where,
                                   std::size_t n) const {
    const partition cut{n, where.size, where.size};
    tutti::traffic sum;
    for (int distance = 1; distance < where.size; distance *= 2) {
      const int first = what == collective::all_gather ? where.rank : where.rank + distance;
      sum = sum + tutti::traffic::message(
                      cut.length({first % where.size, count_of(distance, where.size)}));
    }
    return sum;
  }

private:
  static constexpr int count_of(int distance, int size) noexcept {
    return distance < size - distance ? distance : size - distance;
  }
};

} // namespace tutti
