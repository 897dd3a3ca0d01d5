// Federated rounds on MNIST below TUTTI_DATA, against the figures of the papers: how many clients a second, how
// accurate, in how many rounds, what exact sums cost, and what is left under attack. Without TUTTI_DATA images are
// generated and only speeds are claimed. TUTTI_BENCH_PART=speed, rounds, heterogeneous or attacks does one part alone.
#include "federated_mnist/any_rule.hpp"
#include "models/mlp.hpp"
#include "models/softmax_regression.hpp"
#include "report.hpp"

#include <tutti/communicators/threads.hpp>
#include <tutti/federated/attacks.hpp>
#include <tutti/reducers/bulyan.hpp>
#include <tutti/reducers/geometric_median.hpp>
#include <tutti/tutti.hpp>

#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <string>
#include <vector>

namespace {

constexpr int ranks = 2;

double now() {
  return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

/// Clients of softmax regression, who write what they have trained.
struct logistic_clients {
  const models::sparse_images& images;
  const tutti::client_rows& rows;
  double rate = .03;
  int turned = 0; ///< the first so many learn of labels the opposite
  models::softmax_regression model{};

  int clients() const { return int(rows.size()); }
  double examples(int client) const { return double(rows[std::size_t(client)].size()); }
  void train(int client, tutti::local_training<float>& local, tutti::random_stream random) {
    model.train(local.parameters(), images, rows[std::size_t(client)], local.epochs(), 10, float(rate), random(),
                client < turned);
  }
};
double accuracy_of(std::span<const float> w, const models::sparse_images& test) {
  return double(models::softmax_regression::correct(w, test, 0, test.size())) / double(test.size());
}

/// Clients of the 2NN, who step by what the round gives them: so they can be corrected.
struct perceptron_clients {
  const models::digits& data;
  const tutti::client_rows& rows;
  models::mlp model{};

  int clients() const { return int(rows.size()); }
  double examples(int client) const { return double(rows[std::size_t(client)].size()); }
  void train(int client, tutti::local_training<float>& local, tutti::random_stream random) {
    const auto& mine = rows[std::size_t(client)];
    const auto order = models::shuffled(mine.size(), random());
    std::vector<std::uint32_t> chosen;
    for (std::size_t begin = 0; begin < order.size(); begin += chosen.size()) {
      chosen.clear();
      for (std::size_t k = begin; k < std::min(order.size(), begin + 10); ++k) chosen.push_back(mine[order[k]]);
      model.load(std::as_const(local).parameters());
      model.loss_and_gradients(data.training, chosen);
      local.step(model.flat_gradients());
    }
  }
};
struct scored_clients : perceptron_clients {
  tutti::score evaluate(std::span<const float> parameters, int part, int parts) {
    const auto mine = tutti::shard_of(data.test.size(), part, parts);
    model.load(parameters);
    return {double(model.correct(data.test, mine.begin, mine.end)), double(mine.end - mine.begin)};
  }
};
std::vector<float> initial(std::uint64_t seed) {
  models::mlp model;
  model.initialise(seed);
  return {model.flat_parameters().begin(), model.flat_parameters().end()};
}

/// Seconds of so many rounds of `make_clients()` with this reducer and policy, without the first one.
template <class Reducer, class Sync, class MakeClients>
double seconds_of_rounds(const Reducer& reducer, const Sync& sync, std::vector<float> start, int rounds,
                         MakeClients&& make_clients, std::uint64_t seed = 1, std::vector<float>* trained = nullptr,
                         double rate = .1) {
  double seconds = 0;
  tutti::threads::run(ranks, [&](auto& world) {
    auto clients = make_clients();
    std::vector<float> w = start;
    tutti::strategy strategy{world, tutti::star{}, reducer, sync};
    auto made = strategy.rounds(w, tutti::sgd{.learning_rate = rate}, clients,
                                tutti::run_options{.rounds = rounds, .seed = seed});
    made.next();
    const double begin = now();
    while (made.made() < rounds) made.next();
    if (world.rank() != 0) return;
    seconds = now() - begin;
    if (trained) *trained = w;
  });
  return seconds;
}

/// LR-MNIST: 1,000 clients of two digits each, ten a round, B = 10, E = 1.
void speed(bench::report& report, const models::digits& data, bool real) {
  const models::sparse_images images{data.training}, test{data.test};
  const tutti::federated sync{.fraction = .01, .epochs = 1};
  const std::vector<float> zeros(models::softmax_regression::values);
  std::vector<double> rates, accuracies;
  for (std::uint64_t seed = 1; seed <= 5; ++seed) {
    const auto rows = tutti::label_power_law_partition{.labels = 2}(
        std::span<const std::uint8_t>{images.labels}, 1000, seed);
    const auto people = [&] { return logistic_clients{images, rows}; };
    std::vector<float> w;
    seconds_of_rounds(tutti::weighted_mean{}, sync, zeros, 100, people, seed, &w);
    accuracies.push_back(accuracy_of(w, test));
    rates.push_back(10 * 1999 / seconds_of_rounds(tutti::weighted_mean{}, sync, zeros, 2000, people, seed));
  }
  report.row({{"what", "LR-MNIST, 1,000 clients, 10 a round"},
              {"clients/s", bench::spread(rates)},
              {"accuracy after 100", bench::spread(accuracies)}});
  report.at_least("clients of LR-MNIST a second, two ranks", bench::median(rates), 15000);
  if (real) {
    report.at_least("LR-MNIST: accuracy after 100 rounds", bench::median(accuracies), .79);
    report.at_most("LR-MNIST: accuracy after 100 rounds", bench::median(accuracies), .83);
  }

  const auto rows =
      tutti::iid_partition{}(std::span<const std::uint8_t>{data.training.labels}, 100, std::uint64_t{1});
  const auto people = [&] { return perceptron_clients{data, rows}; };
  const tutti::federated plain{.fraction = .1};
  std::vector<double> ratios, plainly, exactly;
  for (int k = 0; k < 5; ++k) {
    plainly.push_back(seconds_of_rounds(tutti::weighted_mean{}, plain, initial(1), 5, people) / 4);
    exactly.push_back(seconds_of_rounds(tutti::reproducible_weighted_mean{}, plain, initial(1), 5, people) / 4);
    ratios.push_back(exactly.back() / plainly.back());
  }
  report.row({{"what", "2NN, seconds of a round without evaluation"}, {"seconds", bench::spread(plainly)}});
  report.row({{"what", "the same, whose bits depend on no order"}, {"seconds", bench::spread(exactly)}});
  report.at_most("2NN: a round that no order changes over a plain one", bench::median(ratios), 1.1);
}

struct arrival {
  int rounds = 0;
  double seconds = 0;
};
/// When the 2NN gets there; the most where it does not.
template <class Sync>
arrival rounds_to(double accuracy, const models::digits& data, const tutti::client_rows& rows, const Sync& sync,
                  double rate, int most, std::uint64_t seed) {
  arrival got;
  tutti::threads::run(ranks, [&](auto& world) {
    scored_clients clients{{data, rows}};
    std::vector<float> w = initial(seed);
    tutti::strategy strategy{world, tutti::star{}, tutti::weighted_mean{}, sync};
    auto made = strategy.rounds(w, tutti::sgd{.learning_rate = rate}, clients,
                                tutti::run_options{.rounds = most, .seed = seed});
    double seconds = 0;
    while (made.made() < most) {
      const auto round = made.next();
      seconds = round.seconds;
      if (world.rank() == 0 && made.made() % 20 == 0)
        std::fprintf(stderr, "\rfederated: round %d, accuracy %.4f ", round.round, round.metric);
      if (round.metric >= accuracy) break;
    }
    if (world.rank() == 0) got = {int(made.made()), seconds};
  });
  std::fputc('\n', stderr);
  return got;
}

/// McMahan et al. 2017, table 2: E = 1, B = 10, a tenth of 100 clients.
void rounds_of_iid(bench::report& report, const models::digits& data) {
  std::vector<double> rounds, seconds;
  for (std::uint64_t seed = 1; seed <= 3; ++seed) {
    const auto rows = tutti::iid_partition{}(std::span<const std::uint8_t>{data.training.labels}, 100, seed);
    const arrival got = rounds_to(.97, data, rows, tutti::federated{.fraction = .1}, .05, 200, seed);
    rounds.push_back(got.rounds);
    seconds.push_back(got.seconds / got.rounds * 87);
  }
  report.row({{"what", "2NN to .97, IID, rate .05"}, {"rounds", bench::spread(rounds)}});
  report.at_least("2NN, IID: rounds to .97, over 87", bench::median(rounds) / 87, .65);
  report.at_most("2NN, IID: rounds to .97, over 87", bench::median(rounds) / 87, 1.35);
  report.at_most("2NN: seconds of 87 rounds with an evaluation each", bench::median(seconds), 30);
}
void rounds_of_shards(bench::report& report, const models::digits& data) {
  const auto rows =
      tutti::shard_partition{2}(std::span<const std::uint8_t>{data.training.labels}, 100, std::uint64_t{1});
  const arrival plain = rounds_to(.97, data, rows, tutti::federated{.fraction = .1}, .05, 1000, 1);
  const arrival corrected = rounds_to(.97, data, rows, tutti::scaffold{{.fraction = .1}}, .05, 1000, 1);
  report.row({{"what", "2NN to .97, two shards, FedAvg"}, {"rounds", plain.rounds}});
  report.row({{"what", "2NN to .97, two shards, SCAFFOLD"}, {"rounds", corrected.rounds}});
  report.at_least("2NN, two shards: rounds to .97, over 664", plain.rounds / 664., .65);
  report.at_most("2NN, two shards: rounds to .97, over 664", plain.rounds / 664., 1.35);
  report.below("2NN, two shards: rounds of SCAFFOLD over FedAvg", double(corrected.rounds) / plain.rounds, 1);
}

using rule = federated_mnist::any_rule<tutti::median, tutti::trimmed_mean, tutti::krum, tutti::bulyan,
                                       tutti::geometric_median, tutti::centered_clipping, tutti::norm_clipping>;

struct no_attack {
  static constexpr bool wants_known = false;
  void operator()(tutti::attacks::known_updates, std::span<double>, tutti::random_stream) const {}
};

/// Accuracy of softmax regression after ten rounds of all hundred clients, the first twenty of which attack.
template <class Reducer, class Attack>
double under(const models::sparse_images& images, const models::sparse_images& test, const tutti::client_rows& rows,
             const Reducer& reducer, const Attack& attack, int turned) {
  double accuracy = 0;
  tutti::threads::run(ranks, [&](auto& world) {
    logistic_clients honest{images, rows, .03, turned};
    tutti::attacked clients{honest, 20, attack};
    std::vector<float> w(models::softmax_regression::values);
    tutti::strategy strategy{world, tutti::star{}, reducer, tutti::federated{.fraction = 1}};
    strategy.run(w, clients, tutti::run_options{.rounds = 10});
    if (world.rank() == 0) accuracy = accuracy_of(w, test);
  });
  return accuracy;
}

void attacked(bench::report& report, const models::digits& data) {
  const models::sparse_images images{data.training}, test{data.test};
  const auto rows = tutti::iid_partition{}(std::span<const std::uint8_t>{images.labels}, 100, std::uint64_t{1});
  const double calm = under(images, test, rows, tutti::mean{}, no_attack{}, 0);
  report.row({{"attack", "none"}, {"mean", calm}});
  const auto try_all = [&](const std::string& name, const auto& attack, int turned, bool claimed) {
    const double mean = under(images, test, rows, tutti::mean{}, attack, turned);
    bench::json row{{"attack", name}, {"mean", mean}};
    double best = 0;
    const std::pair<const char*, rule> rules[] = {
        {"median", {tutti::median{}}},
        {"trimmed mean", {tutti::trimmed_mean{20}}},
        {"multi-krum", {tutti::krum{.f = 20, .keep = 60}}},
        {"bulyan", {tutti::bulyan{20}}},
        {"geometric median", {tutti::geometric_median{}}},
        {"centered clipping", {tutti::centered_clipping{.radius = .5, .passes = 3}}}};
    for (const auto& [rule_name, one] : rules) {
      const double got = under(images, test, rows, one, attack, turned);
      row[rule_name] = got;
      best = std::max(best, got);
    }
    report.row(std::move(row));
    if (!claimed) return;
    report.at_least(name + ": points that a mean loses", 100 * (calm - mean), 10);
    report.at_most(name + ": points that the best rule loses", 100 * (calm - best), 2);
  };
  using namespace tutti::attacks;
  try_all("sign flip, 10 times", sign_flip{10}, 0, true);
  try_all("gaussian, deviation 10", gaussian{10}, 0, true);
  try_all("inner product, epsilon 10", inner_product_manipulation{10}, 0, true);
  try_all("a little is enough, z 1.5", a_little_is_enough{1.5}, 0, false);
  try_all("label flip", no_attack{}, 20, false);
}

} // namespace

int main(int argc, char** argv) try {
  bench::report report{"federated", argc, argv};
  const auto data = models::find_digits();
  const bool real = models::data_folder().has_value();
  report.machine("images", data.source);
  const char* part = std::getenv("TUTTI_BENCH_PART");
  const auto wanted = [&](const std::string& name) { return part == nullptr || name == part; };
  if (wanted("speed")) speed(report, data, real);
  if (wanted("rounds") && real) rounds_of_iid(report, data);
  if (wanted("heterogeneous") && real) rounds_of_shards(report, data);
  if (wanted("attacks") && real) attacked(report, data);
  return report.finish();
} catch (const std::exception& e) {
  std::fprintf(stderr, "federated: %s\n", e.what());
  return 1;
}
