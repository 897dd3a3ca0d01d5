// Rounds over a population: the second way to drive a trainer, whose steps are the rounds.
//
//   auto rounds = strategy.rounds(parameters, optimizer, clients, {.seed = 1});
//   while (rounds.made() < 100 && rounds.next().metric < .97) ...;
//   rounds.save("runs/round-100");
//
// In a round a cohort is drawn, the same on all ranks. Rank r trains every size-th client of it, and adds up
// what they contribute; the mean of that is this rank's contribution to a step of the trainer, weighted by what
// its clients hold, and the trainer's optimizer is the policy's outer one. With a reducer whose bits do not depend on
// the number of ranks, sums are exact, those of all ranks are added at rank 0, and the mean is its contribution alone.
//
// Where a client or the mean holds a NaN or infinity, training_options::non_finite decides: every rank throws
// error_code::non_finite naming round, client and rank, or the round is left out, or applied as it is.
// A rule that compares clients (krum, median, geometric_median, ...) is given all of them at rank 0, takes what is no
// number for as far away as can be, and the report names who sent it; with fewer clients than it needs the round is
// left out. A round in which nothing counts - the cohort holds no examples, or wrote nothing - is left out as well.
#pragma once

#include <tutti/carriers/control.hpp>
#include <tutti/core/exact_arithmetic.hpp>
#include <tutti/federated/corrections.hpp>
#include <tutti/federated/local_training.hpp>
#include <tutti/federated/meetings.hpp>
#include <tutti/federated/population.hpp>
#include <tutti/federated/round_report.hpp>
#include <tutti/reducers/binned.hpp>
#include <tutti/training/binding.hpp>
#include <tutti/training/options.hpp>
#include <tutti/training/resuming.hpp>
#include <tutti/training/rules.hpp>
#include <tutti/training/trainer.hpp>

#include <algorithm>
#include <array>
#include <bit>
#include <chrono>
#include <cmath>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <utility>
#include <vector>

namespace tutti {

struct run_options {
  int rounds = 100;       ///< at most; of strategy::run
  std::uint64_t seed = 1; ///< names every draw of the run
};

struct federated_report {
  std::vector<round_report> rounds;
  bool stopped = false; ///< by the callback, before the last round
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
template <class Sync>
bool normalizes(const Sync& sync) {
  if constexpr (requires { bool(sync.normalized); })
    return bool(sync.normalized);
  else
    return false;
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
  if (sync.epochs < 0) return "the sync policy asks for a negative number of epochs";
  if constexpr (requires { double(sync.fraction); })
    if (!(double(sync.fraction) >= 0) || !is_finite(double(sync.fraction)))
      return "the fraction of the sync policy is negative or not finite - give the share of the clients that a round "
             "draws";
  if (const int asked = sync.cohort(clients); asked < 1 || asked > clients)
    return "the cohort of the sync policy is not between one client and all";
  if constexpr (requires { std::string{sync.sampler.wrong()}; })
    if (std::string wrong = sync.sampler.wrong(); !wrong.empty()) return wrong;
  if (detail::keeps_of<Sync> == client_keeps::duals && detail::proximal_of(sync) == 0)
    return "fed_dyn has no alpha - give it as proximal";
  if (const double pull = detail::proximal_of(sync); !(pull >= 0) || !is_finite(pull))
    return "proximal of the sync policy is negative or not finite - give FedProx's mu, or 0 for none";
  if (const double clip = detail::clip_of(sync); !(clip >= 0) || !is_finite(clip))
    return "the clip of the sync policy is negative or not finite - give the greatest length of a client's difference, "
           "or 0 for none";
  else if (clip > 0 && how.non_finite == non_finite::pass)
    return "differences are clipped, and what is no number has no length - raise or skip where a NaN is met";
  if constexpr (requires { double(sync.outer.tau); })
    if (!(double(sync.outer.tau) > 0) || !is_finite(double(sync.outer.tau)))
      return "tau of the outer optimizer is not a positive number - give what is added to the root, such as .001";
  if (!is_finite(double(sync.outer.learning_rate))) return "the outer learning rate of the sync policy is not finite";
  return {};
}

} // namespace detail

/// Made by strategy::rounds; the strategy, the parameters and the population must outlive it. All members but
/// made() are collective.
template <class T, class Trainer, class Sync, class Population, class Optimizer, bool Weighs,
          class Meeting, class Corrections>
class federated_rounds {
public:
  /// `bind(options, wrong)` makes the trainer of the outer steps; `wrong` is what is wrong with the groups.
  /// `meeting` makes one mean of what the clients of all ranks have come to (federated/meetings.hpp), and `corrections`
  /// are what they keep from round to round (federated/corrections.hpp).
  template <class Bind>
  federated_rounds(std::unique_ptr<control> ranks, detail::rounds_plan<T, Sync, Population, Optimizer> given,
                   Bind&& bind, Meeting meeting, Corrections corrections)
      : ranks_{std::move(ranks)}, sync_{given.sync}, clients_{given.clients}, how_{given.how},
        bad_{given.training.non_finite}, parameters_{std::move(given.parameters)},
        rules_{given.training, std::span<const tensor<T>>{parameters_}},
        trainer_{bind(of_the_mean(given.training), rules_.wrong)},
        local_{parameters_, std::move(given.optimizer), sync_.epochs, rules_.factors, rules_.frozen,
               detail::proximal_of(sync_)},
        received_(local_.parameters().size()), meeting_{std::move(meeting)}, corrections_{std::move(corrections)} {
    if constexpr (Corrections::any) trainer_.keep_beside(corrections_);
    if constexpr (std::derived_from<Meeting, detail::kept_by_trainer>) trainer_.keep_beside(meeting_);
    if (const int all = clients_.clients(); all > 0) take_part(double(sync_.cohort(all)) / all);
    std::size_t at = 0;
    for (const tensor<T>& p : parameters_) {
      gradients_.push_back({p.name, meeting_.total().subspan(at, p.values.size())});
      at += p.values.size();
    }
  }
  federated_rounds(const federated_rounds&) = delete;
  federated_rounds& operator=(const federated_rounds&) = delete;

