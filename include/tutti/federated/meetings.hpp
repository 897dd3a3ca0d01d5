// How the clients of all ranks become one mean, which a trainer then takes for a gradient: as means of each rank, as an
// exact sum, or as all of them side by side.
//
//   begin(ranks, cohort, homes, own)   collective: a round of this cohort; homes[k] is the rank that trains its k-th,
//                               and `own` is this rank's, (client, weight), without those of weight 0
//   add(client, weight, received, trained, factor), add_silent()    in the order of `own`; `factor` multiplies the
//                               difference beside its weight
//   meet(ranks, report, bad) -> weight      collective: what total() counts for beside those of other ranks; where the
//                               round is to be left out, report.skipped says why. `bad` is what to do about a NaN
//   total()                     differences, received minus trained; the same memory in every round
//   scale(by)                   multiplies them
#pragma once

#include <tutti/carriers/carrier.hpp>
#include <tutti/carriers/control.hpp>
#include <tutti/core/error.hpp>
#include <tutti/federated/client_sum.hpp>
#include <tutti/federated/exact_client_sum.hpp>
#include <tutti/federated/gathered_clients.hpp>
#include <tutti/federated/round_report.hpp>
#include <tutti/reducers/weights.hpp>
#include <tutti/training/options.hpp>

#include <algorithm>
#include <array>
#include <bit>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <tuple>
#include <utility>
#include <vector>

namespace tutti::detail {

using clients_of_rank = std::span<const std::pair<int, double>>; ///< (client, weight)

inline std::string was_skipped(std::uint32_t round) { return "round " + std::to_string(round) + " was skipped: "; }
inline std::string of_no_number(std::uint32_t round) {
  return detail::was_skipped(round) + "the mean of the clients holds a NaN or an infinity";
}
inline std::string nothing_counts(const round_report& report) {
  if (report.clients == 0) return detail::was_skipped(std::uint32_t(report.round)) + "nobody was drawn";
  const std::string drawn = std::to_string(report.clients);
  return detail::was_skipped(std::uint32_t(report.round)) +
         (report.silent == 0 ? "none of its " + drawn +
                                   " clients holds an example - draw more of them, or leave out who has no data"
                             : std::to_string(report.silent) + " of its " + drawn +
                                   " clients wrote no parameters, and none of the others holds an example - "
                                   "call local.step(), or write what was trained to local.parameters()");
}

/// `culprits` has one word a rank: a client, or none where it is negative. Throws, or says why the round is left out.
inline void judge_culprits(const control& ranks, round_report& report, non_finite bad,
                           const std::vector<std::int64_t>& culprits) {
  if (bad == non_finite::pass) return;
  if (bad == non_finite::skip) {
    report.skipped = detail::of_no_number(std::uint32_t(report.round));
    return;
  }
  const std::string round = "round " + std::to_string(report.round) + ": ";
  failure f{.code = error_code::non_finite, .call = "run", .rank = ranks.rank()};
  f.detail = round + "the mean of the clients overflowed";
  for (std::size_t r = 0; r < culprits.size(); ++r)
    if (culprits[r] >= 0) {
      f.peer = int(r);
      f.detail = round + "client " + std::to_string(culprits[r]) + " on rank " + std::to_string(r) +
                 " returned a NaN or an infinity";
      break;
    }
  throw error{std::move(f)};
}

/// Each rank contributes the mean of its clients, weighted by what they weigh.
template <class T>
class meeting_of_means {
public:
  meeting_of_means(std::size_t n, double clip) : sum_{n, clip} {}

  void begin(control&, const std::vector<int>&, const std::vector<int>&, clients_of_rank) {
    sum_.clear();
    silent_ = 0;
  }
  void add(int client, double weight, std::span<const T> received, std::span<const T> trained, double factor) {
    sum_.add(client, weight, received, trained, factor);
  }
  void add_silent() { ++silent_; }
  double meet(control& ranks, round_report& report, non_finite bad) {
    enum said : std::size_t { weight, exponent, silent_ones, culprit, words };
    sum_.divide();
    const std::uint64_t mine[words] = {std::bit_cast<std::uint64_t>(sum_.weight()),
                                       std::uint64_t(std::int64_t(sum_.exponent())), std::uint64_t(silent_),
                                       std::uint64_t(sum_.first_bad())};
    const std::vector<std::uint64_t> all = ranks.gather(mine);
    bool counts = false, finite = true;
    std::int64_t greatest = 0; // exponent of those who count
    std::vector<std::int64_t> culprits;
    for (std::size_t k = 0; k < all.size(); k += words) {
      culprits.push_back(std::int64_t(all[k + culprit]));
      report.silent += int(all[k + silent_ones]);
      if (std::bit_cast<double>(all[k + weight]) == 0) continue;
      finite = finite && culprits.back() == client_sum<T>::nobody;
      greatest = counts ? (std::max)(greatest, std::int64_t(all[k + exponent])) : std::int64_t(all[k + exponent]);
      counts = true;
    }
    if (!counts) report.skipped = detail::nothing_counts(report);
    if (!finite) detail::judge_culprits(ranks, report, bad, culprits);
    return std::ldexp(sum_.weight(), int(sum_.exponent() - greatest));
  }
  std::span<const T> total() const noexcept { return sum_.total(); }
  void scale(double by) { detail::scale_contribution(sum_.total(), static_cast<T>(by)); }

private:
  client_sum<T> sum_;
  int silent_ = 0;
};

/// There is one sum, and its mean is rank 0's: reduce(values) leaves the sum over all ranks of integers or bins there.
template <class T, class Reduce>
class meeting_of_sums {
public:
  meeting_of_sums(std::size_t n, double clip, Reduce reduce) : sum_{n, clip}, reduce_{std::move(reduce)} {}

