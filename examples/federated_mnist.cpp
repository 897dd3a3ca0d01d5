// Federated learning on MNIST: clients that hold some images each train in rounds, and a strategy makes one model of
// theirs. Which clients, which rule, which attack and which privacy is said on the command line; each combination is a
// strategy that one of the files in federated_mnist/ assembles at compile time.
// test: --rounds 3 --at-least 0.8
// test: --rounds 3 --ranks 3 --model lr --partition shards --rule scaffold --at-least 0.3
// test: --rounds 3 --model lr --partition dirichlet --rule fed_dyn --mu .01 --at-least 0.3
// test: --rounds 3 --model lr --partition power_law --rule fed_prox --at-least 0.3
// test: --rounds 3 --model lr --rule fed_adagrad
// test: --rounds 3 --model lr --rule fed_adam
// test: --rounds 3 --model lr --rule fed_yogi
// test: --rounds 3 --model lr --rule fed_buff --ranks 3 --at-least 0.3
// test: --rounds 3 --model lr --rule fed_nova --attack label_flip --aggregator norm_clipping --at-least 0.3
// test: --rounds 3 --model lr --rule fed_avgm --attack sign_flip --aggregator median --fraction 0.5 --at-least 0.3
// test: --rounds 3 --model lr --attack gaussian --aggregator multi_krum --fraction 0.3 --at-least 0.5
// test: --rounds 3 --model lr --attack inner_product --aggregator geometric_median --bucket 2 --fraction 0.3
// test: --rounds 3 --model lr --attack a_little_is_enough --aggregator bulyan --fraction 0.5 --attackers 10
// test: --rounds 3 --model lr --secure --at-least 0.5
// test: --rounds 3 --model lr --epsilon 100 --fraction 0.5
// test: --rounds 1 --model lr --fraction 0.02 --onnx digits.onnx
// refuses: --json /no/such/folder/out => --json /no/such/folder/out: No such file .* - give a file
// refuses: --plot /no/such/folder/out => --plot /no/such/folder/out: No such file .* - give a file
// refuses: --ranks 0 => --ranks 0: give 1 to [0-9]+ on this machine
// refuses: --rule scaffold --aggregator median => --aggregator median is here for fed_avg, .* - take one of these
// refuses: --rule fed_adam --secure => --secure is here for fed_avg, .* - take one of these, or leave it out
// refuses: --rule fed_dyn --epsilon 1 => --epsilon is here for fed_avg, .* - take one of these, or leave it out
// refuses: --secure --aggregator krum => --aggregator krum compares clients, and --secure hides them - leave one
// refuses: --epsilon 1 --aggregator krum => --aggregator krum is no sum, .* - leave one of them out
// refuses: --secure --epsilon 1 => --epsilon adds its noise where the sum is, .* - leave one of them out
// refuses: --attackers 3 => --attackers 3 have no attack - say which with --attack
// refuses: --clients 5 --attackers 6 --attack sign_flip => --attackers 6 of --clients 5 are too many - give at most
// refuses: --bucket 2 => --bucket 2 is for aggregators that compare clients - add --aggregator median
// refuses: --rule fed_buff --ranks 1 => --rule fed_buff has a server beside clients - give --ranks 2
// refuses: --rule fed_buff --aggregator median => --aggregator median is here for fed_avg, .* - take one of these
// refuses: --rule fed_dyn --mu 0 => --rule fed_dyn has no alpha - give it as --mu, such as .1
#include "federated_mnist/options.hpp"
#include "federated_mnist/run.hpp"
#include "support/json.hpp"
#include "support/plot.hpp"

using namespace federated_mnist;

int main(int argc, char** argv) try {
  const settings s = parse(argc, argv);
  check(s);
  const auto data = models::find_digits();
  std::printf("%s: %zu images\n", data.source.c_str(), data.training.size());
  tutti::federated_report report;
  tutti::threads::run(s.ranks, [&](world_type& world) {
    const bool hides = s.secure || s.epsilon > 0, compares = s.aggregator != "mean";
    const bool keeps = s.rule == "scaffold" || s.rule == "fed_dyn", plain = is_plain(s.rule);
    auto run = hides ? hidden : compares ? compared : keeps ? corrected : plain ? averaged : adaptive;
    if (s.rule == "fed_buff") run = buffered;
    const auto all = run(world, s, data);
    if (world.rank() == 0) report = all;
  });
  support::line curve{s.rule + ", " + s.aggregator, {}};
  for (const auto& round : report.rounds) {
    curve.points.push_back({double(round.round), round.metric});
    if (!round.skipped.empty()) std::puts(round.skipped.c_str());
  }
  const auto& last = report.rounds.back();
  std::printf("round %d: test accuracy %.4f\n", last.round, last.metric);
  if (s.epsilon > 0) std::printf("epsilon %.4f at delta %g was spent\n", last.epsilon, s.delta);
  if (s.secure) std::puts(last.secure.c_str());
  if (!s.plot.empty()) support::write_plot(s.plot, "federated MNIST", "round", "test accuracy", {curve});
  nlohmann::json accuracies;
  for (const auto& p : curve.points) accuracies.push_back(p.y);
  support::write_json(s.json, {{"rounds", last.round}, {"accuracy", last.metric}, {"seconds", last.seconds},
                               {"epsilon", last.epsilon}, {"accuracies", accuracies}});
  return last.metric >= s.at_least ? 0 : 1;
} catch (const std::exception& e) {
  std::fprintf(stderr, "federated_mnist: %s\n", e.what());
  return 1;
}
