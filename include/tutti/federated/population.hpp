// A population: clients whose data stays where it is, and who is asked in which round.
//
//   clients()                        how many
//   examples(client)                 how many examples a client holds: its weight. One of none is not
//                                    trained where that is what counts
//   train(client, local, random)     trains on the client's own data: `local` (local_training.hpp) has the
//                                    parameters of the round and an optimizer. Who makes no step and
//                                    leaves every bit as it was has written nothing and does not count.
//                                    Draws only from `random`, a stream of (seed, round, client), so that
//                                    the result does not depend on which rank runs the client
//   evaluate(parameters, part, parts) -> score     optional: the part-th of `parts` shares of a test set
//
// Clients are logical: thousands live on a few ranks, and any rank can run any client.
#pragma once

#include <tutti/core/error.hpp>
#include <tutti/core/random.hpp>
#include <tutti/federated/local_training.hpp>

#include <concepts>
#include <cstdint>
#include <string>
#include <utility>
#include <vector>

namespace tutti {

/// A sum over `count` test examples: correct answers, or losses.
struct score {
  double sum = 0;
  double count = 0;
};

/// `Optimizer` is that of the clients.
template <class P, class T, class Optimizer = sgd>
concept population = requires(P& p, int client, local_training<T, Optimizer>& local, random_stream random) {
  { p.clients() } -> std::convertible_to<int>;
  { p.examples(client) } -> std::convertible_to<double>;
  p.train(client, local, random);
};

/// `count` of `clients` distinct clients, drawn uniformly by (seed, round): the same on every rank.
/// Throws invalid_argument when there are not that many.
inline std::vector<int> draw_cohort(int clients, int count, std::uint64_t seed, std::uint32_t round) {
  if (clients < 0 || count < 0 || count > clients)
    throw error{{.code = error_code::invalid_argument,
                 .call = "draw_cohort",
                 .detail = std::to_string(count) + " of " + std::to_string(clients) +
                           " clients were asked for - draw at least none and at most all of them"}};
  // Streams of clients are named 0 .. clients - 1; the draw itself has a name of its own.
  random_stream random{seed, round, ~std::uint64_t{0}};
  std::vector<int> all(static_cast<std::size_t>(clients));
  for (int c = 0; c < clients; ++c) all[std::size_t(c)] = c;
  for (int k = 0; k < count; ++k) {
    const auto j = std::size_t(k) + random.below(std::uint32_t(clients - k));
    std::swap(all[std::size_t(k)], all[j]);
  }
  all.resize(std::size_t(count));
  return all;
}

} // namespace tutti
