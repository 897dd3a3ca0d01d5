// The command line of federated_mnist, and what is refused before it trains.
#pragma once

#include "settings.hpp"
#include "support/launch.hpp"
#include "support/options.hpp"

#include <CLI/CLI.hpp>

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <stdexcept>
#include <string>

namespace federated_mnist {

/// Ends the program after --help, and when the command line is wrong.
inline settings parse(int argc, char** argv) {
  settings s;
  CLI::App app{"Federated learning on MNIST (below TUTTI_DATA, or generated images)"};
  app.option_defaults()->always_capture_default();
  app.add_option("--ranks", s.ranks, "threads that train clients");
  app.add_option("--clients", s.clients, "how many")->check(CLI::Range(1, 1000000));
  app.add_option("--fraction", s.fraction, "of the clients that a round draws")->check(CLI::Range(0., 1.));
  app.add_option("--partition", s.partition, "which images are whose")->check(CLI::IsMember(partitions));
  app.add_option("--shards", s.shards, "of one label, of each client")->check(CLI::Range(1, 1000));
  app.add_option("--alpha", s.alpha, "of the Dirichlet distribution: .1 is uneven, 100 even")
      ->check(CLI::PositiveNumber);
  app.add_option("--exponent", s.exponent, "of the power law")->check(CLI::NonNegativeNumber);
  app.add_option("--model", s.model, "2nn: two hidden layers of 200; lr: logistic regression")
      ->check(CLI::IsMember(model_names));
  app.add_option("--rule", s.rule, "what the rounds make of it")->check(CLI::IsMember(rules));
  app.add_option("--server-rate", s.server_rate, "at the server; 0 is the rule's own")->check(CLI::NonNegativeNumber);
  app.add_option("--momentum", s.momentum, "of fed_avgm")->check(CLI::Range(0., 1.));
  app.add_option("--mu", s.mu, "of fed_prox, and alpha of fed_dyn")->check(CLI::NonNegativeNumber);
  app.add_option("--buffer", s.buffer, "answers to a step of fed_buff")->check(CLI::Range(1, 1000000));
  app.add_option("--staleness", s.staleness, "of fed_buff: how fast answers to older models count less")
      ->check(CLI::NonNegativeNumber);
  app.add_option("--aggregator", s.aggregator, "how clients become one")->check(CLI::IsMember(aggregators));
  app.add_option("--tolerate", s.assumed, "attackers in a round that krum, bulyan and trimmed_mean are made for")
      ->check(CLI::Range(0, 1000000));
  app.add_option("--radius", s.radius, "of centered_clipping, and the bound of norm_clipping")
      ->check(CLI::PositiveNumber);
  app.add_option("--bucket", s.bucket, "clients whose mean an aggregator takes for one")->check(CLI::Range(1, 1000000));
  app.add_option("--attack", s.attack, "what attackers do")->check(CLI::IsMember(attacks));
  app.add_option("--attackers", s.attackers, "how many of the clients; 0 is a fifth of them")
      ->check(CLI::Range(0, 1000000));
  app.add_option("--strength", s.strength, "of the attack; 0 is its own")->check(CLI::NonNegativeNumber);
  app.add_option("--clip", s.clip, "the greatest length of what a client contributes; 0 for any")
      ->check(CLI::NonNegativeNumber);
  app.add_option("--epsilon", s.epsilon, "that all rounds may spend; 0 for no noise")->check(CLI::NonNegativeNumber);
  app.add_option("--delta", s.delta, "of that privacy")->check(CLI::Range(1e-300, 1.));
  app.add_flag("--secure", s.secure, "the server learns the sum over clients, and none of them");
  app.add_option("--rounds", s.rounds, "at most")->check(CLI::Range(1, 1000000));
  app.add_option("--epochs", s.epochs, "of a client in a round")->check(CLI::Range(1, 1000));
  app.add_option("--batch", s.batch, "images in a step of a client; 0 for all that it has")
      ->check(CLI::Range(0, 60000));
  app.add_option("--learning-rate", s.learning_rate, "of the clients")->check(CLI::PositiveNumber);
  app.add_option("--until", s.until, "stop at this test accuracy");
  app.add_option("--at-least", s.at_least, "fail when the last test accuracy is less");
  app.add_option("--seed", s.seed, "names every draw");
  app.add_option("--plot", s.plot, "write the accuracy of each round to this SVG file");
  app.add_option("--json", s.json, "write rounds and accuracy to this file");
  app.add_option("--onnx", s.onnx, "write the trained model to this file, for ONNX Runtime or TensorRT");
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& e) {
    std::exit(app.exit(e));
  }
  if (s.attack != "none" && s.attackers == 0) s.attackers = s.clients / 5;
  if (app.count("--tolerate") == 0) s.assumed = std::max(1, int(std::ceil(s.fraction * s.attackers)));
  if ((s.secure || s.epsilon > 0) && s.clip == 0) s.clip = 1;
  if (s.rule == "fed_sgd") s.batch = 0, s.epochs = 1;
  return s;
}

inline bool is_plain(const std::string& rule) {
  return rule.starts_with("fed_avg") || rule == "fed_sgd" || rule == "fed_prox" || rule == "fed_nova";
}

/// Throws for what has no strategy here, or would fail after the training.
inline void check(const settings& s) {
  const auto refuse_unless = [](bool holds, const std::string& why) {
    if (!holds) throw std::runtime_error(why);
  };
  support::check_ranks(s.ranks);
  support::check_writable("--json", s.json);
  support::check_onnx(s.onnx);
  support::check_writable("--plot", s.plot);
  const std::string plain =
      " is here for fed_avg, fed_sgd, fed_prox, fed_avgm and fed_nova - take one of these, or leave ";
  refuse_unless(s.aggregator == "mean" || is_plain(s.rule), "--aggregator " + s.aggregator + plain + "it out");
  refuse_unless(!s.secure || is_plain(s.rule), "--secure" + plain + "it out");
  refuse_unless(s.epsilon == 0 || is_plain(s.rule), "--epsilon" + plain + "it out");
  refuse_unless(s.aggregator == "mean" || !s.secure,
                "--aggregator " + s.aggregator + " compares clients, and --secure hides them - leave one of them out");
  refuse_unless(s.aggregator == "mean" || s.epsilon == 0,
                "--aggregator " + s.aggregator + " is no sum, and --epsilon adds noise to one - leave one of them out");
  refuse_unless(!s.secure || s.epsilon == 0,
                "--epsilon adds its noise where the sum is, and --secure hides clients there - leave one of them out");
  refuse_unless(s.attack != "none" || s.attackers == 0, "--attackers " + std::to_string(s.attackers) +
                                                            " have no attack - say which with --attack");
  refuse_unless(s.attackers <= s.clients, "--attackers " + std::to_string(s.attackers) + " of --clients " +
                                              std::to_string(s.clients) + " are too many - give at most all of them");
  refuse_unless(s.aggregator != "mean" || s.bucket == 1,
                "--bucket " + std::to_string(s.bucket) +
                    " is for aggregators that compare clients - add --aggregator median");
  refuse_unless(s.rule != "fed_buff" || s.ranks > 1, "--rule fed_buff has a server beside clients - give --ranks 2");
  refuse_unless(s.rule != "fed_dyn" || s.mu > 0, "--rule fed_dyn has no alpha - give it as --mu, such as .1");
}

} // namespace federated_mnist
