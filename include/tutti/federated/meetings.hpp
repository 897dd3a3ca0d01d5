// How the clients of all ranks become one mean, which a trainer then takes for a gradient: as means of each rank, as an
// exact sum, or as all of them side by side.
//
//   begin(ranks, roll, own)     collective: a round of the clients on the roll; `own` are those of this rank that weigh
//                               anything, in the order of the roll, or as many as will come, who are then put on it
//   add(client, received, trained, factor) -> bool      of own, in their order, who has trained: `factor` multiplies
//                               the difference beside the weight, which may be less than in begin. False where the
//                               difference is no number: then nothing of it is added. Where nothing is given as
//                               trained, `received` holds the differences themselves
//   meet(ranks, roll, report, bad) -> weight      collective, calls roll.tell(): what total() counts for beside those
//                               of other ranks; where the round is left out, report.skipped says why. `bad` is what to
//                               do about a mean that overflows
//   total()                     differences, received minus trained; the same memory in every round
//   scale(by)                   multiplies them
#pragma once

#include <tutti/carriers/carrier.hpp>
#include <tutti/carriers/control.hpp>
#include <tutti/core/error.hpp>
#include <tutti/federated/client_sum.hpp>
#include <tutti/federated/cohort_roll.hpp>
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

inline std::string was_skipped(std::uint32_t round) { return "round " + std::to_string(round) + " was skipped: "; }
inline std::string of_no_number(std::uint32_t round) {
  return detail::was_skipped(round) + "the mean of the clients holds a NaN or an infinity";
}
/// How those who did not count are told of, after their number.
inline const char* told_of(absence why) {
  switch (why) {
  case absence::unavailable: return " not there";
  case absence::dropped_out: return " dropped out";
  case absence::late: return " late";
  case absence::surplus: return " more than are taken";
  case absence::no_examples: return " without examples";
  case absence::silent: return " wrote no parameters (call local.step(), or write local.parameters())";
  case absence::not_finite: return " returned a NaN or an infinity";
  case absence::malformed: return " said what cannot be";
  }
  return "";
}
/// After roll.tell(): says in the report why the round is left out where fewer count than it needs, or than a reducer
/// does.
inline void skip_if_few(const cohort_roll& roll, round_report& report, int counted, int reducer_needs = 1) {
  const int least = (std::max)(roll.least(), reducer_needs);
  if (counted >= least) return;
  roll.write(report);
  std::string& why = report.skipped = detail::was_skipped(roll.round());
  if (report.clients == 0) {
    why += report.left_out.empty() ? "nobody was drawn" : "nobody who was drawn was there";
    return;
  }
  const std::string all = " of its " + std::to_string(report.clients) + " clients ";
  why += counted == 0 ? "none" + all + "counts"
                      : std::to_string(counted) + all + "count, and " +
                            (reducer_needs == least ? "this reducer" : "attendance") + " needs at least " +
                            std::to_string(least);
  const char* between = ": ";
  for (int k = 0; k <= int(absence::malformed); ++k)
    if (const int n = report.count(absence(k)); n > 0) {
      why += between + std::to_string(n) + detail::told_of(absence(k));
      between = ", ";
    }
}
inline std::string too_light(std::uint32_t round) {
  return detail::was_skipped(round) + "those who came weigh next to nothing beside the heaviest that was drawn";
}
/// The mean has overflowed: throws, or says why the round is left out.
inline void judge_overflow(const control& ranks, round_report& report, non_finite bad) {
  const auto round = std::uint32_t(report.round);
  if (bad == non_finite::skip) report.skipped = detail::of_no_number(round);
  if (bad == non_finite::error)
    throw error{{.code = error_code::non_finite,
                 .call = "run",
                 .rank = ranks.rank(),
                 .detail = "round " + std::to_string(round) + ": the mean of the clients overflowed"}};
}
/// The heaviest client of all ranks decides by which power of two weights are scaled; collective.
inline int agreed_exponent(control& ranks, clients_of_rank own) {
  double heaviest = 0;
  for (const weighed_client& one : own) heaviest = (std::max)(heaviest, one.weight);
  const std::uint64_t mine[] = {std::bit_cast<std::uint64_t>(heaviest)};
  std::vector<double> all;
  for (const std::uint64_t word : ranks.gather(mine)) all.push_back(std::bit_cast<double>(word));
  return detail::scale_weights(all);
}

/// Each rank contributes the mean of its clients, weighted by what they weigh.
template <class T>
class meeting_of_means {
public:
  meeting_of_means(std::size_t n, double clip) : sum_{n, clip} {}

