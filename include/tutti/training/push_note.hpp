// push_note: what goes with a push to servers, beside the gradient.
#pragma once

#include <tutti/core/bits.hpp>

#include <bit>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <span>

namespace tutti::detail {

/// The learning rate that the push is to be applied at, and a bit for each tensor that has a gradient. Of no words:
/// at the optimizer's own rate, and all have one.
namespace push_note {

constexpr std::size_t words(std::size_t tensors) noexcept { return 1 + detail::words_for_bits(tensors); }

/// `present(k)` of each tensor.
template <class Present>
void write(std::span<std::uint64_t> to, double rate, std::size_t tensors, Present&& present) {
  if (to.empty()) return;
  to[0] = std::bit_cast<std::uint64_t>(rate);
  detail::write_bits(to.subspan(1), tensors, present);
}
inline double rate(std::span<const std::uint64_t> of) {
  return of.empty() ? std::numeric_limits<double>::quiet_NaN() : std::bit_cast<double>(of[0]);
}
inline bool present(std::span<const std::uint64_t> of, std::size_t k) {
  return of.empty() || detail::bit(of.subspan(1), k);
}

} // namespace push_note
} // namespace tutti::detail
