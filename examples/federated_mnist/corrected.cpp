// Clients keep something from round to round: SCAFFOLD, FedDyn.
#include "run.hpp"

namespace federated_mnist {

tutti::federated_report corrected(world_type& world, const settings& s, const models::digits& data) {
  if (s.rule == "scaffold")
    return run_rounds(tutti::strategy{world, tutti::star{}, tutti::weighted_mean{}, policy<tutti::scaffold>(s, 1)},
                      world, s, data);
  auto sync = policy<tutti::fed_dyn>(s, 1);
  sync.proximal = s.mu;
  return run_rounds(tutti::strategy{world, tutti::star{}, tutti::mean{}, sync}, world, s, data);
}

} // namespace federated_mnist
