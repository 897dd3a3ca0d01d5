// q_fair: rounds in which clients with greater losses are heard louder.
#pragma once

#include <tutti/sync/federated.hpp>

#include <tuple>

namespace tutti {

/// q-FedAvg (Li, Sanjabi, Beirami, Smith 2020, "Fair resource allocation in federated learning", arXiv 1905.10497,
/// algorithm 2): with F_k the loss of client k at what was sent out, which the population says by local.tell_loss,
/// D_k what was sent out minus trained, and L the inverse of the clients' rate, the gradient of the step of `outer` is
///
///     sum_k p_k F_k^q L D_k / sum_k p_k (q F_k^(q-1) |L D_k|^2 + L F_k^q)
///
/// p_k being what clients weigh. With q = 0 it is federated; the greater q, the more alike the clients' losses become.
/// A loss counts as 1e-10 at least; a client whose loss is negative, no number, or more than 1e30 to the power of q is
/// malformed. For clients that descend by plain steps, without a clip, and not with rules that compare clients, privacy
/// plans and secure sums: tutti::q_fair{{.fraction = .1}, 2}.
template <class Outer = sgd, class Sampler = by_fraction>
struct q_fair_by : federated_by<Outer, Sampler> {
  double q = 1;

  auto compared() const { return std::tuple_cat(detail::numbers_of_rounds(*this), std::tie(q)); }
};
using q_fair = q_fair_by<>;

} // namespace tutti
