// Which sync policy for which cluster: every policy trains the same model on a cluster that you describe, in virtual
// time, so that two runs give the same table.
// test: --steps 100 --ranks 4 --at-least 0.75
// test: --steps 20 --ranks 3 --only gossip --only diloco --period 5
// refuses: --only nothing => --only nothing: there is
// refuses: --json /no/such/folder/out => --json /no/such/folder/out: No such file .* - give a file
#include "models/logistic.hpp"
#include "models/recipes.hpp"
#include "support/json.hpp"
#include "support/options.hpp"
#include "support/progress.hpp"

#include <CLI/CLI.hpp>
#include <tutti/communicators/simulated.hpp>
#include <tutti/tutti.hpp>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <functional>
#include <numeric>
#include <string>
#include <vector>

namespace {

struct cluster {
  int ranks = 8;
  double compute = 10;  ///< milliseconds of a step's gradient
  double transfer = 10; ///< milliseconds that the whole model takes over a link, and
  double latency = .05; ///< before its first byte is there
  double slow = 4;      ///< times as slow is the last rank, in the second of two runs
};
struct settings {
  cluster on;
  models::logistic_recipe recipe{.learning_rate = .2, .batch = 32, .steps = 200};
  int period = 10;
  std::uint64_t seed = 1;
};

struct outcome {
  double seconds = 0; ///< virtual, of the whole run
  double waiting = 0; ///< the part of that in which a rank waits, on average
  double models = 0;  ///< sent by a rank in a step, in models
  double loss = 0, accuracy = 0; ///< on the test rows
};

/// Beside the logistic model, so that the few words in front of a message are as little as they are in large models.
constexpr std::size_t more_parameters = 8192;

/// One run of a policy, until all ranks together have made their steps: where nobody has to wait for the slow, the
/// fast make more of them. Servers are on all ranks but the last, beside workers: they answer when those wait.
template <class Sync>
outcome train(const Sync& sync, const settings& s, const models::classification& data, bool slowed) {
  const cluster& on = s.on;
  constexpr bool at_servers = requires { requires Sync::carrier == tutti::carried_by::placement; };
  constexpr bool in_pairs = requires { requires Sync::carrier == tutti::carried_by::pairs; };
  const double bytes = double((models::logistic{data.features()}.parameter_count() + more_parameters) * sizeof(float));
  tutti::simulated::machine machine;
  machine.between = {.latency = on.latency * 1e-3, .bandwidth = bytes / (on.transfer * 1e-3)};
  if (slowed)
    machine.speed = [last = on.ranks - 1, slow = on.slow](int rank, double) { return rank == last ? 1 / slow : 1.0; };
  outcome seen;
  std::atomic<int> left{on.ranks * s.recipe.steps};
  const auto report = tutti::simulated::run(on.ranks, machine, [&](auto& comm) {
    models::logistic model{data.features()};
    model.initialise();
    std::vector<float> more(more_parameters), no_gradient(more_parameters);
    auto parameters = model.parameters(), gradients = model.gradients();
    parameters.push_back({"more", more});
    gradients.push_back({"more", no_gradient});
    const auto training = [&](auto strategy) {
      auto trainer = strategy.bind(parameters, tutti::sgd{s.recipe.learning_rate});
      std::vector<std::uint32_t> rows;
      const auto goes_on = [&](int step) { return at_servers || in_pairs ? left-- > 0 : step < s.recipe.steps; };
      for (int step = 0; goes_on(step); ++step) {
        models::draw_rows(0, data.training.size(), s.recipe.batch, s.seed, std::uint64_t(step),
                          std::size_t(comm.rank()), rows);
        trainer.begin(gradients); // from here on a policy may send while the gradient is computed
        model.loss_and_gradients(data.training, rows);
        comm.compute(on.compute * 1e-3);
        for (std::size_t tensor = 0; tensor < gradients.size(); ++tensor) trainer.ready(tensor);
        trainer.finish();
      }
      trainer.finalize();
    };
    if constexpr (at_servers)
      training(tutti::strategy{comm, tutti::mean{}, sync, tutti::star{.servers = on.ranks - 1}});
    else
      training(tutti::strategy{comm, tutti::mean{}, sync});
    if (comm.rank() != 0) return;
    std::vector<std::uint32_t> all(data.test.size());
    std::iota(all.begin(), all.end(), 0u);
    seen.loss = model.loss_and_gradients(data.test, all);
    seen.accuracy = model.accuracy(data.test);
  });
  seen.seconds = report.seconds;
  for (const auto& rank : report.ranks) seen.waiting += rank.wait / report.seconds / on.ranks;
  seen.models = double(report.bytes) / bytes / on.ranks / s.recipe.steps;
  return seen;
}

struct candidate {
  const char* name;
  std::function<outcome(const settings&, const models::classification&, bool slowed)> run;
};
template <class Make>
candidate one(const char* name, Make make) {
  return {name, [make](const settings& s, const models::classification& data, bool slowed) {
            return train(make(s), s, data, slowed);
          }};
}

std::vector<candidate> candidates() {
  const auto outer = tutti::sgd{.learning_rate = 1, .momentum = .2, .nesterov = true};
  return {
      one("synchronous", [](const settings&) { return tutti::synchronous{}; }),
      one("sharded", [](const settings&) { return tutti::sharded{}; }),
      one("backup_workers", [](const settings&) { return tutti::backup_workers{.spare = 1}; }),
      one("quorum", [](const settings& s) {
        return tutti::quorum{.min = std::max(1, s.on.ranks / 2), .grace = std::chrono::milliseconds{5}};
      }),
      one("asynchronous, 3", [](const settings&) { return tutti::asynchronous{.staleness = 3}; }),
      one("asynchronous", [](const settings&) { return tutti::asynchronous{}; }),
      one("local_sgd", [](const settings& s) { return tutti::local_sgd{.period = s.period}; }),
      one("post_local_sgd", [](const settings& s) {
        return tutti::post_local_sgd{.first = s.recipe.steps / 10, .later = s.period};
      }),
      one("diloco", [=](const settings& s) { return tutti::diloco{.period = s.period, .outer = outer}; }),
      one("streaming_diloco", [=](const settings& s) {
        return tutti::streaming_diloco{.period = std::max(1, s.period / 2), .fragments = 2, .delay = 2, .outer = outer};
      }),
      one("no_loco", [=](const settings& s) { return tutti::no_loco{.period = s.period, .outer = outer}; }),
      one("gossip", [](const settings&) { return tutti::gossip{}; }),
      one("overlapped_gossip", [](const settings&) { return tutti::overlapped_gossip{}; }),
      one("push_sum", [](const settings&) { return tutti::push_sum{}; }),
      one("gradient_tracking", [](const settings&) { return tutti::gradient_tracking{}; }),
      one("pairwise_averaging", [](const settings& s) { return tutti::pairwise_averaging{.seed = s.seed}; }),
  };
}

} // namespace

