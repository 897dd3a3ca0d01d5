// Rounds over a population: the second way to drive a trainer, whose steps are the rounds.
//
//   auto rounds = strategy.rounds(parameters, optimizer, clients, {.seed = 1});
//   while (rounds.made() < 100 && rounds.next().metric < .97) ...;
//   rounds.save("runs/round-100");
//
// In a round a cohort is drawn and called, alike on all ranks (federated/calling.hpp). Clients are dealt out to ranks
// by the examples that they hold, or live at a rank where they keep something; a rank adds up what its own contribute;
// the mean of that is its contribution to a step of the trainer, weighted by what its clients weigh, and the trainer's
// optimizer is the policy's outer one. With a reducer whose bits do not depend on the number of ranks, sums are exact,
// those of all ranks are added at rank 0, and the mean is its contribution alone.
//
// A client that is not there, does not finish, wrote nothing, returned a NaN or an infinity, or says what cannot be, is
// in nothing: it is named in the report with the reason (round_report::left_out), and the round goes on with the
// others; attendance::faults raises instead. A round in which fewer count than attendance::least, or than a rule that
// compares clients needs, is skipped, and the report says why. Such a rule (krum, median, ...) is given all clients at
// rank 0, and takes what is no number for as far away as can be. Where the mean itself overflows,
// training_options::non_finite decides.
#pragma once

#include <tutti/carriers/control.hpp>
#include <tutti/core/exact_arithmetic.hpp>
#include <tutti/federated/calling.hpp>
#include <tutti/federated/cohort_roll.hpp>
#include <tutti/federated/corrections.hpp>
#include <tutti/federated/local_training.hpp>
#include <tutti/federated/meetings.hpp>
#include <tutti/federated/metric_means.hpp>
#include <tutti/federated/population.hpp>
#include <tutti/federated/ratio_of_sums.hpp>
#include <tutti/federated/round_report.hpp>
#include <tutti/federated/rounds_plan.hpp>
#include <tutti/reducers/distances.hpp>
#include <tutti/training/binding.hpp>
#include <tutti/training/options.hpp>
#include <tutti/training/resuming.hpp>
#include <tutti/training/rules.hpp>
#include <tutti/training/trainer.hpp>

#include <algorithm>
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

