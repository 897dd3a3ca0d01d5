// rounds_plan: what rounds over a population are made of, and what is wrong with it.
#pragma once

#include <tutti/core/element.hpp>
#include <tutti/core/tensor.hpp>
#include <tutti/federated/calling.hpp>
#include <tutti/federated/kept_by_clients.hpp>
#include <tutti/optimizers/optimizer.hpp>
#include <tutti/sync/attendance.hpp>
#include <tutti/sync/correcting.hpp>
#include <tutti/training/options.hpp>

#include <cstdint>
#include <string>
#include <type_traits>
#include <vector>

namespace tutti {

struct run_options {
  int rounds = 100;       ///< at most; of strategy::run
  std::uint64_t seed = 1; ///< names every draw of the run
};

namespace detail {

/// By what clients descend, beside the optimizer of the trainer.
template <class Optimizer>
struct of_clients {
  Optimizer optimizer;
  std::vector<parameter_group> groups;
};

/// The length to which a policy has the differences of clients clipped, 0 for none.
template <class Sync>
double clip_of(const Sync& sync) {
  if constexpr (requires { double(sync.clip); })
    return double(sync.clip);
  else
    return 0;
}

/// FedProx's mu, 0 for none; and whether differences count per step.
template <class Sync>
double proximal_of(const Sync& sync) {
  if constexpr (requires { double(sync.proximal); })
    return double(sync.proximal);
  else
    return 0;
}
/// The power of its loss by which a client counts, 0 for all alike.
template <class Sync>
double fairness_of(const Sync& sync) {
  if constexpr (requires { double(sync.q); })
    return double(sync.q);
  else
    return 0;
}
template <class Sync>
bool normalizes(const Sync& sync) {
  if constexpr (requires { bool(sync.normalized); })
    return bool(sync.normalized);
  else
    return false;
}

/// What clients of a policy keep from round to round.
template <class Sync>
keeping keeping_of(const Sync& sync) {
  return {keeps_of<Sync>, detail::begins_with_gradient(sync), detail::proximal_of(sync)};
}

/// What stands for a privacy plan where none is given.
struct no_privacy {};
template <class Privacy>
inline constexpr bool is_private = !std::is_same_v<Privacy, no_privacy>;

/// What is wrong with a privacy plan, and with what a policy says beside it.
template <class Privacy, class Sync>
std::string wrong_privacy(const Privacy& privacy, const Sync& sync, int clients) {
  if constexpr (is_private<Privacy>) {
    if (detail::clip_of(sync) > 0)
      return "the clip of the sync policy is given beside a privacy plan, which has one - leave it out";
    if (detail::normalizes(sync))
      return "the sync policy counts differences per step, and a privacy plan hides no numbers of steps - leave "
             "normalized out";
    if (const attendance stands = detail::attendance_of(sync); stands.over_select > 1 || stands.least > 1)
      return "a privacy plan says who is asked, and skips no round - leave over_select and least of attendance out";
    return privacy.wrong(clients);
  }
  return {};
}

/// What is wrong with a policy's own numbers, whoever the clients are; empty when nothing is.
template <class Sync>
std::string wrong_policy(const Sync& sync) {
  if (sync.epochs < 0) return "the sync policy asks for a negative number of epochs";
  if constexpr (requires { double(sync.fraction); })
    if (!(double(sync.fraction) >= 0) || !is_finite(double(sync.fraction)))
      return "the fraction of the sync policy is negative or not finite - give the share of the clients that a round "
             "draws";
  if (const double pull = detail::proximal_of(sync); !(pull >= 0) || !is_finite(pull))
    return "proximal of the sync policy is negative or not finite - give FedProx's mu, or 0 for none";
  if (const double q = detail::fairness_of(sync); !(q >= 0) || !is_finite(q))
    return "q of the sync policy is negative or not finite - give 0 for federated averaging, or more";
  if (const double clip = detail::clip_of(sync); !(clip >= 0) || !is_finite(clip))
    return "the clip of the sync policy is negative or not finite - give the greatest length of a client's difference, "
           "or 0 for none";
  if constexpr (requires { double(sync.outer.tau); })
    if (!(double(sync.outer.tau) > 0) || !is_finite(double(sync.outer.tau)))
      return "tau of the outer optimizer is not a positive number - give what is added to the root, such as .001";
  if (!is_finite(double(sync.outer.learning_rate))) return "the outer learning rate of the sync policy is not finite";
  if (std::string wrong = detail::wrong_optimizer(sync.outer); !wrong.empty())
    return "the outer optimizer of the sync policy: " + wrong;
  return detail::attendance_of(sync).wrong();
}

/// What is wrong with the optimizer by which clients descend.
template <class Optimizer>
std::string wrong_of_clients(const Optimizer& optimizer) {
  const std::string wrong = detail::wrong_optimizer(optimizer);
  return wrong.empty() ? "" : "the clients' optimizer: " + wrong;
}

/// What is wrong with the numbers of a rule that is given clients, as it would be with those of ranks.
template <class Reducer>
std::string wrong_rule(const Reducer& rule) {
  if constexpr (requires { rule.objection(); })
    if (const char* wrong = rule.objection()) return wrong;
  return {};
}

/// Rounds: what the policy answers about whose training of which model. It refers to what must outlive them, and
/// to training options that need not.
template <class T, class Sync, class Population, class Optimizer>
struct rounds_plan {
  const Sync& sync;
  std::vector<tensor<T>> parameters;
  Population& clients;
  Optimizer optimizer; ///< of the clients
  run_options how;
  const training_options& training;
};

/// What is wrong with them, of contributions that weigh so much beside those of other ranks; empty when nothing is.
template <class T, class Sync, class Population, class Optimizer>
std::string wrong_rounds(const rounds_plan<T, Sync, Population, Optimizer>& given, double weight) {
  const Sync& sync = given.sync;
  const training_options& how = given.training;
  const int clients = int(given.clients.clients());
  if (weight != 1)
    return "options::weight is given, and clients count what they hold - leave it out, and say it in "
           "examples(client) of the population";
  if (how.uneven != uneven::by_weight)
    return "uneven::by_world is given, and clients count what they hold - leave it out";
  if (how.loss_scale.initial != 1 || how.loss_scale.growth != 1)
    return "a scale of the loss is given, and losses are the clients' own - leave it out, and scale in "
           "train(client, local, random) of the population";
  if (clients < 1) return "the population has no clients";
  if (std::string wrong = detail::wrong_policy(sync); !wrong.empty()) return wrong;
  if (std::string wrong = detail::wrong_of_clients(given.optimizer); !wrong.empty()) return wrong;
  if (const int asked = sync.cohort(clients); asked < 1 || asked > clients)
    return "the cohort of the sync policy is not between one client and all";
  if constexpr (requires { std::string{sync.sampler.wrong()}; })
    if (std::string wrong = sync.sampler.wrong(); !wrong.empty()) return wrong;
  if (detail::keeps_of<Sync> == client_keeps::duals && detail::proximal_of(sync) == 0)
    return "fed_dyn has no alpha - give it as proximal";
  if (std::string wrong = detail::wrong_attendance<Sync, Population>(sync); !wrong.empty()) return wrong;
  if (detail::fairness_of(sync) > 0 && (detail::clip_of(sync) > 0 || detail::normalizes(sync)))
    return "clients are weighed by their losses, and what is clipped or counted per step is weighed beforehand - leave "
           "clip and normalized out";
  return {};
}

} // namespace detail

} // namespace tutti
