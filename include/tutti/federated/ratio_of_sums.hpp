// ratio_of_sums: a number about all clients of a round, the same bits in any order and on any number of ranks.
#pragma once

#include <tutti/carriers/control.hpp>
#include <tutti/core/exact_arithmetic.hpp>
#include <tutti/reducers/binned.hpp>

#include <algorithm>
#include <array>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <span>
#include <tuple>
#include <vector>

namespace tutti::detail {

/// A binned number as what control carries.
using binned_words = std::array<std::uint64_t, sizeof(binned<double>) / sizeof(std::uint64_t)>;
inline void add_words(binned<double>& sum, std::span<const std::uint64_t> words) {
  binned_words one;
  std::copy_n(words.begin(), one.size(), one.begin());
  sum.add(std::bit_cast<binned<double>>(one));
}

class ratio_of_sums {
public:
  void clear() { over_ = under_ = {}; }
  /// Of a client of this rank.
  void add(double over, double under) {
    over_.add(over);
    under_.add(under);
  }
  /// Collective: the sum of what was given as `over` on all ranks, over that of `under`.
  double value(control& ranks) const {
    constexpr std::size_t words = std::tuple_size_v<binned_words>;
    std::array<std::uint64_t, 2 * words> mine;
    std::ranges::copy(std::bit_cast<binned_words>(over_), mine.begin());
    std::ranges::copy(std::bit_cast<binned_words>(under_), mine.begin() + words);
    const std::vector<std::uint64_t> all = ranks.gather(mine);
    binned<double> over, under;
    for (std::size_t k = 0; k < all.size(); k += 2 * words) {
      detail::add_words(over, std::span{all}.subspan(k, words));
      detail::add_words(under, std::span{all}.subspan(k + words, words));
    }
    return detail::exactly([&] { return over.value() / under.value(); });
  }

private:
  binned<double> over_, under_;
};

} // namespace tutti::detail
