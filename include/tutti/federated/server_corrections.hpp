// server_corrections: what a round_server knows of what its clients keep: which of their answers counted, and
// SCAFFOLD's c. What a client keeps is at the rank that it is.
#pragma once

#include <tutti/carriers/control.hpp>
#include <tutti/core/archive.hpp>
#include <tutti/core/tensor.hpp>
#include <tutti/federated/common_variate.hpp>
#include <tutti/federated/meetings.hpp>
#include <tutti/federated/round_messages.hpp>
#include <tutti/federated/round_report.hpp>
#include <tutti/federated/rounds_plan.hpp>
#include <tutti/sync/correcting.hpp>
#include <tutti/training/options.hpp>

#include <cstddef>
#include <cstdint>
#include <map>
#include <span>
#include <string>
#include <vector>

namespace tutti::detail {

/// Memory: two numbers for each client that has counted; of a float model 7 times where c is kept, else nothing.
template <class T>
class server_corrections {
public:
  /// Of clients that are so many in all.
  server_corrections(const keeping& how, std::span<const tensor<T>> model, int clients)
      : how_{how}, model_{model}, clients_{clients}, common_(has_variates() ? detail::values_in(model) : 0),
        variate_{common_.size(), clients, {}} {}

  const keeping& how() const noexcept { return how_; }
  bool any() const noexcept { return how_.what != client_keeps::nothing; }
  /// c, of as many values as the model; none where clients have nothing in common.
  std::span<const T> common() const noexcept { return common_; }
  /// The last round in which an answer of this client counted for what it keeps; 0 for none.
  std::uint32_t counted_in(int client) const {
    const auto at = counted_.find(client);
    return at == counted_.end() ? 0 : at->second;
  }

  void begin(control& ranks, const cohort_roll& roll, clients_of_rank own) {
    if (has_variates()) variate_.begin(ranks, roll, own);
  }
  /// Its answer counts, and what it keeps has changed by `change`, old minus new; none where that is not to be known or
  /// nothing has.
  void keep(const weighed_client& one, std::span<const T> change, std::uint32_t round) {
    if (!any() || (has_variates() && !change.empty() && !variate_.add(one, change, {}))) return;
    counted_[one.client] = round;
  }
  void meet(control& ranks, cohort_roll& roll, const round_report& report, non_finite bad) {
    if (has_variates()) variate_.meet(ranks, roll, report, bad, common_);
  }
  /// FedDyn's step at the server has to know which share of the clients counts.
  template <class Outer>
  void tell(Outer& outer, double counting) const {
    if constexpr (requires { outer.participation = outer.alpha; }) {
      outer.participation = clients_ > 0 ? counting / clients_ : 0;
      outer.alpha = how_.alpha;
    }
  }

  void state(archive& to) {
    if (!any()) return;
    detail::visit_clients(to, counted_);
    for (auto& [client, round] : counted_)
      detail::visit_round(to, "client " + std::to_string(client) + " counted in round", round);
    if (has_variates()) detail::visit_flat<T>(to, "clients' common", model_, common_);
  }

private:
  /// One rank has all of the sum.
  struct alone {
    template <class A>
    void operator()(std::span<A>) const {}
  };

  bool has_variates() const noexcept { return how_.what == client_keeps::variates; }

  keeping how_;
  std::span<const tensor<T>> model_;
  int clients_;
  std::vector<T> common_;
  common_variate<T, alone> variate_;
  std::map<int, std::uint32_t> counted_;
};

} // namespace tutti::detail
