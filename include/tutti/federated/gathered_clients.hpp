// gathered_clients: what the clients of a round have come to, all of it at one rank, for rules that compare them.
#pragma once

#include <tutti/codecs/identity.hpp>
#include <tutti/collectives/loops.hpp>
#include <tutti/core/exact_arithmetic.hpp>
#include <tutti/federated/client_sum.hpp>
#include <tutti/reducers/reducer.hpp>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <span>
#include <vector>

namespace tutti::detail {

/// out = what the rule makes of n values of each row, every agreement before it.
template <element T, class R>
void reduce_rows(const R& rule, std::span<const T* const> rows, std::size_t n, T* out) {
  if constexpr (agreeing_reducer<R>) {
    std::vector<double> numbers(std::size_t(rule.agreement(n, int(rows.size()))));
    rule.observe_gathered(gathered_rows<T>{rows, n}, std::size_t{0}, std::span<double>{numbers});
    detail::reduce_rows<T>(rule.agreed(std::span<const double>{numbers}), rows, n, out);
  } else {
    std::vector<const std::byte*> wires;
    for (const T* row : rows) wires.push_back(reinterpret_cast<const std::byte*>(row));
    detail::unite_by_gathering<R, T>(rule, identity{}, wires, std::span<const double>{}, out, n, 0,
                                     double(rows.size()));
  }
}

/// Differences, received minus trained, of every client apart. Each rank has room for as many; then all of them are
/// gathered on rank 0, where the rule makes one of those that came, in the order of the cohort: so the bits depend on
/// neither the number of ranks nor the order of arrival. Memory: of the model the rank's clients times, at rank 0 the
/// cohort times more.
template <class T, class Rule>
class gathered_clients {
public:
  gathered_clients(std::size_t n, double clip, const Rule& rule) : n_{n}, clip_{clip}, rule_{rule}, total_(n) {}

  /// A round in which each rank trains at most so many clients.
  void begin(std::size_t most) { rows_.resize(most * n_); }
  /// The turn-th client of this rank. False where the difference is no number: the rule may be given NaNs in its place.
  bool add(std::size_t turn, std::span<const T> received, std::span<const T> trained, double factor = 1) {
    const exact_mode held;
    const std::span<T> row{rows_.data() + turn * n_, n_};
    if (!detail::is_contribution(received, trained, clip_)) {
      std::fill(row.begin(), row.end(), std::numeric_limits<T>::quiet_NaN());
      return false;
    }
    const auto kept = static_cast<T>(factor * detail::clip_factor(received, trained, clip_));
    detail::with_differences(received, trained, [&](auto difference) {
      for (std::size_t i = 0; i < n_; ++i) row[i] = difference(i) * kept;
    });
    return true;
  }

  /// gather(mine, all) brings the rows of all ranks to rank 0.
  template <class Gather>
  void bring_together(int rank, int size, Gather&& gather) {
    if (rank == 0) all_.resize(rows_.size() * std::size_t(size));
    gather(std::span<const T>{rows_}, std::span<T>{all_});
  }
  /// Of rank 0: `places` are those of who came, in the order of the cohort. Elsewhere zeros.
  void settle(int rank, const std::vector<std::size_t>& places, std::uint32_t round) {
    std::fill(total_.begin(), total_.end(), T{});
    if (rank != 0) return;
    std::vector<const T*> rows;
    for (const std::size_t at : places) rows.push_back(all_.data() + at * n_);
    const exact_mode held;
    if constexpr (requires { rule_.at_round(round); })
      detail::reduce_rows<T>(rule_.at_round(round), rows, n_, total_.data());
    else
      detail::reduce_rows<T>(rule_, rows, n_, total_.data());
  }

  /// How many the rule needs.
  int least() const {
    if constexpr (requires { rule_.least_contributions(); })
      return (std::max)(1, int(rule_.least_contributions()));
    else
      return 1;
  }
  std::span<const T> total() const noexcept { return total_; }
  std::span<T> total() noexcept { return total_; }

private:
  std::size_t n_;
  double clip_;
  const Rule& rule_;
  std::vector<T> total_;
  std::vector<T> rows_, all_;
};

} // namespace tutti::detail
