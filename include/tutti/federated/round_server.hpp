// round_server: the rank that asks clients on other ranks to train, and averages what they come to; their data stays
// where it is.
//
//   tutti::round_server server{world, parameters, tutti::federated{.fraction = .1}, {.seed = 1}};   // on rank 0
//   while (server.made() < 100) report(server.next());
//   server.finish();
//
// All other ranks are a round_client. In a synchronous round the server draws a cohort of the clients that are there,
// asks them, and waits for all answers, or until attendance::deadline, in seconds; with over_select until as many as
// the cohort have come. How answers become one is said behind the policy: a mean, reproducible_weighted_mean where
// nothing is said, or a rule that compares clients, or a privacy_plan, which then says who is drawn. With `buffer` > 0
// there are no cohorts: every rank trains one client after the other, each from the model as it stands then, and a
// round is a step with the next `buffer` answers, whoever sends them (FedBuff, Nguyen et al. 2022, arXiv 2106.06639):
// x -= rate / buffer sum D_i (1 + tau_i)^-staleness, tau_i being the rounds that were made since D_i's model left.
#pragma once

#include <tutti/carriers/control.hpp>
#include <tutti/communicators/self.hpp>
#include <tutti/core/archive.hpp>
#include <tutti/core/error.hpp>
#include <tutti/core/exact_arithmetic.hpp>
#include <tutti/core/flat_model.hpp>
#include <tutti/core/options.hpp>
#include <tutti/core/tensor.hpp>
#include <tutti/federated/calling.hpp>
#include <tutti/federated/client_ranks.hpp>
#include <tutti/federated/cohort_roll.hpp>
#include <tutti/federated/meetings.hpp>
#include <tutti/federated/metric_means.hpp>
#include <tutti/federated/round_messages.hpp>
#include <tutti/federated/round_report.hpp>
#include <tutti/federated/rounds_plan.hpp>
#include <tutti/federated/server_corrections.hpp>
#include <tutti/federated/server_meeting.hpp>
#include <tutti/reducers/reducer.hpp>
#include <tutti/reducers/reproducible_sum.hpp>
#include <tutti/sync/attendance.hpp>
#include <tutti/sync/sampling.hpp>
#include <tutti/training/binding.hpp>
#include <tutti/training/host_verbs.hpp>
#include <tutti/training/options.hpp>
#include <tutti/training/resuming.hpp>
#include <tutti/training/updating.hpp>
#include <tutti/training/verdict.hpp>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <span>
#include <string>
#include <utility>
#include <vector>

namespace tutti {

/// Rank 0 of a communicator. `Sync` is federated_by of any outer optimizer, drawing by fraction; `By` is a reducer that
/// is rank_count_invariant or compares clients, or a privacy_plan. A synchronous round of the same clients has the same
/// bits whatever the number of ranks, the order of arrival and the transport, those of strategy::rounds with the same
/// reducer; with a buffer or a deadline it depends on who is ready. Memory: of a float model 7 times, 3 times where
/// differences are clipped, of a rule that compares clients twice and the cohort twice; beside it the outer
/// optimizer's. One of these is the model on its way to all who are asked, and then the answer that is coming in: where
/// a round waits for all of them, answers are taken one after the other; where it does not, with a buffer, a deadline
/// or over-selection, there is memory for an answer of each rank and for each model that somebody has not yet taken.
/// Cost of a round: the model to each rank that is asked, a model of each client that answers. With SCAFFOLD, whose c
/// is here and whose variates stay at the clients, twice as much on the way, and 7 models of memory more.
template <class T, class Comm, class Sync, class By = reproducible_weighted_mean>
class round_server : detail::serving_sentences<Sync, By> {
  using facts = detail::serving_checks<Sync, By>;
  using meeting = decltype(detail::meeting_at_server<T>(std::declval<const By&>(), std::size_t{}, 0.0, 0));
  static constexpr bool is_kept = std::derived_from<meeting, detail::kept_by_trainer>;

public:
  /// Collective with the constructors of all clients. The parameters, which are the initial ones and after each round
  /// those after it, must outlive it. Throws invalid_argument for numbers that cannot work, and on another rank.
  template <class Parameters>
  round_server(Comm& comm, Parameters&& parameters, Sync policy, By by, serving_options how = {},
               const options& with = {})
      : comm_{comm}, sync_{std::move(policy)}, by_{std::move(by)}, how_{how},
        parameters_{detail::as_tensors(parameters)}, n_{detail::values_in<T>(parameters_)},
        meeting_{detail::meeting_at_server<T>(by_, n_, detail::clip_of(sync_), how.population)},
        corrections_{detail::keeping_of(sync_), parameters_, how.population},
        roll_{detail::attendance_of(sync_)},
        people_{comm, with, detail::most_of_a_message<T>(n_), how.population,
                detail::waits_for_all(sync_, how_) ? detail::long_messages::one_at_a_time
                                                   : detail::long_messages::side_by_side} {
    if (const std::string wrong = detail::wrong_serving(comm.rank(), sync_, by_, how_); !wrong.empty())
      throw error{{.code = error_code::invalid_argument, .call = "round_server", .rank = comm.rank(), .detail = wrong}};
    people_.listen();
    const flat_model<T> flat{parameters_};
    for (std::size_t k = 0; k < parameters_.size(); ++k) outer_.emplace_back(memory_, sync_.outer, flat.place_of(k));
    corrections_.tell(sync_.outer, sync_.cohort(how.population));
  }
  template <class Parameters>
  round_server(Comm& comm, Parameters&& parameters, Sync policy, serving_options how = {}, const options& with = {})
      : round_server{comm, parameters, std::move(policy), By{}, how, with} {}
  round_server(const round_server&) = delete;
  round_server& operator=(const round_server&) = delete;

