// FedBuff: the first rank is the server, and takes a step with every so many answers, whoever of the others is ready.
#include "run.hpp"

#include <tutti/federated/round_client.hpp>
#include <tutti/federated/round_server.hpp>

namespace federated_mnist {

namespace {

tutti::federated_report serve(world_type& world, const settings& s, people& honest, std::vector<float>& parameters) {
  tutti::round_server server{world, parameters, plain_policy(s),
                             {.seed = s.seed, .buffer = s.buffer, .staleness = s.staleness, .clients = s.clients}};
  support::progress bar{true, s.rounds};
  tutti::federated_report all;
  while (server.made() < s.rounds && !all.stopped) {
    tutti::round_report& round = all.rounds.emplace_back(server.next());
    const tutti::score right = honest.evaluate(parameters, 0, 1);
    round.metric = right.sum / right.count;
    bar.update(round.round, "test accuracy " + std::to_string(round.metric));
    all.stopped = round.metric >= s.until;
  }
  server.finish();
  return all;
}

} // namespace

tutti::federated_report buffered(world_type& world, const settings& s, const models::digits& data) {
  people honest{s, data};
  std::vector<float> parameters = honest.initial();
  if (world.rank() == 0) return serve(world, s, honest, parameters);
  population clients = attacked(s, honest);
  std::vector<int> mine;
  for (int c = world.rank() - 1; c < s.clients; c += world.size() - 1) mine.push_back(c);
  tutti::round_client client{world, parameters, tutti::sgd{.learning_rate = s.learning_rate}};
  client.serve(clients, mine);
  return {};
}

} // namespace federated_mnist
