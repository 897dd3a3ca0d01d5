// common_variate: SCAFFOLD's c, which all clients know, moves by what the clients of a round have changed in theirs.
#pragma once

#include <tutti/carriers/control.hpp>
#include <tutti/core/exact_arithmetic.hpp>
#include <tutti/core/rounded.hpp>
#include <tutti/federated/meetings.hpp>
#include <tutti/federated/round_report.hpp>
#include <tutti/training/options.hpp>

#include <cstddef>
#include <span>
#include <utility>
#include <vector>

namespace tutti::detail {

/// An exact sum, so c depends on neither the number of ranks nor the order of arrival. `Reduce` is that of
/// meeting_of_sums. Memory: that of meeting_of_sums.
template <class T, class Reduce>
class common_variate {
public:
  /// Of n values, and so many clients in all.
  common_variate(std::size_t n, int clients, Reduce reduce) : clients_{clients}, changes_{n, 0, std::move(reduce)} {}

  /// Collective; `own` are the clients of this rank that may come.
  void begin(control& ranks, const cohort_roll& roll, clients_of_rank own) {
    alike_.assign(own.begin(), own.end());
    for (weighed_client& one : alike_) one.weight = 1;
    changes_.begin(ranks, roll, alike_);
  }
  /// What one of them kept and keeps, or the difference alone; false where it is no number, and nothing of it is added.
  bool add(const weighed_client& one, std::span<const T> before, std::span<const T> after) {
    return changes_.add({.client = one.client, .weight = 1, .place = one.place}, before, after, 1);
  }
  /// Collective: c moves, alike on every rank, where the round is not left out.
  void meet(control& ranks, cohort_roll& roll, round_report report, non_finite bad, std::span<T> common) {
    (void)changes_.meet(ranks, roll, report, bad);
    if (!report.skipped.empty()) return;
    ranks.broadcast(std::as_writable_bytes(changes_.total()), 0);
    const exact_mode held;
    const rounding rounded;
    const auto share = static_cast<T>(changes_.weight() / clients_);
    for (std::size_t i = 0; i < common.size(); ++i) common[i] -= rounded(share * changes_.total()[i]);
  }

private:
  int clients_;
  meeting_of_sums<T, Reduce> changes_; ///< old minus new
  std::vector<weighed_client> alike_;
};

} // namespace tutti::detail
