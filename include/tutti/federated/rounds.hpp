// The rounds of federated averaging over a population.
//
// Where the mean of a round holds a NaN or infinity, options::non_finite decides: every rank throws
// error_code::non_finite naming round, client and rank, or the round is left out, or applied as it is.
// A round in which nothing counts - the cohort holds no examples, or wrote nothing - is left out as well.
#pragma once

#include <tutti/core/exact_arithmetic.hpp>
#include <tutti/core/hash.hpp>
#include <tutti/core/rounded.hpp>
#include <tutti/federated/population.hpp>
#include <tutti/reducers/weights.hpp>
#include <tutti/carriers/reducing.hpp>
#include <tutti/training/binding.hpp>
#include <tutti/training/options.hpp>
#include <tutti/training/verdict.hpp>

#include <array>
#include <bit>
#include <chrono>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <string>
#include <utility>
#include <vector>

namespace tutti {

/// What is known after a round; the same on every rank but for `seconds`.
struct round_report {
  int round = 0;      ///< from 1
  int clients = 0;    ///< how many were drawn
  double metric = 0;  ///< mean of the population's score, 0 when it has none
  double seconds = 0; ///< since the run began
  int silent = 0;     ///< how many of the clients wrote nothing, and were left out
  std::string skipped = {}; ///< why the round changed nothing, naming it; empty when it was applied
};

struct run_options {
  int rounds = 100;       ///< at most
  std::uint64_t seed = 1; ///< names every draw of the run
};

struct federated_report {
  std::vector<round_report> rounds;
  bool stopped = false; ///< by the callback, before the last round
};

namespace detail {

template <class Parts, class Sync, class T, class Population>
class federated_rounds {
public:
  federated_rounds(const Parts& parts, const Sync& sync, const training_options& training,
                   std::vector<tensor<T>> parameters, Population& clients, run_options how)
      : parts_{parts}, sync_{sync}, training_{training}, parameters_{std::move(parameters)},
        clients_{clients}, how_{how} {
    control_on ranks{parts_.comm, parts_.how};
    std::vector<tensor_facts> tensors;
    for (const tensor<T>& p : parameters_)
      tensors.push_back(detail::facts_of(p, std::as_writable_bytes(p.values), false));
    detail::verify_binding(ranks, tensors, numbers(), wrong(), "run");
    for (tensor<T>& p : parameters_) {
      tutti::broadcast(parts_.comm, p.values, 0, parts_.how);
      global_.insert(global_.end(), p.values.begin(), p.values.end());
    }
  }

  /// `on_round(report)` returns whether to go on; it must answer the same on every rank.
  template <class OnRound>
  federated_report run(OnRound&& on_round) {
    const deadline start = tutti::now_of(parts_.comm);
    federated_report report;
    for (int r = 1; r <= how_.rounds && !report.stopped; ++r) {
      report.rounds.push_back(one_round(std::uint32_t(r)));
      const std::chrono::duration<double> elapsed = tutti::now_of(parts_.comm) - start;
      report.rounds.back().metric = evaluate();
      report.rounds.back().seconds = elapsed.count();
      report.stopped = !on_round(std::as_const(report.rounds.back()));
    }
    return report;
  }

private:
  /// What decides who is asked in which round, and what becomes of the answers.
  compared_numbers numbers() const {
    compared_numbers all = numbers_of(parts_, sync_);
    all.add(training_);
    all.add(how_);
    all.add(int(clients_.clients()));
    return all;
  }
  std::string wrong() {
    if (parts_.how.weight != 1)
      return "options::weight is given, and clients count what they hold - leave it out, and say it in "
             "examples(client) of the population";
    const int all = clients_.clients();
    if (all < 1) return "the population has no clients";
    if (sync_.epochs < 0) return "the sync policy asks for a negative number of epochs";
    if (const int asked = sync_.cohort(all); asked < 1 || asked > all)
      return "the cohort of the sync policy is not between one client and all";
    if (!is_finite(double(sync_.server_rate))) return "the server's rate is not finite";
    return {};
  }

  /// What this rank's clients have come to.
  struct share {
    double weight = 0; ///< of all of them, times 2^exponent
    int exponent = 0;
    int silent = 0;
    std::int64_t first_bad = nobody; ///< a client that returned a NaN or an infinity
  };

