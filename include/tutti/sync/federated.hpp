// federated: rounds over a population of clients whose data stays where it is.
#pragma once

#include <tutti/optimizers/sgd.hpp>
#include <tutti/sync/sync_policy.hpp>

namespace tutti {

/// Federated averaging (McMahan et al. 2017, arXiv 1602.05629, algorithm 1). In each round a cohort of
/// max(1, fraction * clients) clients is drawn, the same on all ranks; each trains `epochs` epochs from
/// the current parameters on its own data; the mean of the differences, sent out minus trained, weighted by
/// their numbers of examples with `weighted_mean`, is the gradient of a step of `outer`. With a rate of 1 the
/// parameters become the mean of the clients'; a momentum of .9 makes it FedAvgM (Hsu et al. 2019,
/// arXiv 1909.06335).
struct federated {
  using part = sync_part;
  static constexpr determinism repeats = determinism::run_to_run;
  static constexpr bool over_population = true;

  double fraction = 0.1;
  int epochs = 1;
  sgd outer = {.learning_rate = 1};

  /// The size of the cohort that is drawn from `clients`.
  constexpr int cohort(int clients) const noexcept {
    const int wanted = static_cast<int>(fraction * clients + 0.5);
    return wanted < 1 ? 1 : wanted > clients ? clients : wanted;
  }
};

} // namespace tutti
