// federated: rounds over a population of clients whose data stays where it is.
#pragma once

#include <tutti/optimizers/sgd.hpp>
#include <tutti/sync/attendance.hpp>
#include <tutti/sync/sampling.hpp>
#include <tutti/sync/sync_policy.hpp>

#include <cstdint>
#include <tuple>
#include <type_traits>
#include <vector>

namespace tutti {

namespace detail {

/// The rate at which the mean of the clients is taken as it is.
template <class Outer>
inline constexpr Outer outer_of_rounds{};
template <>
inline constexpr sgd outer_of_rounds<sgd>{.learning_rate = 1};

} // namespace detail

/// Federated averaging (McMahan et al. 2017, arXiv 1602.05629, algorithm 1). In each round a cohort of
/// max(1, fraction * clients) clients is drawn, the same on all ranks; each trains `epochs` epochs from
/// the current parameters on its own data; the mean of the differences, sent out minus trained, weighted by
/// their numbers of examples with `weighted_mean`, is the gradient of a step of `outer`. With sgd at a rate of 1 the
/// parameters become the mean of the clients'; a momentum of .9 makes it FedAvgM (Hsu et al. 2019,
/// arXiv 1909.06335), and fed_adagrad, fed_adam and fed_yogi are rules of their own.
/// `clip` > 0 scales a client's difference, all tensors together, down to that length (L2).
/// With a reducer that promises it, reproducible_mean or reproducible_weighted_mean, the bits do not depend on the
/// number of ranks: differences are added in fixed point where they are clipped, and in bins where not.
///
/// `proximal` > 0 adds proximal (p - sent out) to the gradients of local_training::step: FedProx (Li et al. 2020,
/// arXiv 1812.06127), with its mu. `normalized` counts each client's difference per step that it has made, and
/// multiplies the mean of these by the mean of the steps, as FedNova (Wang et al. 2020, arXiv 2007.07481, equation 9):
/// who makes more steps is heard no louder. Of clients with the momentum m, step k of n counts (1 - m^(n - k + 1)) /
/// (1 - m).
///
/// `attendance` says what is stood of clients that are not there, drop out, come late or send nonsense.
template <class Outer, class Sampler = by_fraction>
struct federated_by {
  using part = sync_part;
  static constexpr determinism repeats = determinism::rank_count_invariant; // as far as the reducer's
  static constexpr bool over_population = true;

  double fraction = 0.1;
  int epochs = 1;
  Outer outer = detail::outer_of_rounds<Outer>;
  double clip = 0;
  double proximal = 0;
  bool normalized = false;
  Sampler sampler = {}; ///< in the place of `fraction`, where it is not by_fraction (sync/sampling.hpp)
  tutti::attendance attendance = {};

  /// The size of the cohort that is drawn from `clients`.
  constexpr int cohort(int clients) const noexcept {
    const int wanted = static_cast<int>(fraction * clients + 0.5);
    return wanted < 1 ? 1 : wanted > clients ? clients : wanted;
  }
  /// Who is asked in a round, where a sampler says it; examples(client) is what one holds.
  template <class Examples>
    requires(!std::is_same_v<Sampler, by_fraction>)
  std::vector<int> drawn(int clients, std::uint64_t seed, std::uint32_t round, Examples&& examples) const {
    return sampler.draw(clients, seed, round, examples);
  }
};

using federated = federated_by<sgd>;

namespace detail {

/// The numbers of a policy that is another one and more.
template <class Base>
auto numbers_of_rounds(const Base& b) {
  return std::tie(b.fraction, b.epochs, b.outer, b.clip, b.proximal, b.normalized, b.sampler, b.attendance);
}

} // namespace detail

} // namespace tutti
