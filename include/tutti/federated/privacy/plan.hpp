// privacy_plan: client-level differential privacy of federated rounds, as a part of the strategy.
//
//   tutti::privacy_plan privacy{tutti::poisson_sampling{.rate = .01}, tutti::expected_clients{},
//                               tutti::fixed_clip{.length = 1}, tutti::gaussian_noise{.multiplier = .8},
//                               tutti::renyi_accountant{}, 1e-5};
//   tutti::strategy strategy{world, tutti::federated{.epochs = 1}, privacy};
//
// That is DP-FedAvg (McMahan, Ramage, Talwar, Zhang 2018, arXiv 1710.06963): each client's difference is clipped, the
// sum has normal noise, and is divided by what is expected. It is released to whoever sees the parameters; ranks are
// trusted, and what a round reports - who took part, how many, metrics - is for those who run it. Neighbours differ in
// one client with all of its examples; how many clients there are is no secret.
//
// Needs libsodium (CMake: tutti::privacy), and is not in <tutti/tutti.hpp>.
#pragma once

#include <tutti/core/part.hpp>
#include <tutti/federated/accountants/release.hpp>
#include <tutti/federated/accountants/renyi.hpp>
#include <tutti/federated/privacy/history.hpp>
#include <tutti/federated/privacy/parts.hpp>
#include <tutti/federated/privacy/private_meeting.hpp>
#include <tutti/federated/privacy/secret_stream.hpp>

#include <concepts>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <type_traits>
#include <utility>

namespace tutti {
namespace detail {

/// Facts, then sentences about them.
template <class Sampler, class Normaliser, class Clip, class Noise, class Accountant>
struct privacy_checks {
  static constexpr bool draws = participation_of<Sampler> != participation::unaccounted;
  static constexpr bool divides = requires { requires bool(Normaliser::of_what_is_expected); };
  static constexpr bool clips = requires(const Clip clip) {
    bool(Clip::adapts);
    { clip.length } -> std::convertible_to<double>;
  };
  static constexpr bool hides = requires { bool(Noise::correlates); };
  static constexpr bool accounts = requires(const Accountant a, std::span<const noisy_release> all) {
    { a.epsilon(all, .5) } -> std::convertible_to<double>;
    { a.wrong() } -> std::convertible_to<std::string>;
  };
  static constexpr bool correlates = [] {
    if constexpr (hides) return bool(Noise::correlates);
    return false;
  }();
  static constexpr bool adapts = [] {
    if constexpr (clips) return bool(Clip::adapts);
    return false;
  }();
  static constexpr bool apart = !correlates || participation_of<Sampler> != participation::poisson;
  static constexpr bool of_one_scale = !correlates || !adapts;
};
template <class Sampler, class Normaliser, class Clip, class Noise, class Accountant>
struct privacy_sentences {
  using facts = privacy_checks<Sampler, Normaliser, Clip, Noise, Accountant>;
  static_assert(facts::draws, "tutti::privacy_plan: no accountant knows what cohorts of this sampler leak - use "
                              "tutti::poisson_sampling, tutti::cyclic_sampling or tutti::fixed_cohort, or let your own "
                              "say what it is: accounted = tutti::participation::poisson, everyone or in_turn");
  static_assert(facts::divides, "tutti::privacy_plan: who divides by what has come tells how many came - use "
                                "tutti::expected_clients or tutti::expected_weight");
  static_assert(facts::clips, "tutti::privacy_plan: noise hides a difference that has a greatest length - use "
                              "tutti::fixed_clip or tutti::adaptive_clip");
  static_assert(facts::hides, "tutti::privacy_plan: this is no noise - use tutti::gaussian_noise or "
                              "tutti::correlated_noise");
  static_assert(facts::accounts, "tutti::privacy_plan: this is no accountant - use tutti::renyi_accountant or "
                                 "tutti::privacy_loss_accountant");
  static_assert(facts::apart, "tutti::privacy_plan: noise that rounds take back hides who takes part seldom, and a "
                              "Poisson sampler sets no bound to that - use tutti::cyclic_sampling or "
                              "tutti::fixed_cohort, or tutti::gaussian_noise");
  static_assert(facts::of_one_scale, "tutti::privacy_plan: noise that rounds take back has the scale of one clip for "
                                     "all of them - use tutti::fixed_clip, or tutti::gaussian_noise");
};

} // namespace detail

template <class Sampler, class Normaliser, class Clip, class Noise, class Accountant = renyi_accountant>
class privacy_plan : detail::privacy_sentences<Sampler, Normaliser, Clip, Noise, Accountant> {
public:
  using part = privacy_part;
  using clip_type = Clip;
  using noise_type = Noise;
  static constexpr participation drawn = detail::participation_of<Sampler>;

