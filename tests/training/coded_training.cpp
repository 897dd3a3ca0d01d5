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
  double momentum = .5; ///< of the optimizer
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
      return strategy.bind(model.parameters(), tutti::sgd{.learning_rate = .1, .momentum = how.momentum},
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
    for (const char* name : {"unsent", "momentum of the codec", "unpublished", "agreed on", "exchanges of the codec"})
      for (const double v : state.of(name)) out.push_back(v);
    return out;
  });
}

template <class Codec>
void check(const Codec& codec, const char* name, double momentum = .5) {
  const auto run = [&](course how) {
    how.momentum = momentum;
    return trained(codec, how);
  };
  const auto plain = run({});
  BOOST_CHECK_MESSAGE(std::equal(plain[0].begin(), plain[0].begin() + 41, plain[2].begin()), name << ": ranks differ");
  BOOST_CHECK_MESSAGE(plain[0].size() > 82, name << ": nothing is remembered");
  BOOST_CHECK_MESSAGE(plain == run({.in_halves = true}), name << ": micro-batches touch the memory");
  BOOST_CHECK_MESSAGE(plain == run({.skipped = 3}), name << ": a skipped step leaves a trace");
  BOOST_CHECK_MESSAGE(plain == run({.resumed = 4}), name << ": it does not go on with what it remembers");
  BOOST_CHECK_MESSAGE(plain != run({.steps = 5}), name << ": nothing changes");
}

} // namespace

BOOST_AUTO_TEST_CASE(a_memory_counts_exchanges_and_goes_on) {
  check(tutti::error_feedback{tutti::top_k{.2}}, "error_feedback<top_k>");
  check(tutti::error_feedback{tutti::sign_block{}, .9}, "error_feedback<sign_block>");
  check(tutti::ef21{tutti::top_k{.2}}, "ef21<top_k>");
  check(tutti::error_feedback{tutti::random_k{.2}}, "error_feedback<random_k>"); // which draws what it would have drawn
  check(tutti::dgc{tutti::top_k{.2}, .5}, "dgc<top_k>", 0);
  check(tutti::warmed_up{tutti::dgc{tutti::top_k{.02}, .5}, 4}, "warmed_up<dgc<top_k>>", 0);
}

BOOST_AUTO_TEST_CASE(an_overflow_halves_the_scale_and_leaves_what_is_remembered) {
  const auto run = [](bool overflows) {
    return on(2, [&](auto& world) {
      tensors<float> model = two_tensors();
      tutti::strategy strategy{world, tutti::direct{}, tutti::error_feedback{tutti::int8_block{}}};
      auto trainer = strategy.bind(model.parameters(), tutti::sgd{.learning_rate = .1, .momentum = .5},
                                   tutti::training_options{.loss_scale = {.initial = 1024, .growth = 2}});
      const auto step = [&](int k, bool bad) {
        auto g = pull(model, world.rank(), k, bad);
        for (floats& values : g)
          for (float& v : values) v *= float(trainer.loss_scale());
        trainer.step(gradients(g));
      };
      for (int k = 1; k <= 6; ++k) {
        if (k == 3 && overflows) {
          const auto before = state_of(trainer).of("unsent");
          step(k, true);
          small_model::must_equal(state_of(trainer).of("unsent") == before, true, "what is remembered is as before");
          small_model::must_equal(trainer.loss_scale(), 512., "the scale");
        }
        step(k, false);
      }
      return model.flat();
    });
  };
  BOOST_CHECK(run(true) == run(false));
}

BOOST_AUTO_TEST_CASE(momentum_before_the_codec_is_that_of_sgd_where_all_is_sent) {
  const auto parameters_of = [](auto all) {
    for (auto& one : all) one.resize(41);
    return all;
  };
  const auto by_sgd = parameters_of(trained(tutti::unsafe_biased{tutti::top_k{1}}, {}, tutti::one_shot{}));
  const auto by_codec = parameters_of(trained(tutti::dgc{tutti::top_k{1}, .5, false}, {.momentum = 0}, tutti::one_shot{}));
  for (std::size_t i = 0; i < 41; ++i) BOOST_CHECK_CLOSE(by_codec[0][i], by_sgd[0][i], 1e-3);
}

BOOST_AUTO_TEST_CASE(a_warm_up_counts_steps_that_counted) {
  // What rank 0 sends in each step, beside what it does when all is over.
  constexpr tutti::warmed_up codec{tutti::dgc{tutti::top_k{.03}}, 4};
  const auto sent = on(3, [&](auto& world) {
    tutti::counted comm{world};
    tutti::strategy strategy{comm, tutti::one_shot{}, codec};
    std::vector<std::vector<long>> of;
    for (const std::size_t buckets : {1u << 20, 1u}) { // of one bucket, and of two that count as one exchange
      tensors<float> model = two_tensors();
      auto trainer = strategy.bind(model.parameters(), tutti::sgd{.learning_rate = .1},
                                   tutti::training_options{.bucket_bytes = buckets, .non_finite = tutti::non_finite::skip});
      of.emplace_back();
      for (int step = 1; step <= 7; ++step) {
        const auto before = comm.sent().bytes;
        trainer.step(gradients(pull(model, world.rank(), step, step == 3)));
        of.back().push_back(long(comm.sent().bytes - before));
      }
      const long first = of.back().front();
      for (long& bytes : of.back()) bytes -= first;
    }
    return of;
  });
  // 41 values: 11, 3 or 2 pairs to each of two others, of each bucket; the step that is skipped does not count.
  const auto pairs = [](std::initializer_list<int> all) {
    std::vector<long> bytes;
    for (const int k : all) bytes.push_back(2 * 8 * long(k - *all.begin()));
    return bytes;
  };
  const auto wanted = pairs({11, 11, 3, 3, 3, 2, 2}); // 8 + 3, 2 + 1, 1 + 1
  BOOST_TEST(sent[0][0] == wanted, boost::test_tools::per_element());
  BOOST_TEST(sent[0][1] == wanted, boost::test_tools::per_element());
}

BOOST_AUTO_TEST_CASE(momentum_is_not_taken_twice) {
  const auto errors = trial::errors_on_ranks(2, [](auto& world) {
    tensors<float> model = two_tensors();
    tutti::strategy strategy{world, tutti::direct{}, tutti::warmed_up{tutti::dgc{tutti::top_k{.2}}, 4}};
    strategy.bind(model.parameters(), tutti::sgd{.momentum = .9});
  });
  small_model::expect_texts("twice", errors, "so it would count twice - give the optimizer none");
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
