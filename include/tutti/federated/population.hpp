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

#include <tutti/core/random.hpp>
#include <tutti/federated/local_training.hpp>
#include <tutti/sync/sampling.hpp>

#include <concepts>

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

} // namespace tutti
