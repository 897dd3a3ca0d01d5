// Privacy plans whose accounting would not be right, and what does not go beside one.
#include <tutti/federated/accountants/privacy_loss.hpp>
#include <tutti/federated/privacy/plan.hpp>
#include <tutti/tutti.hpp>

namespace {

const tutti::poisson_sampling drawn{};
const tutti::expected_clients alike{};
const tutti::fixed_clip clip{};
const tutti::gaussian_noise noise{};
const tutti::renyi_accountant renyi{};
const tutti::privacy_loss_accountant losses{};

struct own_sampler {
  static constexpr auto accounted = tutti::participation::everyone;
};

} // namespace

void plans() {
  using tutti::privacy_plan;
  // REJECT fixed_size: tutti::privacy_plan: no accountant knows what cohorts of this sampler leak - use tutti::poisson_sampling
  // REJECT by_weight: tutti::privacy_plan: no accountant knows what cohorts of this sampler leak
  // REJECT truncated: tutti::privacy_plan: no accountant knows what cohorts of this sampler leak
  // REJECT realised: tutti::privacy_plan: who divides by what has come tells how many came - use tutti::expected_clients
  // REJECT unclipped: tutti::privacy_plan: noise hides a difference that has a greatest length - use tutti::fixed_clip
  // REJECT no_noise: tutti::privacy_plan: this is no noise - use tutti::gaussian_noise
  // REJECT no_accountant: tutti::privacy_plan: this is no accountant - use tutti::renyi_accountant
  // REJECT correlated_poisson: tutti::privacy_plan: noise that rounds take back hides who takes part seldom
  // REJECT correlated_adaptive: tutti::privacy_plan: noise that rounds take back has the scale of one clip
#if defined REJECT_fixed_size
  privacy_plan plan{tutti::by_fraction{}, alike, clip, noise, renyi, 1e-5};
#elif defined REJECT_by_weight
  privacy_plan plan{tutti::weighted_sampling{}, alike, clip, noise, renyi, 1e-5};
#elif defined REJECT_truncated
  privacy_plan plan{tutti::truncated_poisson_sampling{}, alike, clip, noise, renyi, 1e-5};
#elif defined REJECT_realised
  privacy_plan plan{drawn, tutti::weighted_mean{}, clip, noise, renyi, 1e-5};
#elif defined REJECT_unclipped
  privacy_plan plan{drawn, alike, 1.0, noise, renyi, 1e-5};
#elif defined REJECT_no_noise
  privacy_plan plan{drawn, alike, clip, 1.0, renyi, 1e-5};
#elif defined REJECT_no_accountant
  privacy_plan plan{drawn, alike, clip, noise, 1.0, 1e-5};
#elif defined REJECT_correlated_poisson
  privacy_plan plan{drawn, alike, clip, tutti::correlated_noise{}, renyi, 1e-5};
#elif defined REJECT_correlated_adaptive
  privacy_plan plan{tutti::cyclic_sampling{}, alike, tutti::adaptive_clip{}, tutti::correlated_noise{}, renyi, 1e-5};
#else
  privacy_plan by_rate{drawn, alike, clip, noise, renyi, 1e-5};
  privacy_plan by_losses{drawn, tutti::expected_weight{}, tutti::adaptive_clip{}, noise, losses, 1e-5};
  privacy_plan in_turn{tutti::cyclic_sampling{}, alike, clip, tutti::correlated_noise{}, renyi, 1e-5};
  privacy_plan of_silos{tutti::fixed_cohort{{0, 1}}, alike, clip, tutti::correlated_noise{}, losses, 1e-5};
  privacy_plan of_own{own_sampler{}, alike, clip, noise, renyi, 1e-5};
#endif
}

void strategies(tutti::self& comm) {
  using tutti::strategy;
  const tutti::privacy_plan plan{drawn, alike, clip, noise, renyi, 1e-5};
  // REJECT twice: tutti::strategy: two privacy plans were given - keep one
  // REJECT of_steps: tutti::strategy: a privacy plan is about the clients of federated rounds - add tutti::federated
  // REJECT beside_reducer: tutti::strategy: a privacy plan says what a client weighs .* - leave the reducer out
  // REJECT beside_sampler: tutti::strategy: a privacy plan says who takes part - leave the sampler out of the sync policy
  // REJECT beside_scaffold: tutti::strategy: what clients keep for their corrections is told without noise
  // REJECT repeatable: tutti::strategy: more determinism is asked for than these parts promise
#if defined REJECT_twice
  strategy both{comm, tutti::federated{}, plan, plan};
#elif defined REJECT_of_steps
  strategy steps{comm, tutti::synchronous{}, plan};
#elif defined REJECT_beside_reducer
  strategy weighed{comm, tutti::federated{}, tutti::weighted_mean{}, plan};
#elif defined REJECT_beside_sampler
  strategy sampled{comm, tutti::federated_by<tutti::sgd, tutti::poisson_sampling>{}, plan};
#elif defined REJECT_beside_scaffold
  strategy corrected{comm, tutti::scaffold{}, plan};
#elif defined REJECT_repeatable
  strategy repeated{comm, tutti::federated{}, plan, tutti::at_least<tutti::determinism::run_to_run>{}};
#else
  strategy rounds{comm, tutti::federated{}, plan};
  strategy with_momentum{comm, tutti::federated_by<tutti::fed_adam>{}, plan};
#endif
}