  /// This rank's clients are every size-th of the cohort. Each rank folds its own in cohort order, then
  /// the ranks' means are folded with the sums of their clients' weights.
  round_report one_round(std::uint32_t round) {
    const int all = clients_.clients();
    const int asked = detail::exactly([&] { return sync_.cohort(all); });
    const auto cohort = tutti::draw_cohort(all, asked, how_.seed, round);
    round_report report{.round = int(round), .clients = int(cohort.size())};
    std::vector<T> total(global_.size());
    const share mine = train_share(cohort, round, total);
    options how = parts_.how;
    if (!agree_on_weight(mine, how.weight, report)) {
      report.skipped = nothing_counts(report);
      return report;
    }
    tutti::all_reduce(parts_.comm, total, weighted_mean{}, parts_.topology, parts_.codec, how);
    if (usable(total, round, mine.first_bad))
      apply(total);
    else
      report.skipped = was_skipped(round) + "the mean of the clients holds a NaN or an infinity";
    return report;
  }

  /// Leaves the mean of this rank's clients in `total`, which is zero.
  share train_share(const std::vector<int>& cohort, std::uint32_t round, std::vector<T>& total) {
    std::vector<int> own;
    std::vector<double> weights;
    for (std::size_t k = std::size_t(parts_.comm.rank()); k < cohort.size();
         k += std::size_t(parts_.comm.size())) {
      own.push_back(cohort[k]);
      weights.push_back(client_weight(cohort[k]));
    }
    share mine;
    bool first = true;
    std::vector<T> trained;
    for (std::size_t k = 0; k < own.size(); ++k) {
      if (weights[k] == 0) continue;
      trained = global_;
      clients_.train(own[k], sync_.epochs, std::span<const T>{global_},
                     random_stream{how_.seed, round, std::uint64_t(own[k])}, std::span<T>{trained});
      if (!wrote(trained)) {
        ++mine.silent;
        continue;
      }
      if (mine.first_bad == nobody && !detail::all_finite(std::span<const T>{trained})) mine.first_bad = own[k];
      double weight = weights[k];
      const int exponent = detail::scale_weights({&weight, 1});
      if (std::exchange(first, false)) mine.exponent = exponent;
      if (exponent > mine.exponent) rescale(mine, total, exponent); // the heaviest that wrote so far
      weight = std::ldexp(weight, exponent - mine.exponent);
      add_difference(total, trained, weight);
      mine.weight += weight;
    }
    if (mine.weight > 0)
      detail::exactly([&] {
        for (T& t : total) t = static_cast<T>(t / static_cast<T>(mine.weight));
      });
    return mine;
  }

  /// By a power of two, so that no bit is lost but where a client weighs next to nothing.
  static void rescale(share& mine, std::vector<T>& total, int exponent) {
    const detail::exact_mode held;
    const int down = mine.exponent - exponent;
    for (T& t : total) t = std::ldexp(t, down);
    mine.weight = std::ldexp(mine.weight, down);
    mine.exponent = exponent;
  }

  /// Whether a client has changed a bit of what it was given.
  bool wrote(const std::vector<T>& trained) const {
    const std::size_t bytes = global_.size() * sizeof(T);
    return bytes == 0 || std::memcmp(trained.data(), global_.data(), bytes) != 0;
  }

  /// What this rank's mean counts for beside those of the others; false when nothing counts on any.
  bool agree_on_weight(const share& mine, double& weight, round_report& report) {
    const std::array<double, 3> told{mine.weight, double(mine.exponent), double(mine.silent)};
    std::vector<double> all(told.size() * std::size_t(parts_.comm.size()));
    tutti::all_gather(tutti::control_of(parts_.comm), told, all, options{.timeout = parts_.how.timeout});
    bool counts = false;
    double exponent = 0; // the greatest of those who count
    for (std::size_t k = 0; k < all.size(); k += told.size()) {
      report.silent += int(all[k + 2]);
      if (all[k] == 0) continue;
      exponent = counts ? (std::max)(exponent, all[k + 1]) : all[k + 1];
      counts = true;
    }
    weight = std::ldexp(mine.weight, mine.exponent - int(exponent));
    return counts;
  }

