// Draws that depend on their arguments alone: the same on every machine, in any order.
#pragma once

#include <cstddef>
#include <cstdint>
#include <numeric>
#include <stdexcept>
#include <utility>
#include <vector>

namespace models {

/// One step of SplitMix64 (Steele, Lea, Flood 2014): 64 bits in, 64 well mixed bits out.
constexpr std::uint64_t mix(std::uint64_t bits) {
  bits += 0x9e3779b97f4a7c15u;
  bits = (bits ^ (bits >> 30)) * 0xbf58476d1ce4e5b9u;
  bits = (bits ^ (bits >> 27)) * 0x94d049bb133111ebu;
  return bits ^ (bits >> 31);
}

/// The draw at position (a, b, c) of the stream `seed`.
constexpr std::uint64_t draw(std::uint64_t seed, std::uint64_t a, std::uint64_t b = 0,
                             std::uint64_t c = 0) {
  return mix(mix(mix(mix(seed) + a) + b) + c);
}

/// In [0, 1), from the upper 53 bits.
constexpr double unit_interval(std::uint64_t bits) {
  return static_cast<double>(bits >> 11) * 0x1p-53;
}

/// In [0, n); the bias of the remainder is below n / 2^64.
constexpr std::size_t below(std::size_t n, std::uint64_t bits) {
  return static_cast<std::size_t>(bits % n);
}

/// A permutation of 0 .. n-1 that depends on n and the seed alone (Fisher and Yates).
inline std::vector<std::uint32_t> shuffled(std::size_t n, std::uint64_t seed) {
  std::vector<std::uint32_t> order(n);
  std::iota(order.begin(), order.end(), 0u);
  for (std::size_t i = n; i > 1; --i) {
    std::swap(order[i - 1], order[below(i, draw(seed, i))]);
  }
  return order;
}

/// `batch` rows of begin .. end - 1, drawn by (seed, step, rank) alone.
inline void draw_rows(std::size_t begin, std::size_t end, int batch, std::uint64_t seed,
                      std::uint64_t step, std::uint64_t rank, std::vector<std::uint32_t>& rows) {
  if (end <= begin) {
    throw std::runtime_error(
        "draw_rows: there are no rows to draw from - use fewer ranks, or leave "
        "out who has no data");
  }
  rows.clear();
  for (int i = 0; i < batch; ++i) {
    const auto bits = draw(mix(seed) + static_cast<std::uint64_t>(i), step, rank);
    rows.push_back(static_cast<std::uint32_t>(begin + below(end - begin, bits)));
  }
}

} // namespace models
