// How much of a result's bits a part promises, from least to most.
#pragma once

#include <tutti/core/part.hpp>

#include <cstdint>
#include <string_view>

namespace tutti {

enum class determinism : std::uint8_t {
  none,                ///< depends on the order of arrival
  run_to_run,          ///< same bits for the same binary, rank count and plan
  rank_count_invariant ///< same bits for any rank count
};

constexpr std::string_view name(determinism level) noexcept {
  switch (level) {
  case determinism::none: return "none";
  case determinism::run_to_run: return "run_to_run";
  case determinism::rank_count_invariant: return "rank_count_invariant";
  }
  return "unknown";
}

/// Asks a strategy for a level; a strategy that cannot give it does not compile.
template <determinism Level>
struct at_least {
  using part = demand_part;
  static constexpr determinism level = Level;
};

} // namespace tutti
