// median and trimmed_mean: coordinate-wise gathering reducers that bound what a bad contribution does.
//
// Every contribution to a coordinate must be in one place: topologies `direct` and `star`. Cost: a
// sort of K values per coordinate. Determinism: run_to_run, and independent of the order of ranks.
// A NaN counts as larger than every number, so that it is trimmed like any other extreme.
// Source: Yin, Chen, Ramchandran, Bartlett, "Byzantine-robust distributed learning" (ICML 2018),
// definitions 1 and 2.
#pragma once

#include <tutti/reducers/elementary.hpp>

#include <algorithm>

namespace tutti {

namespace detail {

struct total_order { ///< -inf .. -0 < +0 .. +inf < NaN
  template <class A>
  constexpr bool operator()(A a, A b) const noexcept {
    if constexpr (std::floating_point<A>) {
      if (a != a || b != b) return a == a && b != b;
      if (a == b) return negative(a) && !negative(b);
    }
    return a < b;
  }
};

} // namespace detail

/// The middle value of each coordinate; the mean of the two middle ones when their number is even.
struct median {
  using part = reducer_part;
  template <class T>
  static constexpr bool accepts = real_element<T>;

  template <class A>
  constexpr A gather(std::span<A> column) const {
    std::sort(column.begin(), column.end(), detail::total_order{});
    const std::size_t middle = column.size() / 2;
    if (column.size() % 2 == 1) return column[middle];
    const A low = column[middle - 1], high = column[middle];
    return low == high ? low : A(low / 2 + high / 2);
  }
};

/// The mean of each coordinate without its `trim` smallest and `trim` largest values.
/// Needs more than 2 * trim ranks; with fewer, the call fails with error_code::invalid_argument.
struct trimmed_mean {
  using part = reducer_part;
  template <class T>
  static constexpr bool accepts = real_element<T>;

  int trim = 1;

  constexpr int least_contributions() const { return 2 * trim + 1; }
  constexpr const char* objection() const {
    return trim < 0 ? "trimmed_mean: trim is negative - give how many values are left out at each end"
                    : nullptr;
  }

  template <class A>
  constexpr A gather(std::span<A> column) const {
    std::sort(column.begin(), column.end(), detail::total_order{});
    const auto kept = column.subspan(std::size_t(trim), column.size() - 2 * std::size_t(trim));
    A total = kept[0];
    for (std::size_t k = 1; k < kept.size(); ++k) total = total + kept[k];
    return total / A(kept.size());
  }
};

} // namespace tutti
