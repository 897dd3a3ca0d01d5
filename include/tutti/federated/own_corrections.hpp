// own_corrections: what the clients of one rank keep from round to round, where a server asks them.
#pragma once

#include <tutti/core/archive.hpp>
#include <tutti/core/tensor.hpp>
#include <tutti/federated/kept_by_clients.hpp>
#include <tutti/federated/local_training.hpp>

#include <cstddef>
#include <cstdint>
#include <map>
#include <span>
#include <string>
#include <utility>
#include <vector>

namespace tutti::detail {

/// Whether an answer counts is known at the server, which says it when it asks the client again: until then there is
/// what it keeps and what it will. Memory: the model twice for each client that has been asked, and three times.
template <class T>
class own_corrections {
public:
  /// Of clients of such a model, which outlives it.
  explicit own_corrections(std::span<const tensor<T>> model) : model_{model} {
    for (const tensor<T>& t : model) n_ += t.values.size();
  }

  /// Clients are asked; of the answers of each the one of round `counted` was the last that counted, 0 for none, and
  /// what it came to is kept. Says in words where what is kept is of another round; empty where nothing is.
  std::string settle(std::span<const std::int32_t> clients, std::span<const std::uint32_t> counted) {
    for (std::size_t k = 0; k < counted.size(); ++k) {
      kept& one = clients_[clients[k]];
      if (one.answered != 0 && one.answered == counted[k]) {
        if (!one.next.empty()) one.values = std::exchange(one.next, {});
        one.round = counted[k];
      }
      one.answered = 0;
      if (one.round != counted[k])
        return "client " + std::to_string(clients[k]) + " last counted in round " + std::to_string(counted[k]) +
               ", and what it keeps is of round " + std::to_string(one.round) +
               " - load what it has saved together with the server";
    }
    return {};
  }
  /// What one of them adds to its gradients.
  std::span<const T> of(int client, std::span<const T> common) {
    kept& one = clients_.at(client);
    one.values.resize(n_);
    correction_.resize(n_);
    detail::correct<T>(common, one.values, correction_);
    return correction_;
  }
  /// The same client has trained. Returns old minus new of what it keeps; nothing where that does not change.
  template <class Optimizer>
  std::span<const T> keep(const keeping& how, int client, std::uint32_t round,
                          const local_training<T, Optimizer>& local, std::span<const T> common) {
    kept& one = clients_.at(client);
    one.answered = round;
    one.next.resize(n_);
    change_.resize(n_);
    bool changes = detail::keep_next<T>(how, client, local, common, one.values, one.next);
    if (changes) {
      for (std::size_t i = 0; i < change_.size(); ++i) change_[i] = one.values[i] - one.next[i];
      changes = how.what != client_keeps::variates || detail::all_finite(std::span<const T>{change_});
    }
    if (!changes) one.next.clear();
    return changes ? std::span<const T>{change_} : std::span<const T>{};
  }

  void state(archive& to) {
    detail::visit_clients(to, clients_);
    for (auto& [client, one] : clients_) {
      const std::string who = "client " + std::to_string(client);
      std::int64_t changes = !one.next.empty();
      detail::visit_round(to, who + " counted in round", one.round);
      detail::visit_round(to, who + " answered in round", one.answered);
      to.number(who + " changes", changes);
      visit(to, who + " keeps", one.values);
      if (changes != 0)
        visit(to, who + " will keep", one.next);
      else
        one.next.clear();
    }
  }

private:
  struct kept {
    std::vector<T> values, next; ///< `next` from where the answer of round `answered` counts; none for the same
    std::uint32_t round = 0, answered = 0;
  };

  void visit(archive& to, const std::string& name, std::vector<T>& values) {
    values.resize(n_);
    detail::visit_flat<T>(to, name, model_, values);
  }

  std::span<const tensor<T>> model_;
  std::size_t n_ = 0; ///< values of it
  std::map<int, kept> clients_;
  std::vector<T> correction_, change_;
};

} // namespace tutti::detail
