// privacy_history: what rounds have let out so far, as accountants want it, and as checkpoints keep it.
#pragma once

#include <tutti/core/archive.hpp>
#include <tutti/core/error.hpp>
#include <tutti/federated/accountants/release.hpp>
#include <tutti/federated/privacy/parts.hpp>

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

namespace tutti::detail {

/// Rounds alike, one after the other.
struct private_rounds {
  participation drawn = participation::everyone;
  double rate = 1, multiplier = 1;
  std::int64_t cycle = 1;
  std::int64_t bands = 1; ///< 1 where the noise of a round is its own
  std::int64_t rounds = 0;

  bool alike(const private_rounds& other) const {
    return drawn == other.drawn && rate == other.rate && multiplier == other.multiplier && cycle == other.cycle &&
           bands == other.bands;
  }
  noisy_release released() const {
    if (bands == 1) return {rate, multiplier, (rounds + cycle - 1) / cycle};
    return {1, multiplier / std::sqrt(squared_part()), rounds > 0};
  }

  /// How long the part of one client is that takes part every `cycle` rounds, squared, over its length in one: the
  /// sum of the columns 0, cycle, 2 cycle, ... of the inverse C of the noise's matrix, which is the longest of all as
  /// the elements of a column fall (Kalinin, Lampert 2024, arXiv 2405.13763, theorem 2).
  double squared_part() const {
    std::vector<double> d, column, sum;
    for (int j = 0; j < bands; ++j) d.push_back(correlated_noise::of_round_before(j));
    double squares = 0;
    for (std::int64_t t = 0; t < rounds; ++t) {
      double c = t == 0 ? 1 : 0;
      for (std::int64_t j = 1; j < bands && j <= t; ++j) c -= d[std::size_t(j)] * column[std::size_t(t - j)];
      column.push_back(c);
      sum.push_back(t < cycle ? c : c + sum[std::size_t(t - cycle)]);
      squares += sum.back() * sum.back();
    }
    return squares;
  }
};

class privacy_history {
public:
  /// One more round; `anew` where its noise has nothing to do with that of the rounds before.
  void charge(private_rounds one, bool anew) {
    one.rounds = 0;
    if (count_ == 0 || !kinds_[count_ - 1].alike(one) || (anew && one.bands > 1)) {
      kinds_.resize(count_);
      kinds_.push_back(one);
      ++count_;
    }
    ++kinds_[count_ - 1].rounds;
  }
  std::vector<noisy_release> released() const {
    std::vector<noisy_release> all;
    for (std::size_t k = 0; k < count_; ++k) all.push_back(kinds_[k].released());
    return all;
  }

  /// Throws `mismatch` where what is loaded was drawn by another kind of sampler than `drawn`, and bad_data where it
  /// cannot have been saved.
  void state(archive& to, participation drawn) {
    const auto refuse = [](error_code code, const char* why) {
      throw error{{.code = code, .call = "load", .detail = why}};
    };
    auto count = std::int64_t(count_);
    to.number("privacy.kinds", count);
    if (count < 0 || count > 1 << 20) refuse(error_code::bad_data, "privacy was spent on rounds of no number of kinds");
    count_ = std::size_t(count);
    if (kinds_.size() < count_) kinds_.resize(count_); // no fewer: a visit may be taken back
    for (std::size_t k = 0; k < count_; ++k) {
      const std::string of = " of " + std::to_string(k);
      private_rounds& one = kinds_[k];
      auto kind = std::int64_t(one.drawn);
      to.number("privacy.drawn" + of, kind);
      to.number("privacy.rate" + of, one.rate);
      to.number("privacy.multiplier" + of, one.multiplier);
      to.number("privacy.cycle" + of, one.cycle);
      to.number("privacy.bands" + of, one.bands);
      to.number("privacy.rounds" + of, one.rounds);
      if (kind != std::int64_t(drawn))
        refuse(error_code::mismatch, "privacy was spent under another kind of sampler - go on with the one that it was "
                                     "saved with");
      one.drawn = drawn;
      if (!(one.rate >= 0 && one.rate <= 1 && one.multiplier > 0 && one.cycle > 0 && one.bands > 0 && one.rounds >= 0))
        refuse(error_code::bad_data, "privacy was spent on rounds that cannot have been");
    }
  }

private:
  std::vector<private_rounds> kinds_;
  std::size_t count_ = 0; ///< of kinds
};

} // namespace tutti::detail
