// The main job: a small transformer learns to write, one byte after the other. The strategy that
// trains it is picked from those that train_text/job.hpp assembles at compile time.
// test: --steps 30 --ranks 2 --batch 4 --transport threads
// test: --steps 30 --ranks 3 --batch 2 --transport threads --sync asynchronous
// test: --steps 30 --ranks 2 --batch 4 --transport threads --sync federated
// test: --steps 30 --ranks 2 --batch 4 --codec bfloat16 --topology ring
// refuses: --ranks 0 => --ranks 0: give 1 to [0-9]+ on this machine
// refuses: --ranks 1000000 => --ranks 1000000: give 1 to
// refuses: --data /no/such/file => cannot read /no/such/file: No such file .* - give an existing
// refuses: --data /dev/null => cannot read /dev/null: it is empty - give a text file
// refuses: --transport threads --sync asynchronous --topology ring => use --topology star
#include "support/launch.hpp"
#include "train_text/job.hpp"

#include <CLI/CLI.hpp>
#include <tutti/mpi/mpi.hpp>

using train_text::settings;

settings parse(int argc, char** argv) {
  settings s;
  CLI::App app{"Trains a small transformer on text, on several ranks"};
  app.option_defaults()->always_capture_default();
  app.add_option("--data", s.data, "a file or folder; default: this library's own text");
  app.add_option("--ranks", s.ranks, "how many");
  app.add_option("--transport", s.transport, "how they talk")
      ->check(CLI::IsMember({"mpi", "threads"}));
  app.add_option("--topology", s.topology, "who talks to whom")
      ->check(CLI::IsMember(train_text::topologies()));
  app.add_option("--sync", s.sync, "when they agree")
      ->check(CLI::IsMember({"synchronous", "asynchronous", "federated"}));
  app.add_option("--codec", s.codec, "what travels")
      ->check(CLI::IsMember({"identity", "bfloat16"}));
  app.add_option("--steps", s.recipe.steps, "of each rank")->check(CLI::Range(1, 1000000));
  app.add_option("--batch", s.recipe.batch, "rows of a rank's step")->check(CLI::Range(1, 4096));
  app.add_option("--learning-rate", s.recipe.peak_learning_rate, "at its highest");
  app.add_option("--seed", s.seed, "names every random draw");
  app.add_option("--sample", s.sample, "what the generated sample continues");
  app.add_option("--plot", s.plot, "write the loss curve to this SVG file");
  app.add_option("--json", s.json, "write the results to this file");
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& e) {
    std::exit(app.exit(e));
  }
  return s;
}

int main(int argc, char** argv) try {
  const settings s = parse(argc, argv);
  const bool launched = support::under_mpiexec();
  if (!launched) support::check_ranks(s.ranks);
  const models::text_data text = train_text::read(s); // one clear error, before ranks start

  if (s.transport == "threads") {
    tutti::threads::run(s.ranks, [&](auto& world) { train_text::run(world, s, text); });
    return 0;
  }
  if (!launched && s.ranks > 1) support::become_ranks(s.ranks, argc, argv);
  return tutti::mpi::run(argc, argv, [&](auto& world) { train_text::run(world, s, text); });
} catch (const std::exception& e) {
  std::fprintf(stderr, "%s\n", e.what());
  return 1;
}
