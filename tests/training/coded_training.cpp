// A codec that remembers, in a trainer: its memory is touched once an exchange that counts, is saved and goes on, and
// belongs to places of the model.
#include "scratch.hpp"
#include "training/small.hpp"

#include <tutti/training/checkpoint.hpp>

#include <algorithm>
#include <limits>
#include <memory>
#include <vector>

BOOST_AUTO_TEST_SUITE(coded_training)

namespace {

using small_model::floats;
using small_model::gradients;
using small_model::on;
using small_model::state_of;
using small_model::tensors;

tensors<float> two_tensors() {
  tensors<float> all{{"a", "b"}, {}};
  for (const std::size_t n : {30u, 11u}) all.values.emplace_back(n, .5f);
  return all;
}
std::vector<floats> pull(const tensors<float>& at, int rank, int step, bool overflows = false) {
  auto out = at.values;
  std::size_t i = 0;
  for (floats& tensor : out)
    for (float& v : tensor) v -= float(i++ % 13) + float(step % 3) / 4 + float(rank) / 8;
  if (overflows && rank == 0) out[1][3] = std::numeric_limits<float>::infinity();
  return out;
}

/// How a run goes: `skipped` is a step with an infinity in it, of which nothing may be left.
struct course {
  int steps = 6, skipped = 0, resumed = 0;
  bool in_halves = false;
  std::size_t buckets = 64, later = 0; ///< bytes of them; where others follow, it is resumed from a file
};
/// The parameters, and what is remembered, at the end of it.
template <class Codec, class Topology = tutti::direct>
std::vector<std::vector<double>> trained(const Codec& codec, const course& how, const Topology& topology = {}) {
  const scratch folder;
  return on(3, [&](auto& world) {
    tensors<float> model = two_tensors();
    tutti::strategy strategy{world, topology, codec};
    std::size_t bytes = how.buckets;
    const auto bind = [&] {
      return strategy.bind(model.parameters(), tutti::sgd{.learning_rate = .1, .momentum = .5},
                           tutti::training_options{.bucket_bytes = bytes, .non_finite = tutti::non_finite::skip});
    };
    using trainer_type = decltype(bind());
    std::unique_ptr<trainer_type> trainer{new trainer_type(bind())};
    const auto go_on = [&] {
      if (how.later > 0) {
        trainer->save(folder / "saved");
        bytes = how.later;
        trainer.reset(new trainer_type(bind()));
        trainer->load(folder / "saved");
        return;
      }
      auto state = state_of(*trainer);
      trainer.reset(new trainer_type(bind()));
      state.begin_reading();
      trainer->state(state);
    };
    for (int step = 1; step <= how.steps; ++step) {
      if (step == how.skipped) trainer->step(gradients(pull(model, world.rank(), step, true)));
      if (step == how.resumed) go_on();
      const auto g = pull(model, world.rank(), step);
      if (how.in_halves) trainer->accumulate(gradients(g));
      trainer->step(gradients(g));
    }
    std::vector<double> out;
    for (const float v : model.flat()) out.push_back(double(v));
    const auto state = state_of(*trainer);
    for (const char* name : {"unsent", "unpublished", "agreed on", "exchanges of the codec"})
      for (const double v : state.of(name)) out.push_back(v);
    return out;
  });
}

template <class Codec>
void check(const Codec& codec, const char* name) {
  const auto plain = trained(codec, {});
  BOOST_CHECK_MESSAGE(std::equal(plain[0].begin(), plain[0].begin() + 41, plain[2].begin()), name << ": ranks differ");
  BOOST_CHECK_MESSAGE(plain[0].size() > 82, name << ": nothing is remembered");
  BOOST_CHECK_MESSAGE(plain == trained(codec, {.in_halves = true}), name << ": micro-batches touch the memory");
  BOOST_CHECK_MESSAGE(plain == trained(codec, {.skipped = 3}), name << ": a skipped step leaves a trace");
  BOOST_CHECK_MESSAGE(plain == trained(codec, {.resumed = 4}), name << ": it does not go on with what it remembers");
  BOOST_CHECK_MESSAGE(plain != trained(codec, {.steps = 5}), name << ": nothing changes");
}

} // namespace

BOOST_AUTO_TEST_CASE(a_memory_counts_exchanges_and_goes_on) {
  check(tutti::error_feedback{tutti::top_k{.2}}, "error_feedback<top_k>");
  check(tutti::error_feedback{tutti::sign_block{}, .9}, "error_feedback<sign_block>");
  check(tutti::ef21{tutti::top_k{.2}}, "ef21<top_k>");
}

BOOST_AUTO_TEST_CASE(a_memory_stays_with_its_values_when_buckets_change) {
  // A threshold looks at each value alone, and over one_shot at nothing else: how values are cut cannot be seen.
  const tutti::error_feedback codec{tutti::threshold{4}};
  const auto parameters_of = [&](std::size_t buckets, std::size_t later) {
    auto all = trained(codec, {.resumed = 4, .buckets = buckets, .later = later}, tutti::one_shot{});
    for (auto& one : all) one.resize(41); // without how the memory is cut
    return all;
  };
  const auto plain = parameters_of(1 << 20, 1 << 20);
  BOOST_CHECK(plain == parameters_of(1 << 20, 1));
  BOOST_CHECK(plain == parameters_of(1, 1 << 20));
  BOOST_CHECK(plain[0] == plain[2]);
}

// Draws are named by seed, exchange, place and rank (that ranks draw unlike is a test of tests/codecs/stochastic.cpp).
// Of these only the exchange is state, which all ranks count alike, so any number of them goes on from the file.
BOOST_AUTO_TEST_CASE(what_is_drawn_by_chance_goes_on_from_a_file) {
  const auto check = [](const auto& codec, const char* name) {
    const auto plain = trained(codec, {.steps = 10});
    BOOST_CHECK_MESSAGE(plain == trained(codec, {.steps = 10, .resumed = 6}), name << ": 5 and 5 are not 10");
    BOOST_CHECK_MESSAGE(plain == trained(codec, {.steps = 10, .resumed = 6, .later = 64}), name << ": from a file");
    auto other = codec;
    other.seed += 1;
    BOOST_CHECK_MESSAGE(plain != trained(other, {.steps = 10}), name << ": nothing is drawn");
  };
  check(tutti::qsgd{7}, "qsgd");
  check(tutti::terngrad{7}, "terngrad");
}

BOOST_AUTO_TEST_SUITE_END()
