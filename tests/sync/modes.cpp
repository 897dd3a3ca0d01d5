// A library that sets a mode of arithmetic on one rank, in its gradients say, once training has begun.
#include "core/modes.hpp"
#include "sync/model.hpp"

#include <boost/test/unit_test.hpp>

#include <string>
#include <vector>

namespace {

/// Gradients of which some are so small that the updates by them are subnormal.
template <class Trainer> void one_step(Trainer& trainer, trial::model& m, int rank, int step) {
  std::vector<tutti::tensor<const float>> gradients;
  std::fenv_t before; // what the model itself computes is not what is tried
  std::feholdexcept(&before);
  std::fesetenv(FE_DFL_ENV);
  for (std::size_t k = 0; k < m.values.size(); ++k) {
    for (std::size_t i = 0; i < m.values[k].size(); ++i)
      m.pulls[k][i] = float(i % 13 + 1) * float(rank + step) * (i % 2 == 0 ? 1e-39f : 0.013f);
    gradients.push_back({trial::model::name(k), m.pulls[k]});
  }
  std::fesetenv(&before);
  trainer.step(gradients);
}

/// The parameters of two ranks after ten steps; a mode is set on rank `who` in the second, on all where
/// that is -1.
template <class Optimizer, class... Parts>
std::vector<std::vector<float>> after_ten_steps(const modes::mode& mode, int who,
                                                Optimizer optimizer, Parts... parts) {
  return trial::on_ranks(2, [&](auto& world, trial::model& m) {
    for (auto& values : m.values) std::fill(values.begin(), values.end(), 0.0f);
    tutti::strategy strategy{world, parts...};
    auto trainer = strategy.bind(m.parameters(), optimizer);
    const bool works = trainer.role() != tutti::role::server;
    if (works) one_step(trainer, m, world.rank(), 1);
    const modes::scope set{who < 0 || who == world.rank() ? mode : modes::mode{}};
    for (int step = 2; works && step <= 10; ++step) one_step(trainer, m, world.rank(), step);
    trainer.finalize();
  });
}

template <class... Rest> void same_as_without(const std::string& name, Rest... rest) {
  const auto wanted = after_ten_steps({}, -1, rest...);
  BOOST_CHECK_MESSAGE(trial::all_same(wanted), name << ": ranks differ where no mode is set");
  for (const modes::mode& mode : modes::all())
    for (const int who : {0, 1, -1}) {
      const auto got = after_ten_steps(mode, who, rest...);
      std::size_t wrong = 0;
      for (std::size_t r = 0; r < got.size(); ++r)
        for (std::size_t i = 0; i < got[r].size(); ++i)
          wrong += std::memcmp(&got[r][i], &wanted[r][i], sizeof(float)) != 0;
      BOOST_CHECK_MESSAGE(wrong == 0, name << ", " << mode.name << " on rank " << who << ": " << wrong
                                           << " parameters are others than without");
    }
}

} // namespace

BOOST_AUTO_TEST_SUITE(modes_of_arithmetic)

BOOST_AUTO_TEST_CASE(change_no_parameter_of_a_trainer) {
  same_as_without("sgd", tutti::sgd{.learning_rate = 0.1});
  same_as_without("adamw", tutti::adamw{.learning_rate = 1e-3});
  same_as_without("adamw, sharded", tutti::adamw{.learning_rate = 1e-3}, tutti::ring{},
                  tutti::sharded{});
}

// Pushes come in any order, but these are all of one worker.
BOOST_AUTO_TEST_CASE(change_no_parameter_of_a_server) {
  same_as_without("adamw, a server and a worker", tutti::adamw{.learning_rate = 1e-3},
                  tutti::star{.servers = 1, .dedicated = true}, tutti::asynchronous{.staleness = 0});
}

BOOST_AUTO_TEST_SUITE_END()
