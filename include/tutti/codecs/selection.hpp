// The k values of largest magnitude: exactly k, of equal ones those with the lowest index.
#pragma once

#include <tutti/core/blocks.hpp>
#include <tutti/core/element.hpp>
#include <tutti/core/widely.hpp>

#include <algorithm>
#include <array>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <span>
#include <type_traits>

namespace tutti::detail {

/// Bits of |x| in float, or in double for doubles: ordered as magnitudes are, an infinity above all numbers and a NaN
/// above that.
template <element T>
TUTTI_HD constexpr auto magnitude_key(T x) noexcept {
  if constexpr (std::is_same_v<T, double>)
    return detail::bits_as<std::uint64_t>(x) & ~(std::uint64_t{1} << 63);
  else
    return detail::bits_as<std::uint32_t>(element_cast<float>(x)) & 0x7fffffffu;
}

template <class T>
using key_of = decltype(magnitude_key(T{}));

/// use(i, key) for the values whose key is not below `least`, in the order of their indices: 32 at a time are compared.
template <class T, class Use>
void each_at_least(std::span<const T> values, key_of<T> least, Use&& use) {
  constexpr auto bits = [] {
    std::array<std::uint32_t, 32> all{};
    for (unsigned i = 0; i < 32; ++i) all[i] = std::uint32_t{1} << i;
    return all;
  }();
  in_blocks<32>(values.size(), [&](std::size_t begin, auto count) {
    std::uint32_t reached = 0;
    for (std::size_t i = 0; i < count; ++i)
      reached |= detail::magnitude_key(values[begin + i]) >= least ? bits[i] : 0;
    for (; reached != 0; reached &= reached - 1) {
      const std::size_t i = begin + std::size_t(std::countr_zero(reached));
      use(i, detail::magnitude_key(values[i]));
    }
  });
}

/// The k-th largest key, and how many equal ones are among the k largest. 1 <= k <= n. Of many values a sample says between
/// which keys to look: they are read once to count those in 2,048 steps between the two, and again for those in the step
/// of the k-th. Where it is not there, or too many are: digit by digit from the top, in three reads, of doubles six.
template <class T>
struct kth_largest {
  using key = key_of<T>;

  kth_largest(std::span<const T> values, std::size_t k) : equal{k} {
    bool found = false;
    if (values.size() >= 16 * sampled) detail::widely([&] { found = by_sample(values, k); });
    if (!found) by_digits(values);
  }

  key least = 0;
  std::size_t equal;

private:
  static constexpr std::size_t sampled = 4096, steps = 2048, few = 1024;

  bool by_sample(std::span<const T> values, std::size_t k) {
    std::array<key, sampled> sample;
    const std::size_t apart = values.size() / sampled;
    for (std::size_t i = 0; i < sampled; ++i) sample[i] = detail::magnitude_key(values[i * apart]);
    const std::size_t about = std::size_t(double(k) / double(values.size()) * sampled), off = about / 4 + 8;
    if (about + off >= sampled) return false;
    const auto from_top = [](auto& keys, std::size_t n, std::size_t rank) {
      const auto begin = keys.begin();
      std::nth_element(begin, begin + std::ptrdiff_t(rank), begin + std::ptrdiff_t(n), [](key a, key b) { return a > b; });
      return keys[rank];
    };
    const key low = from_top(sample, sampled, about + off);
    const key high = from_top(sample, sampled, about > off ? about - off : 0);
    const int shift = (std::max)(0, int(std::bit_width(key(high - low))) - 11);

    std::array<std::size_t, steps + 1> count{}; // the last one: above
    detail::each_at_least(values, low, [&](std::size_t, key x) {
      ++count[(std::min)(std::size_t((x - low) >> shift), steps)];
    });
    std::size_t step = steps, wanted = k;
    for (; count[step] < wanted; --step) {
      if (step == 0) return false;
      wanted -= count[step];
    }
    if (step == steps || count[step] > few) return false;

    std::array<key, few> there{};
    std::size_t n = 0;
    const key begin = low + (key(step) << shift), size = key{1} << shift;
    detail::each_at_least(values, begin, [&](std::size_t, key x) {
      if (x - begin < size) there[n++] = x;
    });
    least = from_top(there, n, wanted - 1);
    equal = wanted;
    for (std::size_t i = 0; i < n; ++i) equal -= there[i] > least;
    return true;
  }
  void by_digits(std::span<const T> values) {
    constexpr int bits = sizeof(key) == 4 ? 31 : 63;
    for (int low = bits; low > 0;) {
      const int digit = low < 11 ? low : 11;
      low -= digit;
      std::array<std::size_t, 2048> count{};
      const key above = low + digit == bits ? 0 : least >> (low + digit);
      for (const T x : values) {
        const key all = magnitude_key(x);
        count[std::size_t(all >> low) & ((std::size_t{1} << digit) - 1)] += (all >> (low + digit)) == above;
      }
      std::size_t d = (std::size_t{1} << digit) - 1;
      while (count[d] < equal) equal -= count[d--];
      least |= key(d) << low;
    }
  }
};

/// take(index) for each of the k largest, in the order of their indices.
template <class T, class Take>
void each_largest(std::span<const T> values, std::size_t k, Take&& take) {
  if (k == 0) return;
  const kth_largest<T> at{values, k};
  detail::widely([&] {
    std::size_t equal = at.equal;
    detail::each_at_least(values, at.least, [&](std::size_t i, key_of<T> x) {
      if (x > at.least || equal > 0) {
        equal -= x == at.least;
        take(i);
      }
    });
  });
}

} // namespace tutti::detail