  /// Rounds that were made, those that were skipped among them.
  std::int64_t made() const noexcept { return trainer_.steps(); }

  /// One round. The parameters are those after it, the same on every rank.
  round_report next() {
    const auto round = std::uint32_t(made() + 1);
    round_report report{.round = int(round)};
    read();
    const int all = clients_.clients();
    const std::vector<int> cohort = detail::exactly([&] { return drawn(all, round); });
    report.clients = int(cohort.size());
    train_share(cohort, round);
    if constexpr (Corrections::any) corrections_.meet(*ranks_, report, bad_);
    if (const double weight = meeting_.meet(*ranks_, report, bad_); report.skipped.empty()) {
      if (detail::normalizes(sync_)) meeting_.scale(mean_steps());
      take_part(double(cohort.size()) / all);
      const std::int64_t skipped = trainer_.skipped();
      trainer_.step(gradients_, weight);
      if (trainer_.skipped() > skipped) report.skipped = detail::of_no_number(round);
    } else {
      trainer_.skip();
    }
    report.metric = evaluate();
    report.seconds = std::chrono::duration<double>(ranks_->now() - begun_).count();
    return report;
  }
  /// Rounds until `how.rounds` are made or `on_round(report)` says no, the same on every rank.
  template <class OnRound>
  federated_report run(OnRound&& on_round) {
    federated_report report;
    while (made() < how_.rounds && !report.stopped) {
      report.rounds.push_back(next());
      report.stopped = !on_round(std::as_const(report.rounds.back()));
    }
    return report;
  }

  /// Between two rounds; as those of trainers. Include <tutti/training/checkpoint.hpp>.
  template <class Folder>
  void save(const Folder& folder, const save_options& how = {}) {
    trainer_.save(folder, how);
  }
  /// The rounds go on from there: with the bits that they would have had, where the numbers are the same.
  template <class Folder>
  std::vector<std::string> load(const Folder& folder) {
    return trainer_.load(folder);
  }

private:
  /// Which tensors clients train, and at what rates.
  struct client_rules {
    std::vector<detail::group_factors> factors;
    std::vector<bool> frozen;
    std::string wrong;

    client_rules(const training_options& how, std::span<const tensor<T>> model)
        : factors(model.size()), frozen(model.size()),
          wrong{detail::apply_rules(how, model, factors, [&](std::size_t k) { frozen[k] = true; })} {}
  };
  /// What a trainer is to know of them: groups are the clients' business.
  static training_options of_the_mean(training_options all) {
    all.groups.clear();
    return all;
  }

