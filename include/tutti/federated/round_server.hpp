// round_server: the rank that asks clients on other ranks to train, and averages what they come to; their data stays
// where it is.
//
//   tutti::round_server server{world, parameters, tutti::federated{.fraction = .1}, {.seed = 1}};   // on rank 0
//   while (server.made() < 100) report(server.next());
//   server.finish();
//
// All other ranks are a round_client. In a synchronous round the server draws a cohort of the clients that are there,
// asks them, and waits for all answers, or until attendance::deadline, in seconds; with over_select until as many as
// the cohort have come. With `buffer` > 0 there are no cohorts: every rank trains one client after the other, each from
// the model as it stands then, and a round is a step with the next `buffer` answers, whoever sends them (FedBuff,
// Nguyen et al. 2022, arXiv 2106.06639): x -= rate / buffer sum D_i (1 + tau_i)^-staleness, tau_i being the rounds that
// were made since D_i's model was sent out.
#pragma once

#include <tutti/core/element.hpp>
#include <tutti/core/error.hpp>
#include <tutti/core/exact_arithmetic.hpp>
#include <tutti/core/options.hpp>
#include <tutti/core/tensor.hpp>
#include <tutti/federated/calling.hpp>
#include <tutti/federated/cohort_roll.hpp>
#include <tutti/federated/exact_client_sum.hpp>
#include <tutti/federated/meetings.hpp>
#include <tutti/federated/metric_means.hpp>
#include <tutti/federated/rank_mail.hpp>
#include <tutti/federated/round_messages.hpp>
#include <tutti/federated/round_report.hpp>
#include <tutti/federated/rounds_plan.hpp>
#include <tutti/optimizers/optimizer.hpp>
#include <tutti/training/binding.hpp>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <iterator>
#include <map>
#include <span>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

namespace tutti {

/// What a round_server is told beside its policy.
struct serving_options {
  std::uint64_t seed = 1; ///< names every draw of the run
  int buffer = 0;         ///< answers to a step, from whoever is ready; 0 for rounds of a cohort
  double staleness = 0.5; ///< the exponent of (1 + tau)^-staleness
  int clients = 1;        ///< who have to be there before a round begins
};

/// Rank 0 of a communicator. `Sync` is federated_by of any outer optimizer, drawing by fraction. Sums are exact: a
/// synchronous round of the same clients has the same bits whatever the number of ranks, the order of arrival and the
/// transport, those of strategy::rounds with reproducible_weighted_mean, where differences are not clipped; with a
/// buffer or a deadline it depends on who is ready. Memory: of a float model 6 times, 2 times where it is clipped, and what
/// is on its way to each rank. Cost of a round: the model to each rank that is asked, a model of each client that answers.
template <class T, class Comm, class Sync>
class round_server {
  using outer = std::remove_cvref_t<decltype(std::declval<const Sync&>().outer)>;

public:
  /// Collective with the constructors of all clients. The parameters, which are the initial ones and after each round
  /// those after it, must outlive it. Throws invalid_argument for numbers that cannot work, and on another rank.
  template <class Parameters>
  round_server(Comm& comm, Parameters&& parameters, Sync policy, serving_options how = {}, const options& with = {})
      : comm_{comm}, sync_{std::move(policy)}, how_{how}, parameters_{detail::as_tensors(parameters)},
        model_(detail::values_in<T>(parameters_)), difference_(model_.size()), zeros_(model_.size()),
        slots_(slots_of<outer>, std::vector<T>(model_.size())), sum_{model_.size(), detail::clip_of(sync_)},
        roll_{detail::attendance_of(sync_)}, owed_(std::size_t(comm.size())), entered_(std::size_t(comm.size())),
        mail_{comm, with, detail::most_of_a_message<T>(model_.size())} {
    if (const std::string wrong = wrong_numbers(); !wrong.empty())
      throw error{{.code = error_code::invalid_argument, .call = "round_server", .rank = comm.rank(), .detail = wrong}};
    auto to = model_.begin();
    for (const tensor<T>& p : parameters_) to = std::copy(p.values.begin(), p.values.end(), to);
    for (int r = 1; r < comm.size(); ++r) mail_.listen(r);
  }