  void begin(control& ranks, const std::vector<int>& cohort, const std::vector<int>&, clients_of_rank own) {
    silent_ = 0;
    double heaviest = 0;
    for (const auto& [client, weight] : own) heaviest = (std::max)(heaviest, weight);
    const std::uint64_t mine[] = {std::bit_cast<std::uint64_t>(heaviest)};
    std::vector<double> all;
    for (const std::uint64_t word : ranks.gather(mine)) all.push_back(std::bit_cast<double>(word));
    sum_.begin(cohort.size(), detail::scale_weights(all));
  }
  void add(int client, double weight, std::span<const T> received, std::span<const T> trained, double factor) {
    sum_.add(client, weight, received, trained, factor);
  }
  void add_silent() { ++silent_; }
  double meet(control& ranks, round_report& report, non_finite bad) {
    using weight_words = std::array<std::uint64_t, sizeof(binned<double>) / sizeof(std::uint64_t)>;
    enum said : std::size_t { silent_ones = std::tuple_size_v<weight_words>, culprit, words };
    std::array<std::uint64_t, words> mine{};
    std::ranges::copy(std::bit_cast<weight_words>(sum_.weight()), mine.begin());
    mine[silent_ones] = std::uint64_t(silent_);
    mine[culprit] = std::uint64_t(sum_.first_bad());
    const std::vector<std::uint64_t> all = ranks.gather(mine);
    binned<double> total;
    bool finite = true;
    std::vector<std::int64_t> culprits;
    for (std::size_t k = 0; k < all.size(); k += words) {
      weight_words of_rank;
      std::copy_n(all.begin() + std::ptrdiff_t(k), of_rank.size(), of_rank.begin());
      total.add(std::bit_cast<binned<double>>(of_rank));
      report.silent += int(all[k + silent_ones]);
      culprits.push_back(std::int64_t(all[k + culprit]));
      finite = finite && culprits.back() == exact_client_sum<T>::nobody;
    }
    if (!finite) detail::judge_culprits(ranks, report, bad, culprits);
    if (report.skipped.empty() && total.value() == 0) report.skipped = detail::nothing_counts(report);
    if (report.skipped.empty()) {
      sum_.bring_together(reduce_);
      sum_.divide(ranks.rank() == 0 ? total.value() : 0);
    }
    weight_ = total.value();
    return ranks.rank() == 0 ? 1 : 0;
  }
  /// Of all clients in the last round, times a power of two that is 1 where the heaviest weighs 1.
  double weight() const noexcept { return weight_; }
  std::span<T> total() noexcept { return sum_.total(); }
  std::span<const T> total() const noexcept { return sum_.total(); }
  void scale(double by) { detail::scale_contribution(sum_.total(), static_cast<T>(by)); }

private:
  exact_client_sum<T> sum_;
  Reduce reduce_;
  double weight_ = 0;
  int silent_ = 0;
};

/// All of them meet at rank 0, where `rule` makes one of them: gather(mine, all) brings them there.
template <class T, class Rule, class Gather>
class meeting_of_rows {
public:
  meeting_of_rows(std::size_t n, double clip, const Rule& rule, Gather gather)
      : all_{n, clip, rule}, gather_{std::move(gather)} {}

  void begin(control& ranks, const std::vector<int>& cohort, const std::vector<int>& homes, clients_of_rank) {
    cohort_ = cohort;
    std::vector<std::size_t> of_rank(std::size_t(ranks.size()));
    std::vector<std::size_t> turns;
    for (const int home : homes) turns.push_back(of_rank[std::size_t(home)]++);
    const std::size_t most = *std::max_element(of_rank.begin(), of_rank.end());
    places_.clear();
    for (std::size_t k = 0; k < homes.size(); ++k) places_.push_back(std::size_t(homes[k]) * most + turns[k]);
    all_.begin(most);
  }
  void add(int client, double weight, std::span<const T> received, std::span<const T> trained, double factor) {
    all_.add(client, weight, received, trained, factor);
  }
  void add_silent() { all_.add_silent(); }
  double meet(control& ranks, round_report& report, non_finite bad) {
    using rows = gathered_clients<T, Rule>;
    if (cohort_.empty()) {
      report.skipped = detail::nothing_counts(report);
      return 0;
    }
    const std::vector<std::uint64_t> states = ranks.gather(all_.states());
    int came = 0;
    std::vector<std::size_t> rows_that_came;
    for (std::size_t k = 0; k < cohort_.size(); ++k) {
      const std::uint64_t state = states[places_[k]];
      if (state >= rows::came) rows_that_came.push_back(places_[k]);
      report.silent += state == rows::silent;
      came += state >= rows::came;
      if (state == rows::not_finite) report.not_finite.push_back(cohort_[k]);
    }
    if (came < all_.least())
      report.skipped = came == 0 ? detail::nothing_counts(report)
                                 : detail::was_skipped(std::uint32_t(report.round)) + std::to_string(came) +
                                       " clients came, and this reducer needs at least " + std::to_string(all_.least());
    if (report.skipped.empty()) {
      all_.bring_together(ranks.rank(), ranks.size(), gather_);
      all_.settle(ranks.rank(), rows_that_came, std::uint32_t(report.round));
    }
    (void)bad; // a rule stands it; what it makes of them is judged as every gradient is
    return ranks.rank() == 0 ? 1 : 0;
  }
  std::span<const T> total() const noexcept { return all_.total(); }
  void scale(double by) { detail::scale_contribution(all_.total(), static_cast<T>(by)); }

private:
  gathered_clients<T, Rule> all_;
  Gather gather_;
  std::vector<int> cohort_;
  std::vector<std::size_t> places_; ///< of each of the cohort, among the rows of all ranks
};

} // namespace tutti::detail
