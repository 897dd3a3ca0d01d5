// median and trimmed_mean of each coordinate, sorted in registers.
//
// The network is a table of comparators that the compiler works out and unrolls over an index sequence: as loops it
// would index a register by a variable, which only memory can. (Batcher, "Sorting networks and their applications",
// AFIPS 1968: odd-even merge sort.)
#pragma once

#include <tutti/core/element.hpp>
#include <tutti/kernels/arithmetic.hpp>

#include <array>
#include <cstddef>
#include <cstdint>
#include <utility>

namespace tutti::detail::kernels {

struct comparator {
  std::uint8_t low, high;
};

/// f(low, high) for every comparator of the network of Size values, a power of two.
template <class F> constexpr void each_comparator(std::size_t size, F&& f) {
  for (std::size_t p = 1; p < size; p *= 2)
    for (std::size_t k = p; k >= 1; k /= 2)
      for (std::size_t j = k % p; j + k < size; j += 2 * k)
        for (std::size_t i = 0; i < k && i + j + k < size; ++i)
          if ((i + j) / (2 * p) == (i + j + k) / (2 * p)) f(i + j, i + j + k);
}
template <std::size_t Size>
inline constexpr std::size_t comparators = [] {
  std::size_t all = 0;
  kernels::each_comparator(Size, [&](std::size_t, std::size_t) { ++all; });
  return all;
}();
template <std::size_t Size>
inline constexpr std::array<comparator, comparators<Size>> network = [] {
  std::array<comparator, comparators<Size>> all{};
  std::size_t next = 0;
  kernels::each_comparator(Size, [&](std::size_t low, std::size_t high) {
    all[next++] = {static_cast<std::uint8_t>(low), static_cast<std::uint8_t>(high)};
  });
  return all;
}();
/// One of them: read outside of functions, as kernels may not call std::array's operator.
template <std::size_t Size, std::size_t C> inline constexpr comparator comparator_at = network<Size>[C];

template <std::size_t Low, std::size_t High, class Key, std::size_t Size> TUTTI_HD void compare(Key (&keys)[Size]) {
  const Key a = keys[Low], b = keys[High];
  keys[Low] = b < a ? b : a;
  keys[High] = b < a ? a : b;
}
/// By the comparators from First on; no more than 128 in one expression, as clang nests no deeper.
template <std::size_t First = 0, class Key, std::size_t Size> TUTTI_HD void sort_in_registers(Key (&keys)[Size]) {
  if constexpr (First < comparators<Size>) {
    constexpr std::size_t n = comparators<Size> - First < 128 ? comparators<Size> - First : 128;
    [&]<std::size_t... C>(std::index_sequence<C...>) {
      (compare<comparator_at<Size, First + C>.low, comparator_at<Size, First + C>.high>(keys), ...);
    }
    (std::make_index_sequence<n>{});
    sort_in_registers<First + n>(keys);
  }
}

/// Integers in the order -inf .. -0 < +0 .. +inf < NaN, and back. All NaNs are one.
TUTTI_HD inline std::int32_t key_of(float x) {
  const auto bits = bits_as<std::int32_t>(x);
  const std::int32_t one_nan = (bits & 0x7fffffff) > 0x7f800000 ? 0x7fc00000 : bits;
  return one_nan ^ ((one_nan >> 31) & 0x7fffffff);
}
TUTTI_HD inline float value_of_key(std::int32_t key) {
  return bits_as<float>(key ^ ((key >> 31) & 0x7fffffff));
}

/// The middle value; of an even number the mean of the two in the middle, as on the host.
struct middle {
  template <std::size_t Size> TUTTI_HD float operator()(const std::int32_t (&sorted)[Size], int count) const {
    std::int32_t low_key = 0, high_key = 0;
    each<Size>([&](int i) { // ored up: of a choice ptxas makes a table, in memory
      low_key |= sorted[i] & -std::int32_t(i == (count - 1) / 2);
      high_key |= sorted[i] & -std::int32_t(i == count / 2);
    });
    const float low = value_of_key(low_key), high = value_of_key(high_key);
    if (count % 2 != 0 || low == high) return low;
    return add(low / 2, high / 2);
  }

  template <std::size_t Size, class F> TUTTI_HD static void each(F&& f) {
#if defined(__CUDA_ARCH__)
#pragma unroll
#endif
    for (int i = 0; i < int(Size); ++i) f(i);
  }
};

/// The mean without the `trim` smallest and largest.
struct mean_within {
  int trim;

  template <std::size_t Size> TUTTI_HD float operator()(const std::int32_t (&sorted)[Size], int count) const {
    float total = 0;
    middle::each<Size>([&](int i) {
      const float x = value_of_key(sorted[i]);
      if (i == trim) total = x;
      else if (i > trim && i < count - trim) total = add(total, x);
    });
    return divide(total, float(count - 2 * trim));
  }
};

/// `count` contributions to n values, at most Size.
template <class T, std::size_t Size> struct columns {
  const T* in[Size];
  T* out;
  std::size_t n;
  int count;
};

/// out[i] = pick(the sorted contributions to value i). `out` may be one of the contributions. A lane takes one value at
/// a time: registers are full.
template <class Context, class Pick, class T, std::size_t Size>
TUTTI_HD void pick_from_columns(Context& ctx, const Pick& pick, const columns<T, Size>& of) {
  static_assert(sizeof(accumulator_t<T>) == 4, "tutti: columns are sorted as floats");
  const std::size_t step = ctx.blocks() * Context::lanes;
  ctx.each([&](unsigned lane) {
#if defined(__CUDA_ARCH__)
#pragma unroll 1
#endif
    for (std::size_t i = ctx.block() * Context::lanes + lane; i < of.n; i += step) {
      std::int32_t keys[Size];
      [&]<std::size_t... K>(std::index_sequence<K...>) { // behind all others where there are fewer
        ((keys[K] = int(K) < of.count ? key_of(element_cast<float>(of.in[K][i])) : 0x7fffffff), ...);
      }
      (std::make_index_sequence<Size>{});
      sort_in_registers(keys);
      of.out[i] = element_cast<T>(pick(keys, of.count));
    }
  });
}

} // namespace tutti::detail::kernels
