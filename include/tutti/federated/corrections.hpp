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

  /// The rank where a client lives.
  int home_of(int client) const { return states_.home_of(client); }

  void begin(control& ranks, const cohort_roll& roll, clients_of_rank own) {
    for (const attendee& one : roll.all()) states_.draw(one.client);
    if (what_ != client_keeps::variates) return;
    alike_.assign(own.begin(), own.end());
    for (weighed_client& one : alike_) one.weight = 1;
    changes_.begin(ranks, roll, alike_);
  }
  /// What a client adds to its gradients.
  std::span<const T> of(int client) {
    const std::span<const T> own = states_.of(client), all = states_.common();
    for (std::size_t i = 0; i < own.size(); ++i) correction_[i] = all[i] - own[i]; // duals have nothing in common
    return correction_;
  }
  /// The client that has just been trained counts: what it keeps changes. Nothing does where that would be no number.
  template <class Optimizer>
  void keep(const weighed_client& one, local_training<T, Optimizer>& local) {
    const exact_mode held;
    const rounding rounded;
    const std::span<T> own = states_.of(one.client);
    const std::span<const T> sent = local.received(), trained = local.parameters();
    std::copy(own.begin(), own.end(), before_.begin());
    if (what_ == client_keeps::duals) {
      for (std::size_t i = 0; i < own.size(); ++i) own[i] += rounded(alpha_ * (sent[i] - trained[i]));
      if (!detail::all_finite(std::span<const T>{own})) std::copy(before_.begin(), before_.end(), own.begin());
      return;
    }
    if (at_start_) {
      const std::span<const T> told = require_told(one.client, local.told_gradient());
      std::copy(told.begin(), told.end(), own.begin());
    } else {
      const double way = double(local.steps()) * detail::rate_of(local.optimizer());
      if (!(way > 0)) return; // it has written its parameters
      const auto by = static_cast<T>(1 / way);
      for (std::size_t i = 0; i < own.size(); ++i)
        own[i] = rounded(by * (sent[i] - trained[i])) - (states_.common()[i] - before_[i]);
    }
    if (!changes_.add({.client = one.client, .weight = 1, .place = one.place}, before_, own, 1))
      std::copy(before_.begin(), before_.end(), own.begin());
  }
  /// c moves, alike on every rank.
  void meet(control& ranks, cohort_roll& roll, round_report report, non_finite bad) {
    if (what_ != client_keeps::variates) return;
    (void)changes_.meet(ranks, roll, report, bad);
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
  std::vector<weighed_client> alike_;
};

} // namespace tutti::detail