int main(int argc, char** argv) try {
  settings s;
  std::vector<std::string> only;
  std::string json;
  double at_least = 0;
  CLI::App app{"Every sync policy on a cluster of your description, in virtual time"};
  app.option_defaults()->always_capture_default();
  app.add_option("--ranks", s.on.ranks, "how many, all of which work")->check(CLI::Range(2, 256));
  app.add_option("--compute", s.on.compute, "milliseconds that a gradient takes")->check(CLI::PositiveNumber);
  app.add_option("--transfer", s.on.transfer, "milliseconds that the whole model takes over a link")
      ->check(CLI::PositiveNumber);
  app.add_option("--latency", s.on.latency, "milliseconds until its first byte is there")->check(CLI::NonNegativeNumber);
  app.add_option("--slow", s.on.slow, "how many times as slow one rank is, in the second of two runs")
      ->check(CLI::Range(1., 1000.));
  app.add_option("--steps", s.recipe.steps, "of each rank")->check(CLI::Range(1, 1000000));
  app.add_option("--batch", s.recipe.batch, "rows of a rank's step")->check(CLI::Range(1, 100000));
  app.add_option("--learning-rate", s.recipe.learning_rate, "of all of them");
  app.add_option("--period", s.period, "steps between two agreements, where replicas train apart")
      ->check(CLI::Range(1, 1000000));
  app.add_option("--only", only, "these policies alone; may be given more than once");
  app.add_option("--seed", s.seed, "names every draw");
  app.add_option("--json", json, "write the table to this file");
  app.add_option("--at-least", at_least, "fail when a test accuracy is less");
  app.footer("The model is logistic regression (a9a below TUTTI_DATA, or generated), counted as if it were as large as\n"
             "--transfer says. A rank sends so many models in a step, in the mean; the time is that of --steps times\n"
             "--ranks steps, and waiting is the part of it in which a rank waits, in the mean.");
  CLI11_PARSE(app, argc, argv);
  support::check_writable("--json", json);

  std::vector<candidate> chosen;
  for (const candidate& c : candidates())
    if (only.empty() || std::find(only.begin(), only.end(), c.name) != only.end()) chosen.push_back(c);
  for (const std::string& name : only)
    if (std::none_of(chosen.begin(), chosen.end(), [&](const candidate& c) { return c.name == name; })) {
      std::string names;
      for (const candidate& c : candidates()) names += (names.empty() ? "" : "; ") + std::string{c.name};
      throw std::runtime_error("--only " + name + ": there is " + names);
    }

  const auto data = models::find_classification();
  std::printf("%s; %d ranks, a gradient %g ms, the model %g ms over a link, latency %g ms\n\n", data.source.c_str(),
              s.on.ranks, s.on.compute, s.on.transfer, s.on.latency);
  support::progress bar{true, long(2 * chosen.size())};
  nlohmann::json rows = nlohmann::json::array();
  double worst = 1;
  std::string table = "| policy | models sent a step | seconds | waiting | one rank slow: seconds | waiting | loss | accuracy |\n"
                      "|---|---:|---:|---:|---:|---:|---:|---:|\n";
  for (const candidate& c : chosen) {
    const auto done = long(2 * rows.size());
    bar.update(done, c.name);
    const outcome alike = c.run(s, data, false);
    bar.update(done + 1, c.name);
    const outcome slow = c.run(s, data, true);
    char line[200];
    std::snprintf(line, sizeof line, "| %s | %.2f | %.2f | %.0f %% | %.2f | %.0f %% | %.4f | %.4f |\n", c.name, alike.models,
                  alike.seconds, 100 * alike.waiting, slow.seconds, 100 * slow.waiting, alike.loss, alike.accuracy);
    table += line;
    rows.push_back({{"policy", c.name}, {"models sent a step", alike.models}, {"seconds", alike.seconds},
                    {"waiting", alike.waiting}, {"seconds, one slow", slow.seconds}, {"waiting, one slow", slow.waiting},
                    {"loss", alike.loss}, {"accuracy", alike.accuracy}, {"loss, one slow", slow.loss}});
    worst = std::min({worst, alike.accuracy, slow.accuracy});
  }
  bar.update(long(2 * chosen.size()), "");
  std::printf("%s", table.c_str());
  support::write_json(json, {{"rows", rows}, {"ranks", s.on.ranks}, {"compute ms", s.on.compute},
                             {"transfer ms", s.on.transfer}, {"latency ms", s.on.latency}, {"slow", s.on.slow},
                             {"steps", s.recipe.steps}, {"period", s.period}, {"seed", s.seed}});
  return worst >= at_least ? 0 : 1;
} catch (const std::exception& e) {
  std::fprintf(stderr, "which_policy: %s\n", e.what());
  return 1;
}