  void read() {
    auto to = received_.begin();
    for (const tensor<T>& p : parameters_) to = std::copy(p.values.begin(), p.values.end(), to);
  }
  std::vector<int> drawn(int all, std::uint32_t round) {
    const auto examples = [&](int client) { return double(clients_.examples(client)); };
    if constexpr (requires { meeting_.drawn(*ranks_, all, round, examples); })
      return meeting_.drawn(*ranks_, all, round, examples);
    else if constexpr (requires { sync_.drawn(all, how_.seed, round, examples); })
      return sync_.drawn(all, how_.seed, round, examples);
    else
      return tutti::draw_cohort(all, sync_.cohort(all), how_.seed, round);
  }
  /// What FedDyn's step has to know.
  void take_part(double share) {
    if constexpr (requires { trainer_.optimizer().participation = share; }) {
      trainer_.optimizer().participation = share;
      trainer_.optimizer().alpha = detail::proximal_of(sync_);
    }
  }
  /// This rank's clients, in the order of the cohort: every size-th, or those who live here.
  void train_share(const std::vector<int>& cohort, std::uint32_t round) {
    std::vector<std::pair<int, double>> own;
    std::vector<int> homes;
    for (std::size_t k = 0; k < cohort.size(); ++k) {
      homes.push_back(corrections_.rank_of(k, cohort[k], ranks_->size()));
      if (homes[k] != ranks_->rank()) continue;
      if (const double weight = client_weight(cohort[k]); weight != 0) own.push_back({cohort[k], weight});
    }
    meeting_.begin(*ranks_, cohort, homes, own);
    if constexpr (Corrections::any) corrections_.begin(*ranks_, cohort, homes, own);
    weighed_ = weighed_steps_ = {};
    for (const auto& [client, weight] : own) {
      if constexpr (Corrections::any)
        local_.begin(received_, round, corrections_.of(client));
      else
        local_.begin(received_, round);
      clients_.train(client, local_, random_stream{how_.seed, round, std::uint64_t(client)});
      const bool contributes = local_.contributes();
      if constexpr (Corrections::any) contributes ? corrections_.keep(client, local_) : corrections_.keep_silent();
      if (contributes)
        meeting_.add(client, weight, received_, local_.parameters(), 1 / steps_of(weight));
      else
        meeting_.add_silent();
    }
  }
  /// What the difference of the client that has just been trained is divided by, as FedNova has it.
  double steps_of(double weight) {
    if (!detail::normalizes(sync_)) return 1;
    const double steps = local_.weighed_steps();
    weighed_.add(weight);
    weighed_steps_.add(weight * steps);
    return steps;
  }
  /// Of all clients of the round.
  double mean_steps() {
    using words = std::array<std::uint64_t, sizeof(binned<double>) / sizeof(std::uint64_t)>;
    binned<double> sums[2];
    std::vector<std::uint64_t> mine;
    for (const binned<double>& sum : {weighed_, weighed_steps_})
      for (const std::uint64_t word : std::bit_cast<words>(sum)) mine.push_back(word);
    const std::vector<std::uint64_t> all = ranks_->gather(mine);
    words one;
    for (std::size_t k = 0; k < all.size(); k += one.size()) {
      std::copy_n(all.begin() + std::ptrdiff_t(k), one.size(), one.begin());
      sums[k / one.size() % 2].add(std::bit_cast<binned<double>>(one));
    }
    return detail::exactly([&] { return sums[1].value() / sums[0].value(); });
  }

  /// A client that cannot be weighed is its rank's failure, and so everybody's.
  double client_weight(int client) {
    constexpr bool by_meeting = requires(double examples) { meeting_.weight_of(examples); };
    if constexpr (Weighs || by_meeting) {
      const double examples = double(clients_.examples(client));
      if (!(examples >= 0) || !is_finite(examples))
        ranks_->fail({.code = error_code::invalid_argument,
                      .call = "run",
                      .peer = ranks_->rank(),
                      .detail = "client " + std::to_string(client) + " has " + std::to_string(examples) +
                                " examples - give a number that is not negative"});
      if constexpr (by_meeting)
        return meeting_.weight_of(examples);
      else
        return examples;
    } else {
      return 1.0;
    }
  }
  double evaluate() {
    if constexpr (requires { clients_.evaluate(std::span<const T>{received_}, 0, 1); }) {
      read();
      const score mine = clients_.evaluate(std::span<const T>{received_}, ranks_->rank(), ranks_->size());
      const std::uint64_t words[] = {std::bit_cast<std::uint64_t>(double(mine.sum)),
                                     std::bit_cast<std::uint64_t>(double(mine.count))};
      const std::vector<std::uint64_t> all = ranks_->gather(words);
      return detail::exactly([&] {
        double sum = 0, count = 0;
        for (std::size_t k = 0; k < all.size(); k += 2) {
          sum += std::bit_cast<double>(all[k]);
          count += std::bit_cast<double>(all[k + 1]);
        }
        return count > 0 ? sum / count : 0;
      });
    } else {
      return 0;
    }
  }

  std::unique_ptr<control> ranks_;
  const Sync& sync_;
  Population& clients_;
  run_options how_;
  non_finite bad_;
  std::vector<tensor<T>> parameters_;
  client_rules rules_;
  Trainer trainer_;
  local_training<T, Optimizer> local_;
  std::vector<T> received_;
  Meeting meeting_;
  Corrections corrections_;
  binned<double> weighed_, weighed_steps_; ///< of this rank's clients, where differences count per step
  std::vector<tensor<const T>> gradients_; ///< in meeting_
  deadline begun_ = ranks_->now();
};

} // namespace tutti