  /// Rounds that were made, those that were skipped among them.
  std::int64_t made() const noexcept { return made_; }
  /// Clients that are there.
  int clients() const noexcept { return int(people_.size()); }

  /// One round. Waits for as many clients as serving_options::clients says. Throws timeout where nobody is heard of for
  /// options::timeout, naming a rank that is waited for.
  round_report next() {
    round_report report{.round = int(++made_)};
    metrics_.clear();
    roll_.begin(std::uint32_t(made_));
    waiting_ = came_ = 0;
    if (how_.buffer > 0) sum_.begin(std::size_t(how_.buffer), 0); // who is ready is heard from here on
    wait([&] { return int(people_.size()) >= how_.clients; });
    if (how_.buffer > 0)
      fill_buffer();
    else
      ask_cohort();
    report.joined = std::exchange(joined_, {});
    report.departed = std::exchange(departed_, {});
    roll_.settle(comm_.rank());
    roll_.write(report);
    detail::skip_if_few(roll_, report, roll_.counted());
    if (report.skipped.empty()) step(report);
    report.metrics = metrics_.here();
    report.seconds = std::chrono::duration<double>(tutti::now_of(comm_) - begun_).count();
    return report;
  }
  /// Tells all ranks that rounds are over, and waits until they have heard it. Clients that enter later wait in vain.
  void finish() {
    for (std::size_t r = 1; r < entered_.size(); ++r)
      if (entered_[r]) close(int(r));
    wait([&] {
      for (std::size_t r = 1; r < entered_.size(); ++r)
        if (!mail_.is_gone(int(r)) && (entered_[r] || !mail_.has_told(int(r)))) return false;
      return true;
    });
  }

private:
  struct person {
    int rank = 0;
    double examples = 0;
  };
  /// An answer that a rank has not given yet; it answers in the order in which it is asked.
  struct asked {
    std::uint32_t round = 0;
    std::size_t place = 0; ///< on the roll of that round
    int client = 0;
    std::int64_t model = 0; ///< after how many steps it was sent out
  };

  std::string wrong_numbers() const {
    if (comm_.rank() != 0) return "the server of rounds is rank 0 - make a round_client on the others";
    if (std::string wrong = detail::attendance_of(sync_).wrong(); !wrong.empty()) return wrong;
    if (detail::normalizes(sync_) || detail::keeps_of<Sync> != client_keeps::nothing)
      return "a round_server averages differences as they come - leave normalized and corrections out, or run rounds "
             "over a population";
    if (!(detail::clip_of(sync_) >= 0) || !is_finite(detail::clip_of(sync_)))
      return "the clip of the sync policy is negative or not finite - give the greatest length of a client's "
             "difference, or 0 for none";
    if (!(detail::proximal_of(sync_) >= 0) || !is_finite(detail::proximal_of(sync_)))
      return "proximal of the sync policy is negative or not finite - give FedProx's mu, or 0 for none";
    if (sync_.epochs < 0) return "the sync policy asks for a negative number of epochs";
    if (how_.buffer < 0) return "the buffer of a round_server is negative - give how many answers make a step";
    if (!(how_.staleness >= 0) || !is_finite(how_.staleness))
      return "staleness of a round_server is negative or not finite - give the exponent, .5 or 0";
    return how_.clients >= 1 ? "" : "a round_server waits for less than one client - give how many have to be there";
  }

  // --- what comes in ----------------------------------------------------------------------------

