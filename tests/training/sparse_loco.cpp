// sparse_loco: algorithm 1 of SparseLoCo, the bytes that it sends, and its memory in a checkpoint.
#include "scratch.hpp"
#include "training/small.hpp"

#include <tutti/sync/sparse_loco.hpp>
#include <tutti/training/checkpoint.hpp>

#include <algorithm>
#include <string>
#include <vector>

BOOST_AUTO_TEST_SUITE(sparse_differences)

namespace {

using small_model::floats;
using small_model::on;

constexpr std::size_t values = 2 * 4096 + 100;
constexpr int period = 3, agreements = 4;

/// Of every 4,096 values other ones are large.
floats gradient(int rank, int step) {
  floats out(values);
  for (std::size_t i = 0; i < values; ++i)
    out[i] = float((i * 2654435761u + std::size_t(rank * 7919 + step * 104729)) % 4093) / 1024 - 2;
  return out;
}

struct outcome {
  floats parameters;
  std::size_t bytes = 0;
};
struct course {
  int from = 0, to = period * agreements;
  std::string save = {}, load = {};
};
std::vector<outcome> trained(const course& how = {}) {
  return on(2, [&](auto& world) {
    tutti::counted comm{world};
    floats parameters(values, .25f);
    tutti::strategy strategy{comm, tutti::sparse_loco{.period = period}};
    static_assert(std::is_same_v<typename decltype(strategy)::topology_type, tutti::one_shot>);
    small_model::must_equal(strategy.codec().decay, .95, "the decay");
    small_model::must_equal(strategy.codec().inner.kept, 64, "what is kept");
    auto trainer = strategy.bind(parameters, tutti::sgd{.learning_rate = .125});
    if (!how.load.empty()) trainer.load(how.load);
    for (int step = how.from; step < how.to; ++step) trainer.step(gradient(world.rank(), step));
    if (!how.save.empty()) trainer.save(how.save);
    return outcome{parameters, std::size_t(comm.sent().bytes)};
  });
}

} // namespace

BOOST_AUTO_TEST_CASE(it_is_the_algorithm_of_its_paper) {
  // Algorithm 1 on two ranks, with what encodes in the place of Q and top-k: lines 4 to 13.
  const auto& codec = tutti::sparse_loco::default_codec;
  floats agreed(values, .25f);
  std::vector<floats> left(2, floats(values));
  for (int k = 0; k < agreements; ++k) {
    std::vector<floats> sent;
    for (int rank = 0; rank < 2; ++rank) {
      floats own = agreed, after(values);
      for (int step = k * period; step < (k + 1) * period; ++step) {
        const floats g = gradient(rank, step);
        for (std::size_t i = 0; i < values; ++i) own[i] -= .125f * g[i];
      }
      for (std::size_t i = 0; i < values; ++i) own[i] = agreed[i] - own[i];
      std::vector<std::byte> wire(codec.inner.bytes<float>(values));
      codec.encode<float>({left[std::size_t(rank)], after}, std::span{own}, wire.data(), {});
      left[std::size_t(rank)] = after;
      sent.push_back(own);
    }
    for (std::size_t i = 0; i < values; ++i) agreed[i] -= (sent[0][i] + sent[1][i]) / 2;
  }
  for (const outcome& one : trained()) BOOST_CHECK(one.parameters == agreed);
  BOOST_CHECK(std::count(agreed.begin(), agreed.end(), .25f) > int(values) / 2); // most have not moved yet
}

BOOST_AUTO_TEST_CASE(it_sends_a_hundredth_of_what_synchronous_training_does) {
  const std::size_t once = trained({.to = period})[0].bytes, twice = trained({.to = 2 * period})[0].bytes;
  const std::size_t message = tutti::sparse_loco::default_codec.inner.bytes<float>(values);
  BOOST_CHECK_EQUAL(message, 3 * 96u - 96 + 3 + (2 * 64 + 2 + 3) / 4 + 8); // indices of 2 x 64 and 2, codes, two levels
  BOOST_CHECK_LE(twice - once, message + 128);                              // and what ranks tell each other
  const std::size_t synchronous = period * 2 * values / 2 * sizeof(float);  // an all_reduce in every step
  BOOST_CHECK_GE(synchronous, 100 * (twice - once));
}

BOOST_AUTO_TEST_CASE(what_was_not_sent_is_saved) {
  const scratch folder;
  for (const int stop : {period, period + 1}) {
    const std::string file = folder / std::to_string(stop);
    trained({.to = stop, .save = file});
    const auto later = trained({.from = stop, .load = file}), at_once = trained();
    BOOST_CHECK(later[0].parameters == at_once[0].parameters && later[1].parameters == at_once[1].parameters);
  }
}

BOOST_AUTO_TEST_SUITE_END()
