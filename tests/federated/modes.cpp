// Clients whose library sets a mode of arithmetic on the rank that runs them.
#include "core/modes.hpp"
#include "sync/model.hpp"

#include <boost/test/unit_test.hpp>

#include <vector>

namespace {

/// Client c moves every parameter a little, some by subnormal numbers; the last one sets a mode for good.
struct careless_clients {
  modes::mode mode;

  int clients() const { return 7; }
  double examples(int client) const { return client + 1; }
  void train(int client, tutti::local_training<float>& local, tutti::random_stream) const {
    const auto from = local.received();
    const auto to = local.parameters();
    {
      const modes::scope own{{}};
      std::fesetenv(FE_DFL_ENV); // what the client itself computes is not what is tried
      for (std::size_t i = 0; i < to.size(); ++i)
        to[i] = from[i] + float(client + 1) * (i % 2 == 0 ? 1.3e-40f : 0.0137f);
    }
    if (client == 6) modes::set(mode);
  }
  tutti::score evaluate(std::span<const float> parameters, int part, int) const {
    return part == 0 ? tutti::score{double(parameters[1]), 3} : tutti::score{};
  }
};

struct outcome {
  std::vector<std::vector<float>> parameters;
  std::vector<double> metrics;
};

outcome rounds_with(const modes::mode& mode) {
  outcome out;
  out.metrics.resize(2);
  out.parameters = trial::on_ranks(2, [&](auto& world, trial::model& m) {
    const modes::scope restored{{}};
    for (auto& values : m.values) std::fill(values.begin(), values.end(), 0.0f);
    careless_clients clients{mode};
    tutti::strategy strategy{world, tutti::star{}, tutti::weighted_mean{},
                             tutti::federated{.fraction = 1.0, .outer = {.learning_rate = 0.7}}};
    const auto report = strategy.run(m.parameters(), clients, {.rounds = 4});
    out.metrics[std::size_t(world.rank())] = report.rounds.back().metric;
  });
  return out;
}

} // namespace

BOOST_AUTO_TEST_SUITE(modes_of_arithmetic)

BOOST_AUTO_TEST_CASE(change_nothing_that_federated_rounds_compute) {
  const outcome wanted = rounds_with({});
  for (const modes::mode& mode : modes::all()) {
    const outcome got = rounds_with(mode);
    BOOST_CHECK_MESSAGE(trial::all_same(got.parameters), mode.name << ": ranks differ");
    BOOST_CHECK_MESSAGE(trial::same_bits(got.parameters[0], wanted.parameters[0]),
                        mode.name << ": other parameters than without");
    BOOST_CHECK_MESSAGE(got.metrics == wanted.metrics, mode.name << ": other metrics than without");
  }
}

BOOST_AUTO_TEST_SUITE_END()
