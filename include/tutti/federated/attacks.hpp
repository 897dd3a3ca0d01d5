// Attacks: what clients send who do not mean well, for trying rules against them.
//
//   attack(known, own, draw)   of differences, trained minus received: `own` is what the attacker has learnt, and
//                              becomes what it sends; `known` is what it knows of honest ones, and `draw` is its own
//                              stream of random numbers
//   attack.wants_known         whether it looks at them
//
// An attack is a function of its arguments alone; `attacked` puts one into any population. Who attacks by its data
// alone flips labels there (attacks::flipped_label), and sends what it learns of them.
#pragma once

#include <tutti/core/error.hpp>
#include <tutti/core/random.hpp>
#include <tutti/federated/partition.hpp>
#include <tutti/federated/population.hpp>

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <numbers>
#include <span>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

namespace tutti {

namespace attacks {

/// Differences of honest clients, each as long as the model.
using known_updates = std::span<const std::vector<double>>;

/// Labels count from 0: the last for the first, and so on. Who trains on these does not know better.
constexpr int flipped_label(int label, int labels) noexcept { return labels - 1 - label; }

/// The opposite of what it has learnt, `times` as much.
struct sign_flip {
  static constexpr bool wants_known = false;
  double times = 1;

  void operator()(known_updates, std::span<double> own, random_stream) const {
    for (double& x : own) x *= -times;
  }
};

/// Normally distributed numbers in the place of what it has learnt.
struct gaussian {
  static constexpr bool wants_known = false;
  double deviation = 1;

  void operator()(known_updates, std::span<double> own, random_stream draw) const {
    for (double& x : own) x = deviation * detail::normal_number(draw);
  }
};

/// The mean of what is known, `deviations` standard deviations off in each coordinate, where it is not seen among the
/// honest: mu - z sigma. Baruch, Baruch, Goldberg, "A little is enough" (NeurIPS 2019, arXiv 1902.06156), algorithm 3.
struct a_little_is_enough {
  static constexpr bool wants_known = true;
  double deviations = 1;

  /// z of their equation: so many that, where all is normal, more than half of the clients still have an attacker
  /// nearer to the mean than itself. `attackers` of `clients`, fewer than half; 0 where no z is small enough.
  static double most_deviations(int clients, int attackers) {
    const double honest = clients - attackers, needed = std::floor(clients / 2. + 1) - attackers;
    const double share = (honest - needed) / honest;
    if (!(share > .5)) return 0;
    double low = 0, high = 40;
    for (int k = 0; k < 64; ++k) {
      const double z = (low + high) / 2;
      (std::erfc(-z / std::numbers::sqrt2) / 2 < share ? low : high) = z;
    }
    return low;
  }

  void operator()(known_updates known, std::span<double> own, random_stream) const {
    const auto n = double(known.size());
    for (std::size_t i = 0; i < own.size(); ++i) {
      double mean = 0, variance = 0;
      for (const auto& one : known) mean += one[i] / n;
      for (const auto& one : known) variance += (one[i] - mean) * (one[i] - mean) / n;
      own[i] = mean - deviations * std::sqrt(variance);
    }
  }
};

/// The opposite of the mean of what is known: -epsilon mu. A small epsilon hides in the crowd, a large one carries a
/// mean away. Xie, Koyejo, Gupta, "Fall of empires" (UAI 2020, arXiv 1903.03936), section 4.
struct inner_product_manipulation {
  static constexpr bool wants_known = true;
  double epsilon = 1;

  void operator()(known_updates known, std::span<double> own, random_stream) const {
    for (std::size_t i = 0; i < own.size(); ++i) {
      double mean = 0;
      for (const auto& one : known) mean += one[i] / double(known.size());
      own[i] = -epsilon * mean;
    }
  }
};

} // namespace attacks

/// `honest` with its first `attackers` clients attacking. They know what each other would have sent in the same round
/// as honest clients, as colluders do; an attack that wants that has each rank train all of them, once a round, for its
/// memory `attackers` times the model in double. Draws are named by `seed`, round and client, so a round has the same
/// bits on any number of ranks. `honest` must outlive it. Throws invalid_argument.
template <class Population, class Attack>
class attacked {
public:
  attacked(Population& honest, int attackers, Attack attack, std::uint64_t seed = 1)
      : honest_{honest}, attack_{std::move(attack)}, attackers_{attackers}, seed_{seed} {
    if (attackers < 0 || attackers > honest.clients())
      throw error{{.code = error_code::invalid_argument,
                   .call = "attacked",
                   .detail = std::to_string(attackers) + " of " + std::to_string(honest.clients()) +
                             " clients are to attack - give a number from 0 to all of them"}};
  }

  int clients() const { return honest_.clients(); }
  double examples(int client) const { return double(honest_.examples(client)); }

  template <class T, class Optimizer>
  auto train(int client, local_training<T, Optimizer>& local, random_stream random) {
    if (client >= attackers_) return honest_.train(client, local, random);
    if (attack_.wants_known && std::exchange(round_, local.round()) != local.round()) get_to_know(local);
    if constexpr (std::is_void_v<decltype(honest_.train(client, local, random))>) {
      honest_.train(client, local, random);
      spoil(client, local);
    } else {
      const auto said = honest_.train(client, local, random); // of itself it says what an honest one would
      spoil(client, local);
      return said;
    }
  }
  bool available(int client, int round)
    requires requires(Population& p) { p.available(client, round); }
  {
    return honest_.available(client, round);
  }
  double duration(int client, int round)
    requires requires(Population& p) { p.duration(client, round); }
  {
    return double(honest_.duration(client, round));
  }
  template <class T>
  score evaluate(std::span<const T> parameters, int part, int parts)
    requires requires(Population& p) { p.evaluate(parameters, part, parts); }
  {
    return honest_.evaluate(parameters, part, parts);
  }

private:
  random_stream drawn(std::int64_t round, int client, std::uint64_t what) const {
    return random_stream{seed_ ^ 0x9e3779b97f4a7c15, std::uint32_t(round), std::uint64_t(client) << 1 | what};
  }
  template <class Local>
  static std::vector<double> learnt(const Local& local) {
    std::vector<double> out(local.parameters().begin(), local.parameters().end());
    for (std::size_t i = 0; i < out.size(); ++i) out[i] -= double(local.received()[i]);
    return out;
  }
  template <class T, class Optimizer>
  void spoil(int client, local_training<T, Optimizer>& local) {
    std::vector<double> own = learnt(local);
    attack_(attacks::known_updates{known_}, std::span{own}, drawn(local.round(), client, 1));
    for (std::size_t i = 0; i < own.size(); ++i)
      local.parameters()[i] = static_cast<T>(double(local.received()[i]) + own[i]);
  }
  template <class Local>
  void get_to_know(Local& local) {
    const auto received = local.received(), correction = local.correction();
    known_.clear();
    for (int client = 0; client < attackers_; ++client) {
      local.begin(received, local.round());
      honest_.train(client, local, drawn(local.round(), client, 0));
      known_.push_back(learnt(local));
    }
    local.begin(received, local.round(), correction);
  }

  Population& honest_;
  Attack attack_;
  int attackers_;
  std::uint64_t seed_;
  std::int64_t round_ = 0; ///< of what is known
  std::vector<std::vector<double>> known_;
};

} // namespace tutti
