// What a privacy_plan is made of, beside its accountant: who takes part, what a client weighs, how long its difference
// may be, and the noise.
//
// A sampler is accounted for by what it says it is:
//
//   static constexpr participation accounted = participation::poisson;     // rate; or everyone, or in_turn: cycle
//
// The plan names its draws by a secret, not by run_options::seed: who can foresee a cohort is not deceived by it.
#pragma once

#include <tutti/core/element.hpp>
#include <tutti/sync/sampling.hpp>

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

namespace tutti {

/// What accountants know of a sampler. unaccounted: nothing. poisson: each client by itself, at `rate`. everyone: the
/// same in every round. in_turn: each once in `cycle` rounds.
enum class participation : std::uint8_t { unaccounted, poisson, everyone, in_turn };

/// Client c in the rounds c + 1, c + 1 + cycle, ...: nobody twice in `cycle` rounds.
struct cyclic_sampling {
  static constexpr participation accounted = participation::in_turn;
  int cycle = 10;

  std::string wrong() const {
    return cycle >= 1 ? ""
                      : "the cycle of cyclic_sampling is less than 1 - give in how many rounds all have their turn";
  }
  template <class Examples>
  std::vector<int> draw(int clients, std::uint64_t, std::uint32_t round, Examples&&) const {
    std::vector<int> drawn;
    for (std::int64_t c = (std::int64_t(round) - 1) % cycle; c < clients; c += cycle) drawn.push_back(int(c));
    return drawn;
  }
};

namespace detail {

template <class Sampler>
inline constexpr participation participation_of = participation::unaccounted;
template <class Sampler>
  requires requires { participation{Sampler::accounted}; }
inline constexpr participation participation_of<Sampler> = Sampler::accounted;
template <>
inline constexpr participation participation_of<poisson_sampling> = participation::poisson;
template <>
inline constexpr participation participation_of<fixed_cohort> = participation::everyone;

template <class Sampler>
double rate_of_sampler(const Sampler& sampler) {
  if constexpr (participation_of<Sampler> == participation::poisson)
    return double(sampler.rate);
  else
    return 1;
}
template <class Sampler>
int cycle_of_sampler(const Sampler& sampler) {
  if constexpr (participation_of<Sampler> == participation::in_turn)
    return int(sampler.cycle);
  else
    return 1;
}
/// How many of so many clients a round has on the average.
template <class Sampler>
double expected_cohort(const Sampler& sampler, int clients) {
  if constexpr (requires { sampler.members.size(); })
    return double(sampler.members.size());
  else
    return clients * detail::rate_of_sampler(sampler) / detail::cycle_of_sampler(sampler);
}

} // namespace detail

/// All clients weigh the same, and the sum is divided by how many are expected: how many came is nobody's business.
struct expected_clients {
  static constexpr bool of_what_is_expected = true;

  std::string wrong() const { return {}; }
  double divisor(double cohort) const { return cohort; }
};
/// A client weighs what it holds, at most `most`, and the sum is divided by the weight that is expected: `each` is what
/// one client holds on the average, a number that is known without asking them.
struct expected_weight {
  static constexpr bool of_what_is_expected = true;
  double each = 1;
  double most = 1;

  std::string wrong() const {
    return each > 0 && is_finite(each) && most > 0 && is_finite(most)
               ? ""
               : "each and most of expected_weight are to be positive numbers - give what a client holds on the "
                 "average, and the most that counts";
  }
  /// At most 1.
  double weight(double examples) const { return (std::min)(examples, most) / most; }
  double divisor(double cohort) const { return cohort * each / most; }
};

namespace detail {

inline std::string wrong_length(double length) {
  return length > 0 && is_finite(length)
             ? ""
             : "the length of the clip is not a positive number - give the greatest length of a client's difference";
}

} // namespace detail

/// The greatest length (L2) of a client's difference, all tensors together; what is longer is scaled down.
struct fixed_clip {
  static constexpr bool adapts = false;
  double length = 1;

