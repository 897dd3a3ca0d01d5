// k_nomial_tree: reduce towards a root and broadcast from it, in log_k p rounds.
#pragma once

#include <tutti/topologies/schedule.hpp>

namespace tutti {

/// binomial_tree with k in the place of 2: ranks are counted from the root, in base k. In round j
/// of reduce those whose lowest digit that is not 0 is the j-th give what they have folded so far
/// to the one with a 0 there, which folds all of them at once; broadcast is the mirror image. Cost,
/// for each of the two: ceil(log_k p) rounds, p-1 messages of n elements in all, of which a rank
/// sends at most one in reduce and at most (k-1) ceil(log_k p) in broadcast. Scratch: n (k-1)
/// elements where a fold is. For small n, where rounds cost more than messages.
struct k_nomial_tree {
  using part = topology_part;
  using compared_as = k_nomial_tree;
  static constexpr bool gathers = false;

  int k = 4; ///< at least 2

  friend constexpr bool operator==(const k_nomial_tree&, const k_nomial_tree&) = default;

  static constexpr bool gives(collective what) noexcept {
    return what == collective::reduce || what == collective::broadcast;
  }
  constexpr int chunks(int) const noexcept { return 1; }
  constexpr int rounds(collective, int size) const noexcept {
    int count = 0;
    for (long reach = 1; reach < size; reach *= k) ++count;
    return count;
  }

  template <class Emit>
  constexpr void schedule(collective what, int root, const layout& where, Emit&& emit) const {
    const bool reducing = what == collective::reduce;
    const int last = rounds(what, where.size) - 1;
    each_hop(root, where, [&](int step, int peer, bool up) {
      const int round = reducing ? step : last - step;
      const action act = up ? (reducing ? action::send : action::store)
                            : (reducing ? action::combine : action::publish);
      emit(transfer{round, peer, {0}, act});
    });
  }

  constexpr tutti::traffic traffic(collective what, int root, const layout& where,
                                   std::size_t n) const {
    tutti::traffic sum;
    each_hop(root, where, [&](int, int, bool up) {
      if (up == (what == collective::reduce)) sum = sum + tutti::traffic::message(n);
    });
    return sum;
  }

private:
  /// Calls f(step, peer, whether the peer is nearer to the root).
  template <class F> constexpr void each_hop(int root, const layout& where, F&& f) const {
    const int p = where.size, own = (where.rank - root + p) % p;
    int step = 0;
    for (long reach = 1; reach < p && own % reach == 0; reach *= k, ++step) {
      const auto rank = [&](long from_root) { return int((from_root + root) % p); };
      const long digit = own / reach % k;
      if (digit != 0) {
        f(step, rank(own - digit * reach), true);
        return;
      }
      for (long j = 1; j < k && own + j * reach < p; ++j) f(step, rank(own + j * reach), false);
    }
  }
};

} // namespace tutti
