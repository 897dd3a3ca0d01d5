// Federated learning where the data is cut as life cuts it: each speaking role of a play is a client, holds what it
// says, and helps to train a model of the next character (McMahan et al. 2017, section 3, did so with Shakespeare).
// test: --rounds 8 --at-least 0.3
// test: --rounds 4 --ranks 3 --fraction 0.5 --plot /dev/null --json /dev/null --at-least 0.2
// refuses: --plot /no/such/folder/out => --plot /no/such/folder/out: No such file .* - give a file
#include "models/mlp.hpp"
#include "models/play.hpp"
#include "support/json.hpp"
#include "support/launch.hpp"
#include "support/options.hpp"
#include "support/plot.hpp"
#include "support/progress.hpp"

#include <CLI/CLI.hpp>
#include <tutti/tutti.hpp>

struct roles { // a population: one client for each role
  const models::plays& data;
  int batch;
  tutti::client_rows rows = tutti::partition_by_key(std::span<const int>{data.training.role_of});
  models::mlp model{{data.training.inputs(), 128, data.training.characters}};

  int clients() const { return int(rows.size()); }
  double examples(int client) const { return double(rows[std::size_t(client)].size()); }
  void train(int client, tutti::local_training<float>& local, tutti::random_stream random) {
    const auto& mine = rows[std::size_t(client)];
    std::vector<std::uint32_t> chosen;
    for (int epoch = 0; epoch < local.epochs(); ++epoch) {
      const auto order = models::shuffled(mine.size(), random());
      for (std::size_t begin = 0; begin < order.size(); begin += chosen.size()) {
        chosen.clear();
        for (std::size_t k = begin; k < std::min(order.size(), begin + std::size_t(batch)); ++k)
          chosen.push_back(mine[order[k]]);
        model.load(std::as_const(local).parameters());
        model.loss_and_gradients(data.training, chosen);
        local.step(model.flat_gradients());
      }
    }
  }
  tutti::score evaluate(std::span<const float> parameters, int part, int parts) {
    const auto share = tutti::shard_of(data.held_out.size(), part, parts);
    model.load(parameters);
    return {double(model.correct(data.held_out, share.begin, share.end)), double(share.end - share.begin)};
  }
};

int main(int argc, char** argv) try {
  int ranks = 2, rounds = 40, batch = 32, epochs = 1;
  double fraction = 0.1, learning_rate = 0.5, at_least = 0;
  std::uint64_t seed = 1;
  std::string plot, json;
  CLI::App app{"Predicts the next character; each role of a play is a client (below TUTTI_DATA, or generated)"};
  app.option_defaults()->always_capture_default();
  app.add_option("--ranks", ranks, "threads that train clients");
  app.add_option("--rounds", rounds, "how many")->check(CLI::Range(1, 1000000));
  app.add_option("--fraction", fraction, "of the roles that a round draws")->check(CLI::Range(0., 1.));
  app.add_option("--epochs", epochs, "of a role in a round")->check(CLI::Range(1, 1000));
  app.add_option("--batch", batch, "characters in a step")->check(CLI::Range(1, 100000));
  app.add_option("--learning-rate", learning_rate, "of the roles")->check(CLI::PositiveNumber);
  app.add_option("--at-least", at_least, "fail when the last accuracy is less");
  app.add_option("--seed", seed, "names every draw");
  app.add_option("--plot", plot, "write the accuracy of each round to this SVG file");
  app.add_option("--json", json, "write rounds and accuracy to this file");
  CLI11_PARSE(app, argc, argv);
  support::check_ranks(ranks);
  support::check_writable("--plot", plot);
  support::check_writable("--json", json);
  const models::plays data = models::find_plays();
  std::printf("%s: %zu roles, %zu characters to learn from, %zu to be told\n", data.training.source.c_str(),
              data.training.roles.size(), data.training.size(), data.held_out.size());
  support::line curve{"fed_avg", {}};
  tutti::threads::run(ranks, [&](auto& world) {
    roles clients{data, batch};
    clients.model.initialise(seed);
    const auto values = clients.model.flat_parameters();
    std::vector<float> parameters(values.begin(), values.end());
    support::progress bar{world.rank() == 0, rounds};
    tutti::strategy strategy{world, tutti::star{}, tutti::weighted_mean{},
                             tutti::federated{.fraction = fraction, .epochs = epochs}};
    const tutti::sgd descent{.learning_rate = learning_rate};
    strategy.run(parameters, descent, clients, {rounds, seed}, [&](const auto& round) {
      bar.update(round.round, "accuracy " + std::to_string(round.metric));
      if (world.rank() == 0) curve.points.push_back({double(round.round), round.metric});
      return true;
    });
  });
  const double last = curve.points.back().y;
  std::printf("round %d: %.4f of the characters are told\n", rounds, last);
  if (!plot.empty()) support::write_plot(plot, "next characters of a play", "round", "accuracy", {curve});
  support::write_json(json, {{"rounds", rounds}, {"accuracy", last}});
  return last >= at_least ? 0 : 1;
} catch (const std::exception& e) {
  std::fprintf(stderr, "federated_text: %s\n", e.what());
  return 1;
}
