// Accumulators: how what the clients of a round send is added up, where that is not the reducer's own way.
//
//   sees_each      whether it can show what one client sent: rules that compare clients need it
//   in_integers    whether it adds whole numbers alone: what is added is clipped then, and quantised
//   wrong(facts) -> text         what cannot work about its numbers in such rounds; empty when all can
//   meeting<T>(n, facts, reduce) a meeting (federated/meetings.hpp) of n values; reduce(values) leaves the sum of
//                                integers over all ranks on rank 0
//
// Which of them go with which reducer and which policy is in strategy/checks.hpp.
#pragma once

#include <tutti/core/part.hpp>

#include <cstdint>

namespace tutti {

/// What accumulators are told of the rounds that they are for.
struct accumulated_rounds {
  double clip = 0;         ///< the greatest length of a client's difference, 0 for any
  int cohort = 0;          ///< of how many clients; 0 where that is known in each round alone
  bool normalized = false; ///< whether differences count per step
  std::uint64_t seed = 1;
};

/// The reducer's own way: means of each rank, exact sums, or all of them side by side.
struct as_reduced {
  using part = accumulator_part;
  static constexpr bool sees_each = true;
  static constexpr bool in_integers = false;
};

} // namespace tutti
