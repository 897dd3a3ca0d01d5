// private_meeting: the clients of all ranks become one noisy mean, and what that spends is counted.
#pragma once

#include <tutti/carriers/control.hpp>
#include <tutti/core/element.hpp>
#include <tutti/core/exact_arithmetic.hpp>
#include <tutti/federated/exact_client_sum.hpp>
#include <tutti/federated/meetings.hpp>
#include <tutti/federated/privacy/history.hpp>
#include <tutti/federated/privacy/secret_stream.hpp>
#include <tutti/federated/round_report.hpp>
#include <tutti/reducers/distances.hpp>
#include <tutti/training/options.hpp>
#include <tutti/training/resuming.hpp>

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <span>
#include <utility>
#include <vector>

namespace tutti::detail {

/// As meeting_of_sums, with differences clipped, added as whole numbers, and noise that rank 0 adds to the sum: once,
/// however many ranks there are. The sum is divided by what is expected, not by what came, and no round is left out: in
/// one without clients there is noise alone. A client that sends no numbers counts as one that was not drawn, and is
/// named. `Plan` is a privacy_plan, which outlives it. Memory: three times a float model, at rank 0 a few values more.
template <class T, class Plan, class Reduce>
class private_meeting final : public kept_by_trainer {
  static constexpr bool adapts = Plan::clip_type::adapts;

public:
  private_meeting(std::size_t n, int clients, const Plan& plan, Reduce reduce)
      : plan_{plan}, clients_{clients}, length_{plan.clip().length}, sums_(n), total_(n), reduce_{std::move(reduce)},
        secret_{plan.stream()} {}

  /// Collective: who takes part, named by a secret of rank 0.
  template <class Examples>
  std::vector<int> drawn(control& ranks, int clients, std::uint32_t round, Examples&& examples) {
    if (std::exchange(anew_, false)) since_ = 0;
    std::uint64_t words[2] = {};
    secret_.words(name_of(draws, round), 0, words);
    if (since_ > 0) words[1] = std::uint64_t(noise_);
    ranks.broadcast(std::as_writable_bytes(std::span{words}), 0);
    noise_ = std::int64_t(words[1]);
    return plan_.sampler().draw(clients, words[0], round, examples);
  }
  /// Of a client with so many examples.
  double weight_of(double examples) const
    requires requires(const Plan& plan) { plan.normaliser().weight(1.0); }
  {
    return plan_.normaliser().weight(examples);
  }

  void begin(control&, const cohort_roll&, clients_of_rank) {
    std::fill(sums_.begin(), sums_.end(), 0);
    more_below_ = 0;
    // Beside it no difference and no noise has 51 bits, and 2^27 clients have not 63.
    unit_ = std::ilogb(length_ * (std::min)(1.0, (std::max)(noise_of_differences(), 0x1p-10))) - 24;
  }
  bool add(const weighed_client& one, std::span<const T> received, std::span<const T> trained, double /*factor*/) {
    const exact_mode held;
    const double length = std::sqrt(detail::squared_distance(received.data(), trained.data(), received.size()));
    if (!is_finite(length)) return false;
    const double kept = one.weight * (length > length_ ? length_ / length : 1);
    more_below_ += length > length_ ? -1 : 1;
    const auto add_all = [&](auto difference) {
      fixed_point::of_unit(unit_).add(difference, kept, sums_.data(), sums_.size());
    };
    if (trained.empty())
      add_all([&](std::size_t i) { return double(received[i]); });
    else
      add_all([&](std::size_t i) { return double(received[i]) - double(trained[i]); });
    return true;
  }