  /// Rounds that were made, those that were skipped among them.
  std::int64_t made() const noexcept { return made_; }
  /// Clients that are there.
  int clients() const noexcept { return people_.count(); }

  /// One round. Waits for as many clients as serving_options::clients says. Throws timeout where nobody is heard of for
  /// options::timeout, naming a rank that is waited for.
  round_report next() {
    round_report report{.round = int(++made_)};
    metrics_.clear();
    roll_.begin(std::uint32_t(made_));
    waiting_ = came_ = 0;
    sent_.reset(); // the parameters may have been written since
    if (how_.buffer > 0) begin_buffer(); // who is ready is heard from here on
    wait([&] { return people_.count() >= how_.clients; });
    if (how_.buffer > 0)
      fill_buffer();
    else
      ask_cohort();
    report.joined = people_.joined();
    report.departed = people_.departed();
    at_home();
    corrections_.meet(alone_, roll_, report, non_finite::skip);
    (void)meeting_.meet(alone_, roll_, report, non_finite::skip);
    roll_.write(report);
    if (report.skipped.empty()) step(report);
    report.metrics = metrics_.here();
    report.seconds = std::chrono::duration<double>(tutti::now_of(comm_) - begun_).count();
    return report;
  }

  /// Between two rounds, of this rank alone: the parameters, the outer optimizer's state, how many rounds were made,
  /// and what a privacy plan has spent. Who is there is not in it, as clients enter again. Include
  /// <tutti/training/checkpoint.hpp>.
  template <class Folder>
  void save(const Folder& folder, const save_options& how = {}) {
    detail::require_checkpoints<Folder>();
    if constexpr (detail::has_checkpoints<Folder>)
      detail::checkpoints<Folder>::save(alone_, flat_model<T>{parameters_}, [this](archive& to) { visit(to); },
                                        numbers().texts(), folder, how);
  }
  /// Rounds go on from there: synchronous ones with the bits that they would have had, where numbers and clients are
  /// the same and no noise is added. What was asked before is not used any more. What cannot be loaded changes nothing;
  /// returns in words in which numbers the two differ.
  template <class Folder>
  std::vector<std::string> load(const Folder& folder) {
    detail::require_checkpoints<Folder>();
    std::vector<std::string> differs;
    if constexpr (detail::has_checkpoints<Folder>)
      differs = detail::checkpoints<Folder>::load(alone_, flat_model<T>{parameters_},
                                                  [this](archive& to) { visit(to); }, numbers().texts(), folder);
    people_.each_owed([](asked& one) { one.round = 0; });
    return differs;
  }
  /// Tells all ranks that rounds are over, and waits until they have heard it. Clients that enter later wait in vain.
  void finish() {
    people_.close();
    wait([&] { return people_.is_told(); });
  }

private:
  using asked = detail::asked_client;

  // --- what is kept -----------------------------------------------------------------------------

  detail::compared_numbers numbers() const {
    detail::compared_numbers all;
    all.add(sync_);
    if constexpr (facts::is_private)
      by_.compare(all);
    else
      all.add(by_);
    all.add(how_);
    return all;
  }
  void visit(archive& to) {
    to.number("rounds", made_);
    to.number("steps", steps_);
    to.number("assignments", assignments_);
    if (!(made_ >= 0 && steps_ >= 0 && assignments_ >= 0))
      throw error{{.code = error_code::bad_data, .call = "load", .detail = "a negative number of rounds was made"}};
    for (std::size_t k = 0; k < parameters_.size(); ++k)
      to.values("", parameters_[k].values, outer_[k].where(), held_by::everyone);
    for (auto& by : outer_) by.state(to, "outer.", held_by::everyone);
    if constexpr (is_kept) meeting_.state(to);
    corrections_.state(to);
  }