struct federated_report {
  std::vector<round_report> rounds;
  bool stopped = false; ///< by the callback, before the last round
};

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
        received_(local_.parameters().size()), meeting_{std::move(meeting)}, corrections_{std::move(corrections)},
        roll_{detail::attendance_of(sync_)} {
    if constexpr (Corrections::any) trainer_.keep_beside(corrections_);
    if constexpr (std::derived_from<Meeting, detail::kept_by_trainer>) trainer_.keep_beside(meeting_);
    take_part(planned_share());
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
    round_report report{.round = int(made() + 1)};
    read();
    call(std::uint32_t(report.round));
    train_share();
    if constexpr (Corrections::any) corrections_.meet(*ranks_, roll_, report, bad_);
    const double weight = meeting_.meet(*ranks_, roll_, report, bad_);
    roll_.write(report);
    if (report.skipped.empty()) {
      if (scales()) meeting_.scale(scale_.value(*ranks_));
      take_part(double(report.counted) / clients_.clients());
      const std::int64_t skipped = trainer_.skipped();
      trainer_.step(gradients_, weight);
      take_part(planned_share()); // what is compared and saved
      if (trainer_.skipped() > skipped) report.skipped = detail::of_no_number(std::uint32_t(report.round));
    } else {
      trainer_.skip();
    }
    if (const std::size_t words = roll_.most_to_say_later(); words > 0) report.metrics = metrics_.meet(*ranks_, words);
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
  /// Who is in the round, and where.
  void call(std::uint32_t round) {
    const int all = clients_.clients();
    const attendance stands = detail::attendance_of(sync_);
    roll_.begin(round);
    const auto holds = [&](int client) { return double(clients_.examples(client)); };
    const auto call_all = [&](const std::vector<int>& drawn) {
      detail::call_clients(roll_, clients_, stands, drawn, drawn.size(), drawn.size(), how_.seed);
    };
    if constexpr (requires { meeting_.drawn(*ranks_, all, round, holds); }) {
      call_all(detail::exactly([&] { return meeting_.drawn(*ranks_, all, round, holds); }));
    } else if constexpr (requires { sync_.drawn(all, how_.seed, round, holds); }) {
      call_all(detail::exactly([&] { return sync_.drawn(all, how_.seed, round, holds); }));
    } else {
      const int asked = detail::asked_of(sync_, all);
      const int order = detail::says_availability<Population> ? all : asked; // the next stand in for who is not there
      detail::call_clients(roll_, clients_, stands, tutti::draw_cohort(all, order, how_.seed, round),
                           std::size_t(asked), std::size_t(sync_.cohort(all)), how_.seed);
    }
    roll_.count_examples(holds);
    if constexpr (Corrections::any)
      roll_.place_at(ranks_->size(), [&](int client) { return corrections_.home_of(client); });
    else
      roll_.place(ranks_->size());
  }
  double planned_share() {
    const int all = clients_.clients();
    return all > 0 ? double(sync_.cohort(all)) / all : 0;
  }
  /// What FedDyn's step has to know.
  void take_part(double share) {
    if constexpr (requires { trainer_.optimizer().participation = share; }) {
      trainer_.optimizer().participation = share;
      trainer_.optimizer().alpha = detail::proximal_of(sync_);
    }
  }
  /// This rank's clients, in the order of the cohort.
  void train_share() {
    own_.clear();
    for (std::size_t k = 0; k < roll_.all().size(); ++k) {
      const detail::attendee& one = roll_.all()[k];
      if (one.home != ranks_->rank()) continue;
      if (const double weight = client_weight(one.client, one.examples); weight > 0)
        own_.push_back({one.client, weight, k});
      else if (one.what.counts())
        roll_.note(k, absence::no_examples);
    }
    meeting_.begin(*ranks_, roll_, own_);
    if constexpr (Corrections::any) corrections_.begin(*ranks_, roll_, own_);
    scale_.clear();
    metrics_.clear();
    for (const detail::weighed_client& one : own_) roll_.note(one.place, train(one));
    roll_.say_later(metrics_.words());
  }
  /// One of them, and what becomes of it.
  detail::fate train(detail::weighed_client one) {
    const detail::attendee& asked = roll_.all()[one.place];
    if (!asked.what.counts()) return asked.what;
    if constexpr (Corrections::any)
      local_.begin(received_, roll_.round(), corrections_.of(one.client));
    else
      local_.begin(received_, roll_.round());
    const trained said = what_it_says(one.client);
    const double used = said.examples.value_or(asked.examples);
    if (said.examples) {
      if (!(used >= 0 && used <= asked.examples)) return absence::malformed;
      if (used == 0) return absence::no_examples;
      one.weight = client_weight(one.client, used);
    }
    if (!local_.contributes()) return absence::silent;
    const double steps = detail::normalizes(sync_) ? local_.weighed_steps() : 1, share = one.weight;
    if (!weigh_by_loss(one)) return absence::malformed;
    if (!meeting_.add(one, received_, local_.parameters(), 1 / steps)) return absence::not_finite;
    if constexpr (Corrections::any) corrections_.keep(one, local_);
    detail::exactly([&] {
      if (detail::normalizes(sync_)) scale_.add(one.weight * steps, one.weight);
      if (detail::fairness_of(sync_) > 0) scale_.add(one.weight, one.weight + share * way_of_loss());
    });
    metrics_.add(said.metrics, used);
    return {};
  }
  /// Whether the mean is multiplied by a number about all clients: FedNova's mean of steps, or q-FedAvg's L sum p F^q
  /// over its denominator.
  bool scales() const { return detail::normalizes(sync_) || detail::fairness_of(sync_) > 0; }
  static double loss_that_counts(double told) { return (std::max)(told, 1e-10); }
  /// p F^q; false for a loss that cannot be.
  bool weigh_by_loss(detail::weighed_client& one) {
    const double q = detail::fairness_of(sync_);
    if (q == 0) return true;
    if (!local_.told_loss())
      ranks_->fail({.code = error_code::invalid_argument,
                    .call = "run",
                    .peer = ranks_->rank(),
                    .detail = "client " + std::to_string(one.client) +
                              " told no loss, and q_fair asks for the one at what was sent out - call "
                              "local.tell_loss(loss)"});
    if (!(*local_.told_loss() >= 0)) return false;
    return detail::exactly([&] {
      const double power = std::pow(loss_that_counts(*local_.told_loss()), q);
      one.weight *= power;
      return power <= 1e30;
    });
  }
  /// q F^(q-1) L |D|^2.
  double way_of_loss() {
    const double q = detail::fairness_of(sync_), rate = detail::rate_of(local_.optimizer());
    const std::span<const T> sent = local_.received(), got = local_.parameters();
    return q * std::pow(loss_that_counts(*local_.told_loss()), q - 1) / rate *
           detail::squared_distance(sent.data(), got.data(), sent.size());
  }
  trained what_it_says(int client) {
    const random_stream random{how_.seed, roll_.round(), std::uint64_t(client)};
    if constexpr (std::same_as<decltype(clients_.train(client, local_, random)), trained>) {
      return clients_.train(client, local_, random);
    } else {
      clients_.train(client, local_, random);
      return {};
    }
  }

  /// A client that cannot be weighed is its rank's failure, and so everybody's.
  double client_weight(int client, double examples) {
    constexpr bool by_meeting = requires { meeting_.weight_of(examples); };
    if constexpr (Weighs || by_meeting) {
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
  detail::cohort_roll roll_;
  std::vector<detail::weighed_client> own_; ///< of this rank, in the round
  detail::ratio_of_sums scale_;             ///< of the mean
  detail::metric_means metrics_;
  std::vector<tensor<const T>> gradients_; ///< in meeting_
  deadline begun_ = ranks_->now();
};

} // namespace tutti
