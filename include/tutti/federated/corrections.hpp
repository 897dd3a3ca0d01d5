// corrections: what clients of SCAFFOLD and FedDyn add to their gradients, and what becomes of it in a round.
#pragma once

#include <tutti/carriers/control.hpp>
#include <tutti/core/error.hpp>
#include <tutti/core/exact_arithmetic.hpp>
#include <tutti/core/rounded.hpp>
#include <tutti/federated/client_states.hpp>
#include <tutti/federated/local_training.hpp>
#include <tutti/federated/meetings.hpp>
#include <tutti/sync/correcting.hpp>
#include <tutti/training/resuming.hpp>
#include <tutti/training/updating.hpp>
#include <tutti/training/verdict.hpp>

#include <algorithm>
#include <concepts>
#include <cstddef>
#include <span>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

namespace tutti::detail {

template <class Sync>
inline constexpr client_keeps keeps_of = client_keeps::nothing;
template <class Sync>
  requires requires { { Sync::keeps } -> std::convertible_to<client_keeps>; }
inline constexpr client_keeps keeps_of<Sync> = Sync::keeps;

/// Whether variates are told by a gradient at what was sent out, SCAFFOLD's option I.
template <class Sync>
bool begins_with_gradient(const Sync& sync) {
  if constexpr (requires { bool(sync.at_start); })
    return bool(sync.at_start);
  else
    return false;
}

/// Of policies whose clients keep nothing.
template <class T>
struct no_corrections {
  static constexpr bool any = false;
  int rank_of(std::size_t place, int /*client*/, int size) const { return int(place % std::size_t(size)); }
};

/// Clients live at a rank each, which trains them. `Reduce` is that of meeting_of_sums.
template <class T, class Reduce>
class corrections final : public kept_by_trainer {
public:
  static constexpr bool any = true;

  corrections(client_keeps what, bool at_start, double alpha, std::span<const tensor<T>> model, int clients, int rank,
              int size, Reduce reduce)
      : what_{what}, at_start_{at_start}, alpha_{static_cast<T>(alpha)}, clients_{clients},
        states_{model, clients, rank, size},
        changes_{what == client_keeps::variates ? values_in(model) : 0, 0, std::move(reduce)},
        correction_(values_in(model)), before_(values_in(model)) {}

  int rank_of(std::size_t /*place*/, int client, int size) const { return client % size; }

  void begin(control& ranks, const std::vector<int>& cohort, const std::vector<int>& homes, clients_of_rank own) {
    states_.draw(cohort);
    if (what_ != client_keeps::variates) return;
    std::vector<std::pair<int, double>> alike{own.begin(), own.end()};
    for (auto& [client, weight] : alike) weight = 1;
    changes_.begin(ranks, cohort, homes, alike);
  }
  /// What a client adds to its gradients.
  std::span<const T> of(int client) {
    const std::span<const T> own = states_.of(client), all = states_.common();
    for (std::size_t i = 0; i < own.size(); ++i) correction_[i] = all[i] - own[i]; // duals have nothing in common
    return correction_;
  }
  /// The client that has just been trained contributes: what it keeps changes.
  template <class Optimizer>
  void keep(int client, local_training<T, Optimizer>& local) {
    if (!detail::all_finite(std::span<const T>{local.parameters()})) return keep_silent();
    const exact_mode held;
    const rounding rounded;
    const std::span<T> own = states_.of(client);
    const std::span<const T> sent = local.received(), trained = local.parameters();
    if (what_ == client_keeps::duals) {
      for (std::size_t i = 0; i < own.size(); ++i) own[i] += rounded(alpha_ * (sent[i] - trained[i]));
      return;
    }
    std::copy(own.begin(), own.end(), before_.begin());
    if (at_start_) {
      const std::span<const T> told = require_told(client, local.told_gradient());
      std::copy(told.begin(), told.end(), own.begin());
    } else {
      const double way = double(local.steps()) * detail::rate_of(local.optimizer());
      if (!(way > 0)) return keep_silent(); // it has written its parameters
      const auto by = static_cast<T>(1 / way);
      for (std::size_t i = 0; i < own.size(); ++i)
        own[i] = rounded(by * (sent[i] - trained[i])) - (states_.common()[i] - before_[i]);
    }
    changes_.add(client, 1, before_, own, 1);
  }
  void keep_silent() {
    if (what_ == client_keeps::variates) changes_.add_silent();
  }
  /// c moves, alike on every rank.
  void meet(control& ranks, round_report report, non_finite bad) {
    if (what_ != client_keeps::variates) return;
    report.silent = 0;
    (void)changes_.meet(ranks, report, bad);
    if (!report.skipped.empty()) return;
    ranks.broadcast(std::as_writable_bytes(changes_.total()), 0);
    const exact_mode held;
    const rounding rounded;
    const auto share = static_cast<T>(changes_.weight() / clients_);
    const std::span<T> common = states_.common();
    for (std::size_t i = 0; i < common.size(); ++i) common[i] -= rounded(share * changes_.total()[i]);
  }

  void state(archive& to) override { states_.state(to); }

private:
  static std::size_t values_in(std::span<const tensor<T>> model) {
    std::size_t n = 0;
    for (const auto& t : model) n += t.values.size();
    return n;
  }
  static std::span<const T> require_told(int client, std::span<const T> told) {
    if (told.empty())
      throw error{{.code = error_code::invalid_argument,
                   .call = "run",
                   .detail = "client " + std::to_string(client) +
                             " told no gradient, and scaffold::at_start asks for the one at what was sent out - call "
                             "local.tell_gradient(gradient)"}};
    return told;
  }

  client_keeps what_;
  bool at_start_;
  T alpha_;
  int clients_;
  client_states<T> states_;
  meeting_of_sums<T, Reduce> changes_; ///< of variates: old minus new
  std::vector<T> correction_, before_;
};

} // namespace tutti::detail