  // --- what comes in ----------------------------------------------------------------------------

  template <class Over>
  bool wait(Over&& is_over, deadline latest = (deadline::max)()) {
    return people_.wait(
        [&](const asked& one, std::span<const std::byte> message) {
          if (counts_now(one)) note(one, taken(one, message));
        },
        [&](const asked& one) { note(one, absence::dropped_out); }, is_over, latest);
  }
  /// Of a round that is over, or that was before a load, nothing is noted.
  bool counts_now(const asked& one) const {
    return one.round > 0 && (how_.buffer > 0 || one.round == roll_.round());
  }
  void note(const asked& one, detail::fate what) {
    if (!counts_now(one)) return;
    if (how_.buffer > 0)
      roll_.add(one.client, what);
    else
      roll_.note(one.place, what), --waiting_;
    came_ += what.counts();
  }
  /// The answer to what was asked, added up; or why it is not.
  detail::fate taken(const asked& one, std::span<const std::byte> message) {
    const auto told = detail::decode_update<T>(message, n_);
    if (!told || told->told.client != one.client || told->told.round != one.round) return absence::malformed;
    const double holds = people_.examples(one.client), used = told->told.said.examples.value_or(holds);
    if (!(used >= 0 && used <= holds)) return absence::malformed;
    if (told->told.said.examples && used == 0) return absence::no_examples;
    if (told->values.empty() && n_ > 0) return absence::silent;
    const double weight = how_.buffer > 0 ? 1 : weight_of(used);
    const detail::weighed_client who{one.client, weight, one.place};
    if (!meeting_.add(who, told->differences(), {}, how_.buffer > 0 ? stale(one) : 1)) return absence::not_finite;
    corrections_.keep(who, told->changes(), one.round);
    metrics_.add(told->told.said.metrics, used);
    return {};
  }
  /// As client_weight() of rounds over a population.
  double weight_of(double examples) const {
    if constexpr (requires { meeting_.weight_of(examples); })
      return meeting_.weight_of(examples);
    else
      return is_weighted<By> ? examples : 1;
  }
  double stale(const asked& one) const {
    return detail::exactly([&] { return std::pow(1 + double(steps_ - one.model), -how_.staleness); });
  }

  // --- rounds -----------------------------------------------------------------------------------

  /// What call_clients asks of a population: everyone is there, and takes no time that is known beforehand.
  struct no_facts {};