  /// Numbers are looked at when the rounds begin, on every rank.
  privacy_plan(Sampler sampler, Normaliser normaliser, Clip clip, Noise noise, Accountant accountant, double delta)
      : sampler_{std::move(sampler)}, normaliser_{std::move(normaliser)}, clip_{std::move(clip)},
        noise_{std::move(noise)}, accountant_{std::move(accountant)}, delta_{delta} {}

  const Sampler& sampler() const noexcept { return sampler_; }
  const Normaliser& normaliser() const noexcept { return normaliser_; }
  const Clip& clip() const noexcept { return clip_; }
  const Noise& noise() const noexcept { return noise_; }
  const Accountant& accountant() const noexcept { return accountant_; }
  double delta() const noexcept { return delta_; }

  /// What so many rounds will have spent.
  double epsilon(std::int64_t rounds) const {
    detail::private_rounds all = one_round();
    all.rounds = rounds;
    const noisy_release released = all.released();
    return epsilon(std::span{&released, 1});
  }
  double epsilon(std::span<const noisy_release> released) const { return accountant_.epsilon(released, delta_); }

  /// For strategies: what is wrong with its numbers; empty when nothing is.
  std::string wrong(int clients) const {
    const auto& noise = detail::plain_noise(noise_);
    if constexpr (requires { sampler_.wrong(); })
      if (std::string why = sampler_.wrong(); !why.empty()) return why;
    for (std::string why : {normaliser_.wrong(), noise.wrong(), clip_.wrong(noise.multiplier), accountant_.wrong()})
      if (!why.empty()) return why;
    if (!(detail::expected_cohort(sampler_, clients) > 0))
      return "the sampler of the privacy plan expects nobody, and the sum is divided by who is expected";
    if (!(delta_ > 0 && delta_ < 1))
      return "the delta of the privacy plan is not between 0 and 1 - give less than one over the number of clients";
    return {};
  }
  /// For strategies: of n values, reduce(values) adding up those of all ranks at rank 0.
  template <class T, class Reduce>
  auto meeting(std::size_t n, int clients, Reduce reduce) const {
    return detail::private_meeting<T, privacy_plan, Reduce>{n, clients, *this, std::move(reduce)};
  }
  /// For strategies: what ranks must agree on.
  template <class Numbers>
  void compare(Numbers& numbers) const {
    numbers.add(sampler_), numbers.add(normaliser_), numbers.add(clip_), numbers.add(detail::plain_noise(noise_));
    numbers.add(accountant_), numbers.add(delta_);
  }

  detail::private_rounds one_round() const {
    const auto& noise = detail::plain_noise(noise_);
    detail::private_rounds out{.drawn = drawn,
                               .rate = detail::rate_of_sampler(sampler_),
                               .multiplier = noise.multiplier,
                               .cycle = detail::cycle_of_sampler(sampler_)};
    if constexpr (Noise::correlates) out.bands = noise.width;
    return out;
  }
  detail::secret_stream stream() const {
    if constexpr (requires { noise_.seed; })
      return detail::secret_stream{noise_.seed};
    else
      return {};
  }

private:
  Sampler sampler_;
  Normaliser normaliser_;
  Clip clip_;
  Noise noise_;
  Accountant accountant_;
  double delta_;
};

} // namespace tutti
