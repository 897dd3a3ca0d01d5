// post_local_sgd: together at first, apart later.
#pragma once

#include <tutti/sync/sync_policy.hpp>

#include <cstdint>

namespace tutti {

/// Replicas average their parameters after each of the `first` steps, and every `later` steps after that:
/// agreements are at steps 1 to `first`, then at first + later, first + 2 later, ...
/// Lin, Stich, Patel, Jaggi, "Don't use large mini-batches, use local SGD" (ICLR 2020), section 3. With sgd, with momentum or
/// without, the first phase is synchronous training, up to rounding.
/// Cost: one all_reduce of the parameters at each of them, nothing in between.
struct post_local_sgd {
  using part = sync_part;
  static constexpr contributes contribution = contributes::parameters;

  std::int64_t first = 1000;
  int later = 16; ///< the period after that

  constexpr int period(std::int64_t step) const { return step <= first ? 1 : later; }
};

} // namespace tutti