  void at_home() { roll_.place_at(1, [](int) { return 0; }); }
  /// Who is drawn, of all that there are or may be; who is not there, or at a rank that still owes an answer to an
  /// earlier round, is not asked.
  std::vector<int> drawn() {
    std::vector<int> asks;
    if constexpr (facts::is_private) {
      const auto examples = [this](int client) { return people_.examples(client); };
      asks = detail::exactly([&] { return meeting_.drawn(alone_, how_.population, roll_.round(), examples); });
    } else {
      const std::vector<int> there = people_.there();
      const int all = int(there.size());
      for (const int k : tutti::draw_cohort(all, detail::asked_of(sync_, all), how_.seed, roll_.round()))
        asks.push_back(there[std::size_t(k)]);
    }
    std::vector<int> free;
    for (const int client : asks)
      if (people_.is_free(client))
        free.push_back(client);
      else
        roll_.add_unavailable(client);
    return free;
  }
  void ask_cohort() {
    const attendance stands = detail::attendance_of(sync_);
    attendance drops_out = stands;
    drops_out.deadline = 0;
    no_facts nothing;
    const std::vector<int> asks = drawn();
    detail::call_clients(roll_, nothing, drops_out, asks, asks.size(), asks.size(), how_.seed);
    roll_.count_examples([this](int client) { return people_.examples(client); });
    at_home();
    own_.clear();
    std::map<int, detail::round_work> work;
    for (std::size_t k = 0; k < roll_.all().size(); ++k) {
      const detail::attendee& one = roll_.all()[k];
      const double weight = weight_of(one.examples);
      if (weight > 0) own_.push_back({one.client, weight, k});
      if (!one.what.counts()) continue;
      if (!(weight > 0)) {
        roll_.note(k, absence::no_examples);
        continue;
      }
      ++waiting_;
      people_.owe({roll_.round(), k, one.client, steps_});
      work[people_.rank_of(one.client)].clients.push_back(one.client);
    }
    meeting_.begin(alone_, roll_, own_);
    corrections_.begin(alone_, roll_, own_);
    for (auto& [rank, one] : work) send(rank, std::move(one), roll_.round());
    const auto patience = std::chrono::duration<double>(stands.deadline);
    const deadline latest = stands.deadline > 0 && stands.deadline < 1e8
                                ? tutti::now_of(comm_) + std::chrono::duration_cast<clock::duration>(patience)
                                : (deadline::max)();
    const int wanted = stands.over_select > 1 ? int(sync_.cohort(people_.count())) : int(asks.size());
    const bool enough = wait([&] { return waiting_ == 0 || came_ >= wanted; }, latest);
    people_.each_owed([&](const asked& one) {
      if (counts_now(one)) roll_.note(one.place, enough ? absence::surplus : absence::late);
    });
  }
  void begin_buffer() {
    own_.assign(std::size_t(how_.buffer), {0, 1.0, 0});
    meeting_.begin(alone_, roll_, own_);
  }
  void fill_buffer() {
    const auto is_full = [&] {
      if (came_ >= how_.buffer) return true;
      keep_busy(); // with the model as it is before the step
      return false;
    };
    if (!is_full()) wait(is_full);
  }
  /// Every rank that owes nothing trains the next of its clients.
  void keep_busy() {
    for (const int client : people_.in_turn()) {
      const auto round = std::uint32_t(++assignments_);
      people_.owe({round, 0, client, steps_});
      detail::round_work work;
      work.clients = {client};
      send(people_.rank_of(client), std::move(work), round);
    }
  }
  void send(int rank, detail::round_work work, std::uint32_t round) {
    work.round = round;
    work.model = steps_;
    work.seed = how_.seed;
    work.epochs = sync_.epochs;
    work.proximal = detail::proximal_of(sync_);
    work.keeps = corrections_.how();
    if (corrections_.any())
      for (const int client : work.clients) work.counted.push_back(corrections_.counted_in(client));
    std::vector<std::byte> message;
    detail::encode_work(message, work);
    people_.share(rank, model_message());
    people_.send(rank, std::move(message));
  }
  /// The same for all who begin with this model.
  detail::shared_message model_message() {
    if (auto there = sent_.lock()) return there;
    std::vector<std::byte> message;
    detail::encode_model<T>(message, steps_, parameters_, corrections_.common());
    const auto made = std::make_shared<const std::vector<std::byte>>(std::move(message));
    sent_ = made;
    return made;
  }
  void step(round_report& report) {
    const std::span<const T> gradient = std::as_const(meeting_).total();
    if (!detail::all_finite(gradient)) {
      report.skipped = detail::of_no_number(roll_.round());
      return;
    }
    ++steps_;
    sent_.reset();
    corrections_.tell(sync_.outer, report.counted);
    std::size_t begin = 0;
    for (std::size_t k = 0; k < parameters_.size(); ++k) {
      const std::span<T> values = parameters_[k].values;
      outer_[k](outer_[k].where(), {steps_, values, gradient.subspan(begin, values.size()), T(1), {}});
      begin += values.size();
    }
    corrections_.tell(sync_.outer, sync_.cohort(how_.population)); // what is compared and saved
  }

  Comm& comm_;
  Sync sync_;
  By by_;
  serving_options how_;
  std::vector<tensor<T>> parameters_;
  std::size_t n_; ///< values of the model
  std::weak_ptr<const std::vector<std::byte>> sent_; ///< while somebody has not got it
  self own_rank_;
  control_on<self> alone_{own_rank_, {}};
  detail::host_verbs<T> memory_;
  std::vector<detail::updater<T>> outer_; ///< of each tensor
  meeting meeting_;
  detail::server_corrections<T> corrections_;
  detail::cohort_roll roll_;
  detail::metric_means metrics_;
  std::vector<detail::weighed_client> own_; ///< of the round
  std::int64_t made_ = 0, steps_ = 0, assignments_ = 0;
  int waiting_ = 0, came_ = 0; ///< answers of this round
  detail::client_ranks<Comm> people_;
  deadline begun_ = tutti::now_of(comm_);
};

template <class Comm, class Parameters, class Sync>
round_server(Comm&, Parameters&&, Sync, serving_options = {}, options = {})
    -> round_server<detail::tensor_element<Parameters>, Comm, Sync>;
template <class Comm, class Parameters, class Sync, detail::has_part By>
round_server(Comm&, Parameters&&, Sync, By, serving_options = {}, options = {})
    -> round_server<detail::tensor_element<Parameters>, Comm, Sync, By>;

} // namespace tutti