  template <class Over>
  bool wait(Over&& is_over, deadline latest = (deadline::max)()) {
    return mail_.wait(
        "round_server", [&](int rank, std::span<const std::byte> message) { take(rank, message); },
        [&] {
          for (std::size_t r = 1; r < owed_.size(); ++r)
            if (mail_.is_gone(int(r))) lose(int(r));
          return is_over();
        },
        [&] { return waited_for(); }, latest);
  }
  int waited_for() const {
    for (std::size_t r = 1; r < owed_.size(); ++r)
      if (!owed_[r].empty()) return int(r);
    return -1;
  }
  void take(int rank, std::span<const std::byte> message) {
    const auto kind = detail::message_kind(message);
    if (kind == detail::round_message::enter)
      enter(rank, message);
    else if (kind == detail::round_message::depart)
      depart(rank);
    else if (!owed_[std::size_t(rank)].empty())
      answer(rank, message); // whatever it is
  }
  /// A client that another rank is, or that is no client, does not enter.
  void enter(int rank, std::span<const std::byte> message) {
    const auto clients = detail::decode_enter(message);
    if (!clients) return;
    entered_[std::size_t(rank)] = true;
    for (const detail::entered_client& one : *clients)
      if (people_.try_emplace(one.client, person{rank, one.examples}).second) joined_.push_back(one.client);
  }
  /// The rank is told that it is over, and waits for nothing more.
  void depart(int rank) {
    lose(rank);
    if (!std::exchange(closed_[rank], false)) tell_over(rank);
    closed_.erase(rank);
    entered_[std::size_t(rank)] = false;
  }
  void lose(int rank) {
    for (const asked& one : std::exchange(owed_[std::size_t(rank)], {})) note(one, absence::dropped_out);
    for (auto at = people_.begin(); at != people_.end();)
      if (at->second.rank == rank) {
        departed_.push_back(at->first);
        at = people_.erase(at);
      } else {
        ++at;
      }
  }
  void close(int rank) {
    closed_[rank] = true;
    tell_over(rank);
  }
  void tell_over(int rank) {
    std::vector<std::byte> message;
    detail::message_writer{message, detail::round_message::over};
    mail_.send(rank, std::move(message));
  }
  /// Of a round that is over nothing is noted: the client was late.
  void note(const asked& one, detail::fate what) {
    if (how_.buffer > 0) {
      roll_.add(one.client, what);
      came_ += what.counts();
    } else if (one.round == roll_.round()) {
      roll_.note(one.place, what);
      --waiting_;
      came_ += what.counts();
    }
  }
  void answer(int rank, std::span<const std::byte> message) {
    const asked one = owed_[std::size_t(rank)].front();
    owed_[std::size_t(rank)].pop_front();
    if (how_.buffer > 0 || one.round == roll_.round()) note(one, taken(one, message));
  }
  /// The answer to what was asked, added up; or why it is not.
  detail::fate taken(const asked& one, std::span<const std::byte> message) {
    const auto told = detail::decode_update<T>(message, model_.size());
    if (!told || told->told.client != one.client || told->told.round != one.round) return absence::malformed;
    const double holds = people_.at(one.client).examples, used = told->told.said.examples.value_or(holds);
    if (!(used >= 0 && used <= holds)) return absence::malformed;
    if (used == 0) return absence::no_examples;
    if (told->values.empty() && !model_.empty()) return absence::silent;
    detail::copy_values<T>(told->values, difference_);
    const double weight = how_.buffer > 0 ? 1 : used;
    if (!sum_.add(weight, difference_, zeros_, how_.buffer > 0 ? stale(one) : 1)) return absence::not_finite;
    metrics_.add(told->told.said.metrics, used);
    return {};
  }
  double stale(const asked& one) const {
    return detail::exactly([&] { return std::pow(1 + double(steps_ - one.model), -how_.staleness); });
  }

  // --- rounds -----------------------------------------------------------------------------------

  /// What call_clients asks of a population: everyone is there, and takes no time that is known beforehand.
  struct no_facts {};

