// corrections: what clients of SCAFFOLD and FedDyn add to their gradients, and what becomes of it in a round over a
// population.
#pragma once

#include <tutti/carriers/control.hpp>
#include <tutti/federated/client_states.hpp>
#include <tutti/federated/common_variate.hpp>
#include <tutti/federated/kept_by_clients.hpp>
#include <tutti/federated/local_training.hpp>
#include <tutti/federated/meetings.hpp>
#include <tutti/sync/correcting.hpp>
#include <tutti/training/resuming.hpp>

#include <algorithm>
#include <cstddef>
#include <span>
#include <utility>
#include <vector>

namespace tutti::detail {

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

  corrections(const keeping& how, std::span<const tensor<T>> model, int clients, int rank, int size, Reduce reduce)
      : how_{how}, states_{model, clients, rank, size},
        variate_{has_variates() ? states_.common().size() : 0, clients, std::move(reduce)},
        correction_(states_.common().size()), next_(states_.common().size()) {}

  /// The rank where a client lives.
  int home_of(int client) const { return states_.home_of(client); }

  void begin(control& ranks, const cohort_roll& roll, clients_of_rank own) {
    for (const attendee& one : roll.all()) states_.draw(one.client);
    if (has_variates()) variate_.begin(ranks, roll, own);
  }
  /// What a client adds to its gradients.
  std::span<const T> of(int client) {
    detail::correct<T>(states_.common(), states_.of(client), correction_);
    return correction_;
  }
  /// The client that has just been trained counts: what it keeps changes. Nothing does where that would be no number.
  template <class Optimizer>
  void keep(const weighed_client& one, const local_training<T, Optimizer>& local) {
    const std::span<T> own = states_.of(one.client);
    if (!detail::keep_next<T>(how_, one.client, local, states_.common(), own, next_)) return;
    if (has_variates() && !variate_.add(one, own, next_)) return;
    std::copy(next_.begin(), next_.end(), own.begin());
  }
  /// c moves, alike on every rank.
  void meet(control& ranks, cohort_roll& roll, const round_report& report, non_finite bad) {
    if (has_variates()) variate_.meet(ranks, roll, report, bad, states_.common());
  }

  void state(archive& to) override { states_.state(to); }

private:
  bool has_variates() const noexcept { return how_.what == client_keeps::variates; }

  keeping how_;
  client_states<T> states_;
  common_variate<T, Reduce> variate_;
  std::vector<T> correction_, next_;
};

} // namespace tutti::detail