  void begin(control&, const cohort_roll&, clients_of_rank) { sum_.clear(); }
  bool add(const weighed_client& one, std::span<const T> received, std::span<const T> trained, double factor) {
    return sum_.add(one.weight, received, trained, factor);
  }
  double meet(control& ranks, cohort_roll& roll, round_report& report, non_finite bad) {
    enum said : std::size_t { weight, exponent, overflowed, words };
    sum_.divide();
    const std::uint64_t mine[words] = {std::bit_cast<std::uint64_t>(sum_.weight()),
                                       std::uint64_t(std::int64_t(sum_.exponent())), sum_.overflowed()};
    const auto all = roll.tell(ranks, mine);
    bool counts = false, finite = true;
    std::int64_t greatest = 0; // exponent of those who count
    for (std::size_t k = 0; k < all.size(); k += words) {
      if (std::bit_cast<double>(all[k + weight]) == 0) continue;
      finite = finite && all[k + overflowed] == 0;
      greatest = counts ? (std::max)(greatest, std::int64_t(all[k + exponent])) : std::int64_t(all[k + exponent]);
      counts = true;
    }
    detail::skip_if_few(roll, report, roll.counted());
    if (!finite) detail::judge_overflow(ranks, report, bad);
    return std::ldexp(sum_.weight(), int(sum_.exponent() - greatest));
  }
  std::span<const T> total() const noexcept { return sum_.total(); }
  void scale(double by) { detail::scale_contribution(sum_.total(), static_cast<T>(by)); }

private:
  client_sum<T> sum_;
};

/// There is one sum, and its mean is rank 0's: reduce(values) leaves the sum over all ranks of integers or bins there.
template <class T, class Reduce>
class meeting_of_sums {
public:
  meeting_of_sums(std::size_t n, double clip, Reduce reduce) : sum_{n, clip}, reduce_{std::move(reduce)} {}

  void begin(control& ranks, const cohort_roll& roll, clients_of_rank own) {
    sum_.begin((std::max)(roll.all().size(), own.size()), detail::agreed_exponent(ranks, own));
  }
  bool add(const weighed_client& one, std::span<const T> received, std::span<const T> trained, double factor) {
    return sum_.add(one.weight, received, trained, factor);
  }
  double meet(control& ranks, cohort_roll& roll, round_report& report, non_finite) {
    using words = std::array<std::uint64_t, sizeof(binned<double>) / sizeof(std::uint64_t)>;
    const auto all = roll.tell(ranks, std::bit_cast<words>(sum_.weight()));
    binned<double> total;
    words of_rank;
    for (std::size_t k = 0; k < all.size(); k += of_rank.size()) {
      std::copy_n(all.begin() + std::ptrdiff_t(k), of_rank.size(), of_rank.begin());
      total.add(std::bit_cast<binned<double>>(of_rank));
    }
    weight_ = total.value();
    detail::skip_if_few(roll, report, roll.counted());
    if (report.skipped.empty() && weight_ == 0) report.skipped = detail::too_light(roll.round());
    if (report.skipped.empty()) {
      sum_.bring_together(reduce_);
      sum_.divide(ranks.rank() == 0 ? weight_ : 0);
    }
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
};

/// All of them meet at rank 0, where `rule` makes one of them: gather(mine, all) brings them there.
template <class T, class Rule, class Gather>
class meeting_of_rows {
public:
  meeting_of_rows(std::size_t n, double clip, const Rule& rule, Gather gather)
      : all_{n, clip, rule}, gather_{std::move(gather)} {}

  void begin(control&, const cohort_roll& roll, clients_of_rank) {
    all_.begin(roll.most_of_a_rank());
    roll_ = &roll;
  }
  bool add(const weighed_client& one, std::span<const T> received, std::span<const T> trained, double factor) {
    return all_.add(roll_->all()[one.place].turn, received, trained, factor);
  }
  double meet(control& ranks, cohort_roll& roll, round_report& report, non_finite) {
    (void)roll.tell(ranks, {});
    rows_.clear(); // a rule stands what is no number; what it makes of them is judged as every gradient is
    for (const attendee& one : roll.all())
      if (one.what.counts() || one.what == fate{absence::not_finite})
        rows_.push_back(std::size_t(one.home) * roll.most_of_a_rank() + one.turn);
    detail::skip_if_few(roll, report, int(rows_.size()), all_.least());
    if (report.skipped.empty()) {
      all_.bring_together(ranks.rank(), ranks.size(), gather_);
      all_.settle(ranks.rank(), rows_, roll.round());
    }
    return ranks.rank() == 0 ? 1 : 0;
  }
  std::span<const T> total() const noexcept { return all_.total(); }
  void scale(double by) { detail::scale_contribution(all_.total(), static_cast<T>(by)); }

private:
  gathered_clients<T, Rule> all_;
  Gather gather_;
  const cohort_roll* roll_ = nullptr;
  std::vector<std::size_t> rows_; ///< of those who came, among the rows of all ranks
};

} // namespace tutti::detail