  std::string wrong(double /*multiplier*/) const { return detail::wrong_length(length); }
};
/// The same, moved in every round towards the length that a `quantile` of the clients stay below (Andrew, Thakkar,
/// McMahan, Ramaswamy 2021, arXiv 1905.03871): length *= exp(-rate (b - quantile)). b is the share that stayed below,
/// told with noise of `deviation` clients, for which the noise of the differences pays: with a multiplier z of both
/// together, differences have (z^-2 - (2 deviation)^-2)^(-1/2).
struct adaptive_clip {
  static constexpr bool adapts = true;
  double length = .1; ///< of the first round
  double quantile = .5;
  double rate = .2;
  double deviation = 10; ///< a twentieth of the cohort, says the paper

  std::string wrong(double multiplier) const {
    if (std::string why = detail::wrong_length(length); !why.empty()) return why;
    if (!(quantile > 0 && quantile < 1)) return "the quantile of adaptive_clip is not between 0 and 1";
    if (!(rate > 0) || !is_finite(rate)) return "the rate of adaptive_clip is not a positive number";
    if (!(2 * deviation > multiplier) || !is_finite(deviation))
      return "the deviation of adaptive_clip is at most half of the multiplier of the noise, so the share alone spends "
             "more than all - give a twentieth of the cohort";
    return {};
  }
  /// Of the noise that differences have, where both together are to have `multiplier`.
  double of_differences(double multiplier) const {
    return 1 / std::sqrt(1 / (multiplier * multiplier) - 1 / (4 * deviation * deviation));
  }
  /// The length after a round in which that share of the clients stayed below.
  double next(double now, double share) const {
    return (std::clamp)(now * std::exp(-rate * (share - quantile)), 1e-30, 1e30);
  }
};

namespace detail {

inline std::string wrong_multiplier(double multiplier) {
  return multiplier > 0 && multiplier <= 1e6
             ? ""
             : "the multiplier of the noise is not a positive number of at most 10^6 - give its deviation over the length "
               "of the clip, see tutti::noise_multiplier_for";
}

} // namespace detail

/// Normal noise of deviation multiplier times clip in every element of the sum, of each round by itself. Where it is
/// added the sum is a whole number of grid steps, 2^-24 of the clip or less, and noise is rounded to these: so what
/// comes out says nothing of the last bits of what went in. The normal numbers behind it are computed in double, not
/// exactly (federated/privacy/secret_stream.hpp); a generator of exact discrete noise this is not.
struct gaussian_noise {
  static constexpr bool correlates = false;
  double multiplier = 1;

  std::string wrong() const { return detail::wrong_multiplier(multiplier); }
};
/// Noise of which every round takes some of the last rounds' back: that of a round is the sum over j < width of d_j
/// times the normal noise of j rounds ago, d_j being the coefficients of (1 - x)^(1/2), so that what adds up over the
/// rounds has far less of it: DP-FTRL (Kairouz et al. 2021, arXiv 2103.00039) with the banded inverse square root
/// (Kalinin, McKenna, Upadhyay, Lampert 2025, arXiv 2505.12128). Earlier noise is not kept, but made again. All rounds
/// together are one release, of which a client's part is as long as the sum of columns, `cycle` apart, of the inverse.
/// A run that is resumed begins anew, and pays for both.
struct correlated_noise {
  static constexpr bool correlates = true;
  double multiplier = 1;
  int width = 8;

  /// d_j.
  static double of_round_before(int rounds) {
    double d = 1;
    for (int j = 1; j <= rounds; ++j) d *= (j - 1.5) / j;
    return d;
  }
  std::string wrong() const {
    return width >= 2 ? detail::wrong_multiplier(multiplier)
                      : "the width of correlated_noise is less than 2 - use tutti::gaussian_noise";
  }
};

/// For tests alone: the key of all noise and draws is a number that everybody knows, so nothing is private.
template <class Noise>
struct seeded_in_tests {
  static constexpr bool correlates = Noise::correlates;
  Noise noise;
  std::uint64_t seed = 1;
};

namespace detail {

template <class Noise>
const Noise& plain_noise(const Noise& noise) {
  return noise;
}
template <class Noise>
const Noise& plain_noise(const seeded_in_tests<Noise>& noise) {
  return noise.noise;
}

} // namespace detail
} // namespace tutti
