// A population: clients whose data stays where it is, and who is asked in which round.
//
//   clients()                        how many
//   examples(client)                 how many examples a client holds: its weight, and what training it takes. One of
//                                    none is not trained where that is what counts
//   train(client, local, random)     trains on the client's own data: `local` (local_training.hpp) has the
//                                    parameters of the round and an optimizer. Who makes no step and
//                                    leaves every bit as it was has written nothing and does not count.
//                                    Draws only from `random`, a stream of (seed, round, client), so that
//                                    the result does not depend on which rank runs the client. Returns nothing, or a
//                                    `trained`: how many examples it has used, and metrics
//   available(client, round)         optional: whether the client is there in the round, from 1; another one is asked
//                                    where it is not
//   duration(client, round)          optional: how long the client takes, in any unit: what attendance::deadline and
//                                    attendance::over_select go by
//   evaluate(parameters, part, parts) -> score     optional: the part-th of `parts` shares of a test set
//
// Clients are logical: thousands live on a few ranks, and any rank can run any client. Every rank asks clients(),
// examples, available and duration, and is answered alike.
#pragma once

#include <tutti/core/random.hpp>
#include <tutti/federated/local_training.hpp>
#include <tutti/federated/trained.hpp>
#include <tutti/sync/sampling.hpp>

#include <concepts>
#include <type_traits>

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
  requires std::is_void_v<decltype(p.train(client, local, random))> ||
               std::same_as<decltype(p.train(client, local, random)), trained>;
};

} // namespace tutti
