// One number for many, the same on every rank: what ranks compare instead of all that they have.
#pragma once

#include <cstdint>

namespace tutti::detail {

inline constexpr std::uint64_t hash_of_nothing = 14695981039346656037u;

/// `hash`, and then `value` (the step of FNV-1a).
constexpr std::uint64_t hashed(std::uint64_t hash, std::uint64_t value) noexcept {
  return (hash ^ value) * 1099511628211u;
}

} // namespace tutti::detail
