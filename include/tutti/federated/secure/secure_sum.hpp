// secure_sum: rounds in which the server learns the sum over clients, and of none of them what it has sent.
#pragma once

#include <tutti/federated/accumulator.hpp>
#include <tutti/federated/secure/meeting_of_secrets.hpp>
#include <tutti/federated/secure/ring.hpp>
#include <tutti/federated/secure/session.hpp>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <string>
#include <utility>

namespace tutti {

/// A part of strategies over a population: differences, clipped by the policy and quantised to `Bits`, are added up by
/// the protocol of Bonawitz et al. 2017 (CCS), with as many `neighbours` each as Bell et al. 2020 (CCS) have it; the
/// weights as well. With reproducible_mean or reproducible_weighted_mean, the default beside it.
///
///   tutti::strategy{world, tutti::secure_sum{.neighbours = 32}, tutti::federated{.clip = 1}}
///   tutti::strategy{world, tutti::secure_sum_in<20, 1024, std::uint32_t>{}, tutti::federated{.clip = 1}}
///
/// With the 51 bits of secure_sum the parameters have the bits that they have without it, where weights are whole
/// numbers: masks cancel in integers. At most MostClients are drawn in a round; a word in which their sum might
/// overflow does not compile. Clients that write nothing, and those of a NaN, drop out after the exchange of keys, and
/// are recovered; a round in which fewer are left than the threshold says is skipped, and its report says so.
///
/// It hides clients from a server that follows the protocol and looks at all it is told, and from as many others as are
/// fewer than the threshold among the neighbours of each. Who takes part, the power of two above the greatest weight,
/// and the sum itself are known to all. Here ranks are the places of clients, and see what is at their place.
///
/// Cost of a round, c clients of k neighbours: 4 k c scalar multiplications of X25519, (k + 1) c keystreams of ChaCha20
/// as long as the model, a reduce of the words, and small messages between each rank and rank 0; there a keystream for
/// each survivor, and k for each who dropped out.
template <int Bits = 51, std::uint64_t MostClients = 1024, class Word = std::uint64_t>
struct secure_sum_in {
  using part = accumulator_part;
  using ring = secure::ring<Word, Bits, MostClients>;
  static constexpr bool sees_each = false;
  static constexpr bool in_integers = true;
  static_assert(sizeof(ring) > 0);

  int neighbours = 0; ///< of each client, an even number; 0 for all others
  int threshold = 0;  ///< of them, who have to be left; 0 for more than half

  std::string wrong(const accumulated_rounds& facts) const {
    if (!(facts.clip > 0))
      return "differences are not clipped, and numbers without a bound have no place in the words of a secure sum - "
             "give the clip of the sync policy";
    if (facts.normalized)
      return "differences count per step, and steps would be added up in the open beside a secure sum - leave "
             "normalized out";
    if (std::uint64_t(facts.cohort) > MostClients)
      return std::to_string(facts.cohort) + " clients are drawn, and the words of the secure sum have room for " +
             std::to_string(MostClients) + " - give more as MostClients";
    const int clients = facts.cohort > 0 ? facts.cohort : int((std::min)(MostClients, std::uint64_t{1} << 30));
    return secure::wrong_settings({.clients = clients, .neighbours = neighbours, .threshold = threshold});
  }
  template <class T, class Reduce>
  auto meeting(std::size_t n, const accumulated_rounds& facts, Reduce reduce) const {
    const secure::settings how{.neighbours = neighbours, .threshold = threshold, .seed = facts.seed};
    return secure::detail::meeting_of_secrets<T, ring, Reduce>{n, facts.clip, how, std::move(reduce)};
  }
};

using secure_sum = secure_sum_in<>;

} // namespace tutti
