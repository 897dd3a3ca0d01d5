// Clients are averaged, weighted by their images: FedAvg, FedSGD, FedProx, FedAvgM, FedNova.
#include "run.hpp"

namespace federated_mnist {

tutti::federated_report averaged(world_type& world, const settings& s, const models::digits& data) {
  return run_rounds(tutti::strategy{world, tutti::star{}, tutti::weighted_mean{}, plain_policy(s)}, world, s, data);
}

} // namespace federated_mnist
