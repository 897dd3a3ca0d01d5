// What clients of SCAFFOLD and FedDyn keep from one round to the next, and what it comes to when they have trained:
// the same where clients live at the ranks of a population and where ranks are the clients of a server.
#pragma once

#include <tutti/core/archive.hpp>
#include <tutti/core/error.hpp>
#include <tutti/core/exact_arithmetic.hpp>
#include <tutti/core/flat_model.hpp>
#include <tutti/core/rounded.hpp>
#include <tutti/core/tensor.hpp>
#include <tutti/federated/local_training.hpp>
#include <tutti/sync/correcting.hpp>
#include <tutti/training/updating.hpp>
#include <tutti/training/verdict.hpp>

#include <algorithm>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <map>
#include <span>
#include <string>
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

/// What a policy says of it: alpha is FedDyn's.
struct keeping {
  client_keeps what = client_keeps::nothing;
  bool at_start = false;
  double alpha = 0;
};

/// The numbers of the clients that a map has, as they are saved: when loaded, it has those that were. Throws bad_data
/// for what cannot be.
template <class Kept>
void visit_clients(archive& to, std::map<int, Kept>& of) {
  const auto require = [](bool right) {
    if (right) return;
    throw error{{.code = error_code::bad_data, .call = "load", .detail = "the numbers of clients cannot be"}};
  };
  auto n = std::int64_t(of.size());
  to.number("clients that keep something", n);
  require(n >= 0);
  std::vector<int> all;
  for (auto at = of.begin(); std::int64_t(all.size()) < n;) {
    std::int64_t client = at == of.end() ? 0 : (at++)->first;
    to.number("client " + std::to_string(all.size()) + " of them", client);
    require(client > (all.empty() ? -1 : all.back()) && client <= (std::numeric_limits<int>::max)());
    all.push_back(int(client));
  }
  std::erase_if(of, [&](const auto& one) { return !std::ranges::binary_search(all, one.first); });
  for (const int client : all) of[client];
}
/// From 1, or 0 for none.
inline void visit_round(archive& to, const std::string& name, std::uint32_t& round) {
  auto wide = std::int64_t(round);
  to.number(name, wide);
  if (wide < 0 || wide > (std::numeric_limits<std::uint32_t>::max)())
    throw error{{.code = error_code::bad_data, .call = "load", .detail = "a round that cannot be"}};
  round = std::uint32_t(wide);
}
/// As many values as the model has, tensor by tensor, in the same order.
template <class T>
void visit_flat(archive& to, const std::string& name, std::span<const tensor<T>> model, std::span<T> values) {
  const flat_model<T> flat{{model.begin(), model.end()}};
  for (std::size_t k = 0, begin = 0; k < model.size(); begin += model[k].values.size(), ++k)
    to.values(name, values.subspan(begin, model[k].values.size()), flat.place_of(k), held_by::everyone);
}

/// What a client adds to its gradients: what all know, minus its own. Duals have nothing in common: zeros.
template <class T>
void correct(std::span<const T> common, std::span<const T> own, std::span<T> correction) {
  for (std::size_t i = 0; i < own.size(); ++i) correction[i] = common[i] - own[i];
}

/// What the client that has just been trained keeps from now on, where it counts. False where nothing changes: it has
/// written its parameters, or what would come out is no number. Throws invalid_argument where SCAFFOLD's option I is
/// told no gradient.
template <class T, class Optimizer>
bool keep_next(const keeping& how, int client, const local_training<T, Optimizer>& local, std::span<const T> common,
               std::span<const T> own, std::span<T> next) {
  const exact_mode held;
  const rounding rounded;
  const std::span<const T> sent = local.received(), trained = local.parameters();
  if (how.what == client_keeps::duals) {
    const auto alpha = static_cast<T>(how.alpha);
    for (std::size_t i = 0; i < own.size(); ++i) next[i] = own[i] + rounded(alpha * (sent[i] - trained[i]));
  } else if (how.at_start) {
    const std::span<const T> told = local.told_gradient();
    if (told.empty() && !own.empty())
      throw error{{.code = error_code::invalid_argument,
                   .call = "run",
                   .detail = "client " + std::to_string(client) +
                             " told no gradient, and scaffold::at_start asks for the one at what was sent out - call "
                             "local.tell_gradient(gradient)"}};
    std::copy(told.begin(), told.end(), next.begin());
  } else {
    const double way = double(local.steps()) * detail::rate_of(local.optimizer());
    if (!(way > 0)) return false;
    const auto by = static_cast<T>(1 / way);
    for (std::size_t i = 0; i < own.size(); ++i)
      next[i] = rounded(by * (sent[i] - trained[i])) - (common[i] - own[i]);
  }
  return detail::all_finite(std::span<const T>{next});
}

} // namespace tutti::detail
