// What a single client sends is hidden: by noise with a privacy that is accounted for, or from the server by masks.
#include "run.hpp"

#include <tutti/federated/accountants/noise_for.hpp>
#include <tutti/federated/privacy/plan.hpp>
#include <tutti/federated/secure/secure_sum.hpp>

namespace federated_mnist {

tutti::federated_report hidden(world_type& world, const settings& s, const models::digits& data) {
  if (s.secure)
    return run_rounds(tutti::strategy{world, tutti::star{}, tutti::secure_sum{}, plain_policy(s)}, world, s, data);
  const double multiplier = tutti::noise_multiplier_for(
      {.epsilon = s.epsilon, .delta = s.delta, .rate = s.fraction, .times = s.rounds});
  const tutti::privacy_plan privacy{tutti::poisson_sampling{.rate = s.fraction}, tutti::expected_clients{},
                                    tutti::fixed_clip{.length = s.clip},
                                    tutti::gaussian_noise{.multiplier = multiplier}, tutti::renyi_accountant{},
                                    s.delta};
  auto sync = plain_policy(s);
  sync.clip = 0; // the plan's
  return run_rounds(tutti::strategy{world, tutti::star{}, privacy, sync}, world, s, data);
}

} // namespace federated_mnist
