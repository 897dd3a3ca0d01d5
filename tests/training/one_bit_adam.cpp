// one_bit_adam: Adam, then its momentum through a codec, against the same worked out plainly.
#include "codecs/coded.hpp"
#include "scratch.hpp"
#include "training/small.hpp"

#include <tutti/communicators/counted.hpp>
#include <tutti/optimizers/one_bit_adam.hpp>
#include <tutti/training/checkpoint.hpp>

#include <array>
#include <cmath>
#include <limits>
#include <memory>

BOOST_AUTO_TEST_SUITE(momentum_through_a_codec)

namespace {

using small_model::floats;
using small_model::on;
using small_model::tensors;

constexpr int ranks = 3, warm_up = 3;
constexpr std::size_t sizes[] = {30, 11}, all = 41;
constexpr tutti::one_bit_adam by{.learning_rate = .05, .beta2 = .9, .weight_decay = .1, .warm_up = warm_up};
const tutti::error_feedback signs{tutti::sign_block{}};

tensors<float> model() {
  tensors<float> out{{"a", "b"}, {}};
  for (const std::size_t n : sizes) out.values.emplace_back(n, .5f);
  return out;
}
/// The gradient of a rank: towards values of its own, other ones in every step; of value 7 always 0.
float slope(float at, std::size_t i, int rank, int step) {
  return i == 7 ? 0 : at - float(i % 13) / 4 + float((int(i) + step) % 3) / 4 + float(rank) / 8;
}
std::vector<floats> slopes(const tensors<float>& at, int rank, int step) {
  auto out = at.values;
  std::size_t i = 0;
  for (floats& values : out)
    for (float& v : values) v = slope(v, i++, rank, step);
  return out;
}

/// Algorithm 1 of the paper: every rank sends to one, which sends what it has made of that to all, and both remember what
/// they left out. Adam's correction of bias, and decoupled decay, as its documentation says.
floats plain(int steps, bool through_signs) {
  floats p(all, .5f), m(all), v(all), left(all);
  std::array<floats, ranks> left_by;
  left_by.fill(floats(all));
  const auto through = [&](floats x, floats& rest) {
    if (!through_signs) return x;
    for (std::size_t i = 0; i < all; ++i) x[i] += rest[i];
    const floats sent = coded::sent(tutti::sign_block{}, x);
    rest = coded::difference(x, sent);
    return sent;
  };
  for (int step = 1; step <= steps; ++step) {
    floats mean(all);
    for (int r = 0; r < ranks; ++r) {
      floats own(all);
      for (std::size_t i = 0; i < all; ++i) own[i] = slope(p[i], i, r, step);
      if (step > warm_up) {
        for (std::size_t i = 0; i < all; ++i) own[i] = .9f * m[i] + .1f * own[i];
        own = through(own, left_by[std::size_t(r)]);
      }
      for (std::size_t i = 0; i < all; ++i) mean[i] += own[i] / ranks;
    }
    if (step > warm_up) mean = through(mean, left);
    for (std::size_t i = 0; i < all; ++i) {
      if (step > warm_up) {
        m[i] = v[i] == 0 ? 0 : mean[i];
      } else {
        m[i] = .9f * m[i] + .1f * mean[i];
        v[i] = .9f * v[i] + .1f * mean[i] * mean[i];
      }
      const double unbiased = double(m[i]) / (1 - std::pow(.9, step));
      const double root = std::sqrt(double(v[i]) / (1 - std::pow(.9, std::min(step, warm_up))));
      p[i] = float(double(p[i]) * (1 - .05 * .1) - .05 * unbiased / (root + 1e-8));
    }
  }
  return p;
}

/// How a run goes: `overflows` is a step that is made twice, with an infinity in it at first.
struct course {
  int steps = 8, overflows = 0, resumed = 0;
  std::size_t buckets = 1 << 20;
};
template <class Codec>
std::vector<floats> trained(const Codec& codec, const course& how) {
  const scratch folder;
  return on(ranks, [&](auto& world) {
    tensors<float> mine = model();
    tutti::strategy strategy{world, tutti::star{}, codec};
    const auto bind = [&] {
      return strategy.bind(mine.parameters(), by, tutti::training_options{.bucket_bytes = how.buckets,
                                                                          .non_finite = tutti::non_finite::skip});
    };
    using trainer_type = decltype(bind());
    std::unique_ptr<trainer_type> trainer{new trainer_type(bind())};
    for (int step = 1; step <= how.steps; ++step) {
      if (step == how.overflows) {
        auto bad = slopes(mine, world.rank(), step);
        if (world.rank() == 1) bad[0][2] = std::numeric_limits<float>::infinity();
        trainer->step(small_model::gradients(bad));
      }
      if (step == how.resumed) {
        trainer->save(folder / "saved");
        trainer.reset(new trainer_type(bind()));
        trainer->load(folder / "saved");
      }
      trainer->step(small_model::gradients(slopes(mine, world.rank(), step)));
    }
    return mine.flat();
  });
}

} // namespace