  static std::string was_skipped(std::uint32_t round) {
    return "round " + std::to_string(round) + " was skipped: ";
  }
  static std::string nothing_counts(const round_report& report) {
    const std::string drawn = std::to_string(report.clients);
    return was_skipped(std::uint32_t(report.round)) +
           (report.silent == 0
                ? "none of its " + drawn +
                      " clients holds an example - draw more of them, or leave out who has no data"
                : std::to_string(report.silent) + " of its " + drawn +
                      " clients wrote no parameters, and none of the others holds an example - "
                      "write what was trained to `out`");
  }

  /// The reduced difference is the same on all ranks, and so is the verdict on it.
  bool usable(const std::vector<T>& total, std::uint32_t round, std::int64_t first_bad) {
    if (training_.non_finite == non_finite::pass || detail::all_finite(std::span<const T>{total})) return true;
    if (training_.non_finite == non_finite::skip) return false;
    const std::array<std::int64_t, 1> mine{first_bad};
    std::vector<std::int64_t> all(std::size_t(parts_.comm.size()));
    tutti::all_gather(tutti::control_of(parts_.comm), mine, all, options{.timeout = parts_.how.timeout});
    failure f{.code = error_code::non_finite, .call = "run", .rank = parts_.comm.rank()};
    f.detail = "round " + std::to_string(round) + ": the mean of the clients overflowed";
    for (std::size_t r = 0; r < all.size(); ++r)
      if (all[r] != nobody) {
        f.peer = int(r);
        f.detail = "round " + std::to_string(round) + ": client " + std::to_string(all[r]) +
                   " on rank " + std::to_string(r) + " returned a NaN or an infinity";
        break;
      }
    throw error{std::move(f)};
  }

  /// A client that cannot be weighed is its rank's failure, and so everybody's.
  double client_weight(int client) {
    if constexpr (is_weighted<std::remove_cvref_t<decltype(parts_.reducer)>>) {
      const double examples = double(clients_.examples(client));
      if (!(examples >= 0) || !is_finite(examples)) {
        failure why{.code = error_code::invalid_argument,
                    .call = "run",
                    .rank = parts_.comm.rank(),
                    .peer = parts_.comm.rank(),
                    .detail = "client " + std::to_string(client) + " has " +
                              std::to_string(examples) +
                              " examples - give a number that is not negative"};
        parts_.comm.revoke(why);
        throw error{std::move(why)};
      }
      return examples;
    } else {
      return 1.0;
    }
  }
  void add_difference(std::vector<T>& total, const std::vector<T>& trained, double weight) const {
    const exact_mode held;
    const rounding rounded;
    const T w = static_cast<T>(weight);
    for (std::size_t i = 0; i < total.size(); ++i) total[i] += rounded(w * (trained[i] - global_[i]));
  }
  void apply(const std::vector<T>& difference) {
    const exact_mode held;
    const rounding rounded;
    const T rate = static_cast<T>(sync_.server_rate);
    for (std::size_t i = 0; i < global_.size(); ++i) global_[i] += rounded(rate * difference[i]);
    auto from = global_.begin();
    for (tensor<T>& p : parameters_) {
      std::copy(from, from + std::ptrdiff_t(p.values.size()), p.values.begin());
      from += std::ptrdiff_t(p.values.size());
    }
  }
  double evaluate() {
    if constexpr (requires { clients_.evaluate(std::span<const T>{global_}, 0, 1); }) {
      const score mine = clients_.evaluate(std::span<const T>{global_}, parts_.comm.rank(),
                                           parts_.comm.size());
      std::array<double, 2> sums{mine.sum, mine.count};
      tutti::all_reduce(tutti::control_of(parts_.comm), sums, sum{}, options{.timeout = parts_.how.timeout});
      return detail::exactly([&] { return sums[1] > 0 ? sums[0] / sums[1] : 0; });
    } else {
      return 0;
    }
  }

  static constexpr std::int64_t nobody = -1;

  Parts parts_;
  const Sync& sync_;
  training_options training_;
  std::vector<tensor<T>> parameters_;
  Population& clients_;
  run_options how_;
  std::vector<T> global_;
};

} // namespace detail
} // namespace tutti
