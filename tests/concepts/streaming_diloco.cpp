// Streaming DiLoCo: replicas train alone; every few steps one fragment of the parameters, in turn,
// is agreed on, and the agreement is applied a few steps later, while training went on (Douillard
// et al., "Streaming DiLoCo with overlapping communication", arXiv 2501.18512). A policy of answers
// alone: it runs on the trainer that all share.
#include "sync/streaming.hpp"
#include "training/plain_local.hpp"

#include <tutti/sync/laws.hpp>
#include <tutti/tutti.hpp>

#include <boost/test/unit_test.hpp>

#include <cmath>
#include <vector>

BOOST_AUTO_TEST_SUITE(concepts)

namespace {

constexpr trial::streaming streaming_diloco{
    .period = 4, .delay = 2, .outer = {.learning_rate = 0.4, .momentum = 0.9, .nesterov = true}};

static_assert(tutti::sync_policy<trial::streaming>);
static_assert(tutti::answers_of(streaming_diloco).delay == 2);

} // namespace

BOOST_AUTO_TEST_CASE(streaming_diloco_equals_plain_loops_for_five_rounds_of_every_fragment) {
  constexpr std::size_t n = 7;
  constexpr int ranks = 3, steps = 5 * 3 * 4 + 3;
  trial::plain_local plain{
      {.period = 4, .fragments = 3, .delay = 2, .keep = 0.5, .rate = 0.4}, ranks, n};
  std::vector<std::vector<std::vector<float>>> seen(steps, std::vector<std::vector<float>>(ranks));
  tutti::threads::run(ranks, [&](auto& world) {
    const auto rank = std::size_t(world.rank());
    std::vector<float> values(n), gradient(n);
    tutti::strategy strategy{world, streaming_diloco};
    auto trainer = strategy.bind(values, tutti::sgd{.learning_rate = 0.1, .momentum = 0.5});
    for (auto& after : seen) {
      for (std::size_t i = 0; i < n; ++i) gradient[i] = values[i] - float(i) - float(rank);
      trainer.step(gradient);
      after[rank] = values;
    }
    trainer.finalize();
  });

  double worst = 0;
  for (const auto& after : seen) {
    plain.step(std::vector<bool>(ranks, true));
    for (std::size_t r = 0; r < after.size(); ++r)
      for (std::size_t i = 0; i < n; ++i)
        worst = std::max(worst, std::abs(double(after[r][i]) - plain.of(r)[i]));
  }
  BOOST_CHECK_MESSAGE(worst < 1e-4, "a value is " << worst << " beside the plain one");
  BOOST_CHECK(tutti::check_sync_policy(streaming_diloco));
}

BOOST_AUTO_TEST_SUITE_END()
