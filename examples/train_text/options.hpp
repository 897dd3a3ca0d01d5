// The command line of train_text, and what is refused before it trains.
#pragma once

#include "codecs.hpp"
#include "loops.hpp"
#include "support/options.hpp"

#include <CLI/CLI.hpp>

#include <array>
#include <cstdlib>
#include <exception>
#include <iostream>
#include <stdexcept>
#include <string>

namespace train_text {

/// Ends the program after --help, and when the command line is wrong.
inline settings parse(int argc, char** argv) {
  settings s;
  CLI::App app{"Trains a small transformer on text, on several ranks"};
  app.option_defaults()->always_capture_default();
  app.add_option("--data", s.data, "a file or folder; default: tutti's README.md, docs, include");
  app.add_option("--ranks", s.ranks, "how many");
  app.add_option("--transport", s.transport, "how they talk")
      ->check(CLI::IsMember({"mpi", "threads"}));
  app.add_option("--device", s.device, "where the model is; cuda: on GPUs, of ranks that are threads")
      ->check(CLI::IsMember({"cpu", "cuda"}));
  app.add_option("--topology", s.topology, "who talks to whom")->check(CLI::IsMember(topologies()));
  app.add_flag("--explain", s.explain, "say why this topology, and what others would cost");
  app.add_option("--sync", s.sync, "when they agree")
      ->check(CLI::IsMember(policies()));
  app.add_option("--period", s.period, "steps between two agreements where replicas train apart")
      ->check(CLI::Range(1, 1000000));
  app.add_option("--accumulate", s.accumulate, "batches that make one step")
      ->check(CLI::Range(1, 4096));
  app.add_option("--clip", s.clip, "the greatest norm of a gradient; 0 for any")
      ->check(CLI::NonNegativeNumber);
  app.add_option("--save", s.save, "write a checkpoint into this folder at the end, as step-N");
  app.add_option("--save-every", s.save_every, "steps between two of them; 0 for none before the end")
      ->check(CLI::NonNegativeNumber);
  app.add_option("--resume", s.resume, "go on from this checkpoint, or the last one in this folder");
  app.add_option("--codec", s.codec, "what travels; list: train nothing, and say what each of them sends in a step")
      ->check(CLI::IsMember(codec_names()));
  app.add_flag("--priced", s.priced, "the codec only for parts for which it pays, by what is measured; --explain says why");
  app.add_option("--steps", s.recipe.steps, "of each rank; federated: rounded up to hundreds")
      ->check(CLI::Range(1, 1000000));
  app.add_option("--batch", s.recipe.batch, "rows of a rank's step")->check(CLI::Range(1, 4096));
  app.add_option("--learning-rate", s.recipe.peak_learning_rate, "at its highest; higher where replicas train apart");
  app.add_option("--seed", s.seed, "names every random draw");
  app.add_option("--sample", s.sample, "what the generated sample continues");
  app.add_option("--score", s.score, "bytes of held-out text to score the model by; 0 for all");
  app.add_option("--plot", s.plot, "write the loss curve to this SVG file");
  app.add_option("--trace", s.trace, "write what each rank did when to this file, to be opened with Perfetto");
  app.add_option("--json", s.json, "write the results to this file");
  app.add_option("--onnx", s.onnx, "write the trained model to this file, for ONNX Runtime or TensorRT");
  app.footer("While it trains, tokens/s are those of all ranks; loss, bytes sent and the share of\n"
             "time spent communicating are those of rank 0.");
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& e) {
    std::exit(app.exit(e));
  }
  s.ranks_given = app.count("--ranks") > 0;
  if (choice_of(s.sync).apart && app.count("--learning-rate") == 0)
    s.recipe.peak_learning_rate = models::text_apart().peak_learning_rate;
  if (s.codec == "dgc" && app.count("--learning-rate") == 0) s.recipe.peak_learning_rate = sgd_learning_rate;
  if (s.sync == "federated") // only whole rounds
    s.recipe.steps = writers::rounds(s.recipe.steps) * writers::local_steps;
  return s;
}

/// Throws for what would otherwise fail on every rank, or after the training.
inline void check(const settings& s) {
  if (s.sync == "asynchronous" && s.topology != "default" && s.topology != "star")
    throw std::runtime_error("train_text: --sync asynchronous needs servers, and --topology " +
                             s.topology + " has none - use --topology star");
  if (!choice_of(s.sync).topologies && s.topology != "default")
    throw std::runtime_error("train_text: --sync " + s.sync + " is here for the default topology only - "
                             "leave --topology out");
  if (!choice_of(s.sync).codecs && s.codec != "identity")
    throw std::runtime_error("train_text: --sync " + s.sync + " is here without a codec - leave --codec out");
  if (!is_typed(s.codec) && !takes_every_codec(s))
    throw std::runtime_error("train_text: --codec " + s.codec + " is here for --sync synchronous and diloco on the "
                             "default topology only - take one of these, or --codec bfloat16");
  if (is_of_gradients(s.codec) && s.sync != "synchronous")
    throw std::runtime_error("train_text: --codec " + s.codec + " is about the momentum of gradients, which --sync " +
                             s.sync + " does not send - take --sync synchronous");
  if (s.priced && (is_of_gradients(s.codec) || !takes_prices(s.codec)))
    throw std::runtime_error("train_text: --priced is here for codecs of one stage that remember at most what they left "
                             "out - leave it out, or take --codec int8");
  if (s.sync == "federated" && (s.accumulate > 1 || s.clip > 0))
    throw std::runtime_error("train_text: --accumulate and --clip are for steps of a trainer, and --sync "
                             "federated runs rounds - leave them out");
  if (s.sync == "federated" && s.save_every % writers::local_steps != 0)
    throw std::runtime_error("train_text: --sync federated has rounds of " + std::to_string(writers::local_steps) +
                             " steps - give a --save-every of whole rounds");
  support::check_writable("--json", s.json);
  support::check_writable("--plot", s.plot);
  support::check_writable("--trace", s.trace);
  support::check_onnx(s.onnx);
}

/// Collective: the same where mpiexec has started the ranks already. Rank 0 looks and speaks for
/// all, and every rank returns the status to end with when it is not 0.
template <class Comm>
int check_launched(Comm& world, const settings& s) {
  std::array status{0};
  if (world.rank() == 0) {
    try {
      check(s);
    } catch (const std::exception& e) {
      std::cerr << e.what() << "\n";
      status[0] = 1;
    }
    if (s.ranks_given && s.ranks != world.size())
      std::cerr << "train_text: --ranks " << s.ranks << " is not used: mpiexec started "
                << world.size() << " - leave --ranks out, or start it without mpiexec\n";
  }
  tutti::all_reduce(world, status);
  return status[0];
}

} // namespace train_text
