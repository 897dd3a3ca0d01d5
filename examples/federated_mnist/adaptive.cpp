// The server steps by an adaptive optimizer: FedAdagrad, FedAdam, FedYogi.
#include "run.hpp"

namespace federated_mnist {

namespace {

template <class Outer>
tutti::federated_report by(world_type& world, const settings& s, const models::digits& data) {
  const auto sync = policy<tutti::federated_by<Outer>>(s, .01);
  return run_rounds(tutti::strategy{world, tutti::star{}, tutti::weighted_mean{}, sync}, world, s, data);
}

} // namespace

tutti::federated_report adaptive(world_type& world, const settings& s, const models::digits& data) {
  if (s.rule == "fed_adagrad") return by<tutti::fed_adagrad>(world, s, data);
  if (s.rule == "fed_adam") return by<tutti::fed_adam>(world, s, data);
  return by<tutti::fed_yogi>(world, s, data);
}

} // namespace federated_mnist