  void ask_cohort() {
    std::vector<int> there;
    for (const auto& [client, one] : people_) there.push_back(client);
    const int asks = detail::asked_of(sync_, int(there.size()));
    std::vector<int> drawn;
    for (const int k : tutti::draw_cohort(int(there.size()), asks, how_.seed, roll_.round())) {
      const int client = there[std::size_t(k)];
      if (owed_[std::size_t(people_.at(client).rank)].empty())
        drawn.push_back(client);
      else
        roll_.add_unavailable(client); // its rank still owes an answer to an earlier round
    }
    const attendance stands = detail::attendance_of(sync_);
    attendance drops_out = stands;
    drops_out.deadline = 0;
    no_facts nothing;
    detail::call_clients(roll_, nothing, drops_out, drawn, drawn.size(), drawn.size(), how_.seed);
    std::vector<double> weights;
    std::map<int, detail::round_work> work;
    for (std::size_t k = 0; k < roll_.all().size(); ++k) {
      const detail::attendee& one = roll_.all()[k];
      const person& who = people_.at(one.client);
      weights.push_back(who.examples);
      if (!one.what.counts()) continue;
      if (who.examples == 0) {
        roll_.note(k, absence::no_examples);
        continue;
      }
      ++waiting_;
      owed_[std::size_t(who.rank)].push_back({roll_.round(), k, one.client, steps_});
      work[who.rank].clients.push_back(one.client);
    }
    sum_.begin(roll_.all().size(), detail::scale_weights(weights));
    for (auto& [rank, one] : work) send(rank, std::move(one), roll_.round());
    const auto patience = std::chrono::duration<double>(stands.deadline);
    const deadline latest = stands.deadline > 0 && stands.deadline < 1e8
                                ? tutti::now_of(comm_) + std::chrono::duration_cast<clock::duration>(patience)
                                : (deadline::max)();
    const int wanted = int(sync_.cohort(int(there.size())));
    const bool enough = wait([&] { return waiting_ == 0 || came_ >= wanted; }, latest);
    for (const auto& rank : owed_)
      for (const asked& one : rank)
        if (one.round == roll_.round()) roll_.note(one.place, enough ? absence::surplus : absence::late);
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
    for (std::size_t r = 1; r < owed_.size(); ++r) {
      if (!owed_[r].empty()) continue;
      const auto is_here = [&](const auto& one) { return one.second.rank == int(r) && one.second.examples > 0; };
      auto next = std::find_if(people_.upper_bound(last_[int(r)]), people_.end(), is_here);
      if (next == people_.end()) next = std::find_if(people_.begin(), people_.end(), is_here);
      if (next == people_.end()) continue;
      const int client = last_[int(r)] = next->first;
      owed_[r].push_back({++assignments_, 0, client, steps_});
      detail::round_work work;
      work.clients = {client};
      send(int(r), std::move(work), assignments_);
    }
  }
  void send(int rank, detail::round_work work, std::uint32_t round) {
    work.round = round;
    work.seed = how_.seed;
    work.epochs = sync_.epochs;
    work.proximal = detail::proximal_of(sync_);
    std::vector<std::byte> message;
    detail::encode_work<T>(message, work, model_);
    mail_.send(rank, std::move(message));
  }
  void step(round_report& report) {
    const double weight = sum_.weight().value();
    if (!(weight > 0)) {
      report.skipped = detail::too_light(roll_.round());
      return;
    }
    sum_.divide(weight);
    if (!detail::all_finite(std::span<const T>{sum_.total()})) {
      report.skipped = detail::of_no_number(roll_.round());
      return;
    }
    optimizer_slots<T, slots_of<outer>> slots{};
    for (std::size_t k = 0; k < slots.size(); ++k) slots[k] = slots_[k];
    tutti::update<T>(sync_.outer, ++steps_, std::span<T>{model_}, std::span<const T>{sum_.total()}, slots);
    auto from = model_.begin();
    for (const tensor<T>& p : parameters_) {
      std::copy_n(from, p.values.size(), p.values.begin());
      from += std::ptrdiff_t(p.values.size());
    }
  }

  Comm& comm_;
  Sync sync_;
  serving_options how_;
  std::vector<tensor<T>> parameters_;
  std::vector<T> model_, difference_, zeros_;
  std::vector<std::vector<T>> slots_; ///< of the outer optimizer
  detail::exact_client_sum<T> sum_;
  detail::cohort_roll roll_;
  detail::metric_means metrics_;
  std::map<int, person> people_; ///< who are there
  std::vector<int> joined_, departed_;
  std::vector<std::deque<asked>> owed_; ///< of each rank
  std::vector<bool> entered_;           ///< and has not departed
  std::map<int, bool> closed_;          ///< was told that it is over before it said that it departs
  std::map<int, int> last_;             ///< client of a rank that was asked, with a buffer
  std::int64_t made_ = 0, steps_ = 0;
  std::uint32_t assignments_ = 0;
  int waiting_ = 0, came_ = 0; ///< answers of this round
  detail::rank_mail<Comm> mail_;
  deadline begun_ = tutti::now_of(comm_);
};

template <class Comm, class Parameters, class Sync>
round_server(Comm&, Parameters&&, Sync, serving_options = {}, options = {})
    -> round_server<detail::tensor_element<Parameters>, Comm, Sync>;

} // namespace tutti