BOOST_AUTO_TEST_CASE(it_is_algorithm_1_of_the_paper) {
  for (const int steps : {warm_up, warm_up + 1, warm_up + 4}) {
    const auto got = trained(signs, {.steps = steps});
    const floats wanted = plain(steps, true);
    for (std::size_t i = 0; i < all; ++i)
      BOOST_CHECK_MESSAGE(std::fabs(got[0][i] - wanted[i]) < 1e-5f * (1 + std::fabs(wanted[i])),
                          "value " << i << " after " << steps << " steps is " << got[0][i] << ", wanted " << wanted[i]);
    BOOST_CHECK(coded::same_bits(got[0], got[1]) && coded::same_bits(got[0], got[2]));
  }
}

BOOST_AUTO_TEST_CASE(without_a_codec_nothing_is_lost) {
  const floats wanted = plain(8, false);
  const auto got = trained(tutti::identity{}, {});
  for (std::size_t i = 0; i < all; ++i) BOOST_CHECK_SMALL(got[2][i] - wanted[i], 1e-5f * (1 + std::fabs(wanted[i])));
}

BOOST_AUTO_TEST_CASE(what_had_no_gradient_stays) {
  float shrunk = .5f;
  for (int step = 1; step <= 8; ++step) shrunk *= 1 - .05f * .1f;
  BOOST_CHECK_CLOSE(trained(signs, {})[0][7], shrunk, 1e-3f);
}

BOOST_AUTO_TEST_CASE(a_step_that_is_skipped_leaves_no_trace_and_a_checkpoint_goes_on) {
  const auto wanted = trained(signs, {});
  BOOST_CHECK(wanted == trained(signs, {.overflows = 2}));
  BOOST_CHECK(wanted == trained(signs, {.overflows = warm_up + 3}));
  BOOST_CHECK(wanted == trained(signs, {.resumed = 2}));
  BOOST_CHECK(wanted == trained(signs, {.resumed = warm_up + 3}));
  const auto apart = trained(signs, {.buckets = 1}); // a tensor is a message: other blocks, and the same on all ranks
  BOOST_CHECK(apart != wanted && apart[0] == apart[2]);
}

BOOST_AUTO_TEST_CASE(gradients_travel_whole_and_momentum_through_the_codec) {
  // What rank 1 sends of a step; tensor b has no gradient in the first, so its bucket waits for it.
  const auto sent = on(ranks, [&](auto& world) {
    tutti::counted comm{world};
    tensors<float> mine = model();
    tutti::strategy strategy{comm, tutti::star{}, signs};
    auto trainer = strategy.bind(mine.parameters(), by);
    std::vector<long> bytes;
    for (int step = 1; step <= warm_up + 3; ++step) {
      auto g = slopes(mine, world.rank(), step);
      if (step == 1) g[1].clear();
      const auto before = comm.sent().bytes;
      trainer.step(small_model::gradients(g));
      bytes.push_back(long(comm.sent().bytes - before));
    }
    return bytes;
  });
  const long less = long(all * sizeof(float)) - long(tutti::sign_block{}.bytes<float>(all));
  for (int step = 2; step <= warm_up + 3; ++step) {
    const long whole = sent[1][1], wanted = step > warm_up + 1 ? whole - less : whole;
    BOOST_CHECK_MESSAGE(sent[1][std::size_t(step - 1)] == wanted,
                        "in step " << step << " " << sent[1][std::size_t(step - 1)] << " bytes, wanted " << wanted);
  }
}

BOOST_AUTO_TEST_CASE(what_cannot_be_is_said) {
  const auto errors = [](const tutti::one_bit_adam& optimizer, const tutti::training_options& how) {
    return trial::errors_on_ranks(2, [&](auto& world) {
      tensors<float> mine = model();
      tutti::strategy strategy{world, tutti::star{}, signs};
      strategy.bind(mine.parameters(), optimizer, how);
    });
  };
  small_model::expect_texts("none", errors({.warm_up = 0}, {}), "warm_up of tutti::one_bit_adam cannot be - give at least 1");
  small_model::expect_texts("beta", errors({.beta2 = 1}, {}), "beta2 of tutti::one_bit_adam");
  small_model::expect_texts("clip", errors({}, {.clip = 1}), "training_options::clip is given, and for this optimizer");
}

BOOST_AUTO_TEST_SUITE_END()
