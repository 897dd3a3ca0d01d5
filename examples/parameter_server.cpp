// A parameter server: rank 0 owns the model and only serves, the others push gradients of logistic regression and go
// on, at most --staleness steps ahead of the slowest; --compare shows what that is good for.
// test: --steps 1000 --at-least 0.84
// test: --steps 1000 --at-least 0.84 --ranks 4 --servers 2 --staleness 0
// test: --compare --steps 100 --staleness 3 --faster 2
// refuses: --compare --steps 20 --staleness 0 --faster 2 => --faster: staleness 0 is 1.0
// refuses: --compare --svg /no/such/folder/out => --svg /no/such/folder/out: No such file .* - give a file
// refuses: --staleness abc => --staleness abc: give a number of steps from 0, or unbounded
// refuses: --staleness 4x => --staleness 4x: give a number
// refuses: --staleness=-1 => --staleness -1: give a number
// refuses: --json /no/such/folder/out => --json /no/such/folder/out: No such file .* - give a file
// refuses: --steps 10 --json /dev/full => cannot write /dev/full: No space .* - make room or give
#include "models/logistic.hpp"
#include "models/recipes.hpp"
#include "parameter_server/compare.hpp"
#include "support/json.hpp"
#include "support/launch.hpp"
#include "support/options.hpp"

#include <CLI/CLI.hpp>
#include <tutti/tutti.hpp>

int main(int argc, char** argv) try {
  models::logistic_recipe how;
  int ranks = 3, servers = 1;
  std::string staleness = "4", json;
  double at_least = 0;
  std::uint64_t seed = 1;
  comparison compared;
  CLI::App app{"Logistic regression on a parameter server (a9a below TUTTI_DATA, or generated)"};
  app.option_defaults()->always_capture_default();
  app.add_option("--ranks", ranks, "threads, servers included");
  app.add_option("--servers", servers, "dedicated servers");
  app.add_option("--staleness", staleness, "steps a worker may lead, or 'unbounded'");
  app.add_option("--steps", how.steps, "steps of each worker");
  app.add_option("--batch", how.batch, "rows of each step");
  app.add_option("--seed", seed, "names the batches");
  app.add_option("--json", json, "write accuracy and settings to this file");
  app.add_option("--at-least", at_least, "fail when the test accuracy is less");
  compared.add_options(app);
  CLI11_PARSE(app, argc, argv);
  support::check_ranks(ranks);
  support::check_writable("--json", json);
  const int bound = support::staleness(staleness);
  const auto data = models::find_classification();
  if (compared.asked())
    return compared.run(data.training, {.batch = how.batch, .seed = seed}, app.count("--steps") ? how.steps : 300,
                          bound, json);
  std::printf("%s: %zu rows, %d workers, %d servers, staleness %s\n", data.source.c_str(), data.training.size(),
              ranks - servers, servers, staleness.c_str());
  double accuracy = 0;
  tutti::threads::run(ranks, [&](auto& world) {
    models::logistic model{data.features()};
    model.initialise();
    tutti::strategy strategy{world, tutti::star{.servers = servers, .dedicated = true}, tutti::mean{},
                             tutti::asynchronous{.staleness = bound}};
    auto trainer = strategy.bind(model.parameters(), tutti::sgd{how.learning_rate});

    if (trainer.role() == tutti::role::server) trainer.serve();
    std::vector<std::uint32_t> rows;
    const auto worker = std::size_t(world.rank() - servers), workers = std::size_t(ranks - servers);
    const auto begin = data.training.size() * worker / workers;
    const auto end = data.training.size() * (worker + 1) / workers;
    const bool works = trainer.role() == tutti::role::worker && begin < end; // with rows of its own
    for (int step = 0; step < how.steps && works; ++step) {
      models::draw_rows(begin, end, how.batch, seed, std::uint64_t(step), worker, rows);
      model.loss_and_gradients(data.training, rows);
      trainer.step(model.gradients());
    }
    trainer.finalize(); // the same parameters on every rank

    if (world.rank() == 0) accuracy = model.accuracy(data.test);
  });
  std::printf("test accuracy %.4f\n", accuracy);
  support::write_json(json, {{"accuracy", accuracy}, {"staleness", staleness}, {"ranks", ranks}, {"steps", how.steps}});
  return accuracy >= at_least ? 0 : 1;
} catch (const std::exception& e) {
  std::fprintf(stderr, "parameter_server: %s\n", e.what());
  return 1;
}