  double meet(control& ranks, cohort_roll& roll, round_report& report, non_finite) {
    const exact_mode held;
    const std::uint64_t mine[] = {std::uint64_t(more_below_)};
    std::int64_t more_below = 0;
    for (const std::uint64_t of_rank : roll.tell(ranks, mine)) more_below += std::int64_t(of_rank);
    reduce_(std::span{sums_});
    history_.charge(plan_.one_round(), since_++ == 0);
    report.clip = length_;
    double told[2] = {};
    if (ranks.rank() == 0) {
      release(std::uint32_t(report.round));
      told[0] = next_length(std::uint32_t(report.round), more_below);
      told[1] = plan_.epsilon(history_.released());
    }
    ranks.broadcast(std::as_writable_bytes(std::span{told}), 0);
    length_ = told[0];
    report.epsilon = told[1];
    return ranks.rank() == 0 ? 1 : 0;
  }
  std::span<const T> total() const noexcept { return total_; }
  void scale(double by) { detail::scale_contribution(std::span{total_}, static_cast<T>(by)); }

  void state(archive& to) override {
    const auto before = std::pair{noise_, since_};
    history_.state(to, Plan::drawn);
    to.number("privacy.clip", length_);
    to.number("privacy.noise", noise_);
    to.number("privacy.rounds of this noise", since_);
    if (std::pair{noise_, since_} == before) return;
    secret_.rekey(); // what others know, or is released twice, hides nothing
    anew_ = true;
  }

private:
  enum use : std::uint64_t { differences, shares, draws };
  static std::uint64_t name_of(use what, std::uint32_t round) { return std::uint64_t(what) << 32 | round; }

  double expected() const { return detail::expected_cohort(plan_.sampler(), clients_); }
  double noise_of_differences() const {
    const double both = detail::plain_noise(plan_.noise()).multiplier;
    if constexpr (adapts)
      return plan_.clip().of_differences(both);
    else
      return both;
  }

  /// Noise on the sum of all ranks, and the mean of it. A difference is rounded to whole steps element by element, so
  /// that it may be up to half a step times the root of their number longer than the clip.
  void release(std::uint32_t round) {
    const double steps = length_ / std::ldexp(1.0, unit_) + std::sqrt(double(sums_.size()));
    const double deviation = noise_of_differences() * steps;
    const double scale = std::ldexp(1.0, unit_) / plan_.normaliser().divisor(expected());
    double noise[1024];
    for (std::size_t begin = 0; begin < sums_.size(); begin += std::size(noise)) {
      const std::span<double> here{noise, (std::min)(std::size(noise), sums_.size() - begin)};
      std::fill(here.begin(), here.end(), 0.0);
      for (std::uint32_t j = 0; j < bands() && j < since_; ++j)
        secret_.add_normals(name_of(differences, round - j), begin, deviation * correlated_noise::of_round_before(int(j)),
                            here);
      for (std::size_t i = 0; i < here.size(); ++i)
        total_[begin + i] = static_cast<T>(double(sums_[begin + i] + std::llround(here[i])) * scale);
    }
  }
  std::uint32_t bands() const { return std::uint32_t(plan_.one_round().bands); }
  double next_length(std::uint32_t round, std::int64_t more_below) const {
    if constexpr (adapts) {
      double noise[1] = {};
      secret_.add_normals(name_of(shares, round), 0, plan_.clip().deviation, noise);
      return plan_.clip().next(length_, .5 + (.5 * double(more_below) + noise[0]) / expected());
    } else {
      return length_;
    }
  }

  const Plan& plan_;
  int clients_;
  double length_; ///< of the clip
  int unit_ = 0;  ///< a step of the grid is 2 to that
  std::vector<std::int64_t> sums_; ///< in steps
  std::vector<T> total_;
  Reduce reduce_;
  secret_stream secret_; ///< of rank 0; of others nothing is asked
  privacy_history history_;
  std::int64_t noise_ = 0, since_ = 0; ///< which noise this is, and for how many rounds
  bool anew_ = false;                  ///< with another noise
  std::int64_t more_below_ = 0;        ///< of this rank: clients below the clip minus those above
};

} // namespace tutti::detail
