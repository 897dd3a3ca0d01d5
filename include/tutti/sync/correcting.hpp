// Policies whose clients correct their gradients by what they keep from round to round: SCAFFOLD and FedDyn.
#pragma once

#include <tutti/optimizers/optimizer.hpp>
#include <tutti/sync/federated.hpp>

#include <array>
#include <concepts>
#include <cstdint>
#include <string_view>
#include <tuple>

namespace tutti {

/// What a client keeps: nothing, a control variate, or the dual of a constraint; as many values as the model.
enum class client_keeps : std::uint8_t { nothing, variates, duals };

/// SCAFFOLD (Karimireddy et al. 2020, arXiv 1910.06378): each client keeps c_i, all know c, zeros at first, and
/// gradients of local_training::step become g - c_i + c. After K steps of rate r a client's new c_i is c_i - c + (sent
/// out - trained) / (K r), or with `at_start` (option I) the gradient at what was sent out, which the population says
/// by local.tell_gradient(gradient); c moves by sum(new c_i - c_i) / clients. For clients that descend by plain steps
/// of sgd. Everything else is as in federated: tutti::scaffold{{.fraction = .1, .epochs = 5}}. Cost beside it: the
/// model once for every client that has been drawn, at the rank where it lives, and saved with a checkpoint; a reduce
/// and a broadcast of one more model a round. c does not depend on the number of ranks.
template <class Outer = sgd, class Sampler = by_fraction>
struct scaffold_by : federated_by<Outer, Sampler> {
  static constexpr client_keeps keeps = client_keeps::variates;

  bool at_start = false;

  auto compared() const { return std::tuple_cat(detail::numbers_of_rounds(*this), std::tie(at_start)); }
};
using scaffold = scaffold_by<>;

/// FedDyn's step at the server: h += alpha participation D, p -= learning_rate (D + h / alpha), D what was sent out
/// minus the mean of what was trained. Federated rounds set `alpha` and `participation`, the share of clients that was
/// drawn.
struct dynamic_outer {
  static constexpr std::array<std::string_view, 1> slots{"h"};

  double learning_rate = 1;
  double alpha = 0.1;
  double participation = 1;

  template <std::floating_point T>
  auto at(std::int64_t /*step*/) const {
    return [rate = T(learning_rate), adds = T(alpha * participation), divides = T(1 / alpha)](
               const rounding& rounded, T& p, T g, T* state) {
      state[0] += rounded(adds * g);
      p -= rounded(rate * (g + rounded(divides * state[0])));
    };
  }
};

/// FedDyn (Acar et al. 2021, arXiv 2111.04263): each client keeps g_i, zeros at first, and gradients of
/// local_training::step become g - g_i + alpha (p - sent out), alpha being `proximal`, which has to be positive; then
/// g_i -= alpha (trained - sent out). At the server h -= alpha / clients sum(trained - sent out), and the model is the
/// mean of the clients minus h / alpha. As there with the reducer mean: tutti::fed_dyn{{.fraction = .1, .proximal =
/// .01}}. Cost beside federated: the model once for every client that has been drawn, and h.
template <class Sampler = by_fraction>
struct fed_dyn_by : federated_by<dynamic_outer, Sampler> {
  static constexpr client_keeps keeps = client_keeps::duals;

  auto compared() const { return detail::numbers_of_rounds(*this); }
};
using fed_dyn = fed_dyn_by<>;

} // namespace tutti
