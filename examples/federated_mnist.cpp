// Federated averaging (McMahan et al. 2017): 100 clients hold 600 images each; ten of them train in
// a round, and their models are averaged, weighted by how many images they hold.
// test: --rounds 3 --at-least 0.8
// refuses: --json /no/such/folder/out => --json /no/such/folder/out: No such file .* - give a file
#include "models/local_training.hpp"
#include "models/mlp.hpp"
#include "models/mnist.hpp"
#include "support/json.hpp"
#include "support/launch.hpp"
#include "support/options.hpp"
#include "support/progress.hpp"

#include <CLI/CLI.hpp>
#include <tutti/tutti.hpp>

struct clients_of_mnist { // a population: what a federated strategy needs to know
  const models::digits& data;
  models::local_training how;
  std::vector<std::uint32_t> order; // shuffled once, then cut in 100: IID clients
  models::mlp model{};
  int clients() const { return 100; }
  std::span<const std::uint32_t> rows(int client) const {
    return models::client_rows(order, std::size_t(client), 100);
  }
  double examples(int client) const { return double(rows(client).size()); }
  void train(int client, tutti::local_training<float>& local, tutti::random_stream random) {
    model.load(local.received());
    how.epochs = local.epochs();
    models::train_client(model, data.training, rows(client), how, random());
    std::ranges::copy(model.flat_parameters(), local.parameters().begin());
  }
  tutti::score evaluate(std::span<const float> parameters, int part, int parts) {
    const auto mine = tutti::shard_of(data.test.size(), part, parts);
    model.load(parameters);
    return {double(model.correct(data.test, mine.begin, mine.end)), double(mine.end - mine.begin)};
  }
};

int main(int argc, char** argv) try {
  int ranks = 2, rounds = 200;
  double until = 2, at_least = 0;
  std::uint64_t seed = 1;
  models::local_training how;
  std::string json;
  CLI::App app{"Federated averaging on MNIST (below TUTTI_DATA, or generated images)"};
  app.option_defaults()->always_capture_default();
  app.add_option("--ranks", ranks, "threads that train clients");
  app.add_option("--rounds", rounds, "at most");
  app.add_option("--until", until, "stop at this test accuracy");
  app.add_option("--at-least", at_least, "fail when the last test accuracy is less");
  app.add_option("--seed", seed, "names every draw");
  app.add_option("--json", json, "write rounds and accuracy to this file");
  CLI11_PARSE(app, argc, argv);
  support::check_ranks(ranks);
  support::check_writable("--json", json);
  const auto data = models::find_digits();
  std::printf("%s: %zu images\n", data.source.c_str(), data.training.size());
  tutti::round_report last;
  tutti::threads::run(ranks, [&](auto& world) {
    clients_of_mnist clients{data, how, models::shuffled(data.training.size(), seed)};
    models::mlp model;
    model.initialise(seed);
    support::progress bar{world.rank() == 0, rounds};
    tutti::strategy strategy{world, tutti::star{}, tutti::weighted_mean{},
                             tutti::federated{.fraction = 0.1, .epochs = 1}};
    strategy.run(model.flat_parameters(), clients, {rounds, seed}, [&](const auto& round) {
      bar.update(round.round, "test accuracy " + std::to_string(round.metric));
      if (world.rank() == 0) last = round;
      if (world.rank() == 0 && !round.skipped.empty()) std::puts(round.skipped.c_str());
      return round.metric < until; // the same on every rank
    });
  });
  std::printf("round %d: test accuracy %.4f\n", last.round, last.metric);
  support::write_json(json, {{"rounds", last.round}, {"accuracy", last.metric}});
  return last.metric >= at_least ? 0 : 1;
} catch (const std::exception& e) {
  std::fprintf(stderr, "federated_mnist: %s\n", e.what());
  return 1;
}
