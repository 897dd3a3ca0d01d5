// Codecs of several stages in a trainer. power_sgd: matrices travel as two factors, what is left out is sent later, and both factors' memory is part
// of what training goes on from.
#include "training/scratch.hpp"
#include "training/small.hpp"

#include <tutti/training/checkpoint.hpp>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <limits>
#include <memory>
#include <string>
#include <vector>

BOOST_AUTO_TEST_SUITE(staged_training)

namespace {

using small_model::floats;
using small_model::gradients;
using small_model::on;
using small_model::state_of;

constexpr std::size_t rows = 24, columns = 18, rank = 2;

/// A matrix, a vector behind it, and a matrix that would not gain.
struct model {
  floats w = floats(rows * columns, .5f), b = floats(columns, .5f), small = floats(4, .5f);

  std::vector<tutti::tensor<float>> parameters() {
    return {{"w", std::span{w}, {int(rows), int(columns)}}, {"b", std::span{b}}, {"small", std::span{small}, {2, 2}}};
  }
  floats flat() const {
    floats all = w;
    all.insert(all.end(), b.begin(), b.end());
    all.insert(all.end(), small.begin(), small.end());
    return all;
  }
};
/// Of rank 3 and a little more of everything, other on each rank and in each step.
std::vector<floats> gradient_of(int on_rank, int step) {
  const auto wave = [&](std::size_t i, double by) { return std::sin(double(i) * by + .7 * on_rank + .3 * step); };
  std::vector<floats> all{floats(rows * columns), floats(columns), floats(4)};
  for (std::size_t i = 0; i < rows; ++i)
    for (std::size_t j = 0; j < columns; ++j)
      all[0][i * columns + j] = float(2 * wave(i, .9) * wave(j, .4) + wave(i, .2) * wave(j, 1.3) +
                                      .5 * wave(i, 2.1) * wave(j, .1) + .1 * wave(i * columns + j, 5.7));
  for (std::size_t j = 0; j < columns; ++j) all[1][j] = float(wave(j, 1.7));
  for (std::size_t j = 0; j < 4; ++j) all[2][j] = float(wave(j, 2.9));
  return all;
}

struct course {
  int steps = 6, skipped = 0, resumed = 0;
  bool in_halves = false;
};
/// The parameters, and behind them everything that is remembered.
template <class... Parts>
std::vector<std::vector<double>> trained(int ranks, const course& how, const Parts&... parts) {
  return on(ranks, [&](auto& world) {
    model m;
    tutti::strategy strategy{world, tutti::power_sgd{.rank = int(rank)}, parts...};
    const auto bind = [&] {
      return strategy.bind(m.parameters(), tutti::sgd{.learning_rate = .1, .momentum = .5},
                           tutti::training_options{.bucket_bytes = 64, .non_finite = tutti::non_finite::skip});
    };
    using trainer_type = decltype(bind());
    std::unique_ptr<trainer_type> trainer{new trainer_type(bind())};
    const auto go_on = [&] {
      auto state = state_of(*trainer);
      trainer.reset(new trainer_type(bind()));
      state.begin_reading();
      trainer->state(state);
    };
    for (int step = 1; step <= how.steps; ++step) {
      const auto g = gradient_of(world.rank(), step);
      if (step == how.skipped) {
        auto blown_up = g;
        if (world.rank() == 0) blown_up[0][5] = std::numeric_limits<float>::infinity();
        trainer->step(gradients(blown_up));
      }
      if (step == how.resumed) go_on();
      if (how.in_halves) trainer->accumulate(gradients(g));
      trainer->step(gradients(g));
    }
    std::vector<double> out;
    for (const float v : m.flat()) out.push_back(double(v));
    const auto state = state_of(*trainer);
    for (const char* name : {"unsent", "right factors"})
      for (const double v : state.of(name)) out.push_back(v);
    return out;
  });
}

constexpr std::size_t values = rows * columns + columns + 4;

/// The algorithm as it stands in the paper, in double, of one matrix on all ranks; its vectors are averaged.
class reference {
public:
  reference(std::size_t ranks, std::vector<double> right) : errors_(ranks, matrix(rows * columns)), right_{std::move(right)} {}

  std::vector<double> step(int number) {
    const std::size_t ranks = errors_.size();
    std::vector<matrix> all = errors_;
    matrix left(rows * rank), agreed(columns * rank);
    for (std::size_t r = 0; r < ranks; ++r) {
      const floats g = gradient_of(int(r), number)[0];
      for (std::size_t i = 0; i < g.size(); ++i) all[r][i] += double(g[i]);
      for (std::size_t i = 0; i < rows; ++i)
        for (std::size_t j = 0; j < columns; ++j)
          for (std::size_t k = 0; k < rank; ++k)
            left[i * rank + k] += all[r][i * columns + j] * right_[k * columns + j] / double(ranks);
    }
    orthogonalize(left);
    std::vector<matrix> own(ranks, matrix(columns * rank));
    for (std::size_t r = 0; r < ranks; ++r)
      for (std::size_t i = 0; i < rows; ++i)
        for (std::size_t j = 0; j < columns; ++j)
          for (std::size_t k = 0; k < rank; ++k) {
            const double one = all[r][i * columns + j] * left[i * rank + k];
            own[r][k * columns + j] += one;
            agreed[k * columns + j] += one / double(ranks);
          }
    for (std::size_t r = 0; r < ranks; ++r) {
      errors_[r] = all[r];
      subtract(errors_[r], left, own[r]);
    }
    right_ = agreed;
    matrix arrives(rows * columns);
    subtract(arrives, left, agreed);
    for (double& x : arrives) x = -x;
    return arrives;
  }
  double error(std::size_t on_rank, std::size_t i) const { return errors_[on_rank][i]; }

private:
  using matrix = std::vector<double>;

  static void orthogonalize(matrix& left) {
    for (std::size_t k = 0; k < rank; ++k) {
      const auto dot = [&](std::size_t j) {
        double all = 0;
        for (std::size_t i = 0; i < rows; ++i) all += left[i * rank + k] * left[i * rank + j];
        return all;
      };
      for (std::size_t j = 0; j < k; ++j) {
        const double share = dot(j);
        for (std::size_t i = 0; i < rows; ++i) left[i * rank + k] -= share * left[i * rank + j];
      }
      const double norm = std::sqrt(dot(k));
      for (std::size_t i = 0; i < rows; ++i) left[i * rank + k] /= norm;
    }
  }
  static void subtract(matrix& from, const matrix& left, const matrix& right) {
    for (std::size_t i = 0; i < rows; ++i)
      for (std::size_t j = 0; j < columns; ++j)
        for (std::size_t k = 0; k < rank; ++k)
          from[i * columns + j] -= left[i * rank + k] * right[k * columns + j];
  }

  std::vector<matrix> errors_;
  matrix right_;
};

} // namespace

BOOST_AUTO_TEST_CASE(five_steps_are_those_of_the_paper) {
  constexpr int ranks = 3, steps = 5;
  struct outcome {
    std::vector<floats> arrived; ///< what parameters have moved by, in each step
    std::vector<double> drawn, unsent;
    std::uint64_t bytes, wanted;
  };
  const auto runs = on(ranks, [&](auto& inner) {
    tutti::counted world{inner};
    model m;
    tutti::strategy strategy{world, tutti::ring{}, tutti::power_sgd{.rank = int(rank)}};
    auto trainer = strategy.bind(m.parameters(), small_model::by_one);
    outcome out;
    const auto right = state_of(trainer).of("right factors");
    out.drawn.assign(right.end() - rows * columns, right.end() - rows * columns + columns * rank);
    for (int step = 1; step <= steps; ++step) {
      out.arrived.push_back(m.flat());
      world.reset();
      trainer.step(gradients(gradient_of(world.rank(), step)));
      out.bytes = world.sent().bytes;
      for (std::size_t i = 0; i < values; ++i) out.arrived.back()[i] -= m.flat()[i];
    }
    const auto unsent = state_of(trainer).of("unsent");
    out.unsent.assign(unsent.end() - rows * columns, unsent.end());

    world.reset();
    floats first(rows * rank + columns + 4), second(columns * rank);
    tutti::all_reduce(world, first, tutti::ring{}, tutti::mean{});
    tutti::all_reduce(world, second, tutti::ring{}, tutti::mean{});
    std::vector<std::uint64_t> mine(4), all(4 * ranks); // of a step: weight, presence, two bits a tensor
    tutti::all_gather(world, mine, all);
    out.wanted = world.sent().bytes;
    return out;
  });

  reference plain{ranks, runs[0].drawn};
  double worst = 0;
  for (int step = 1; step <= steps; ++step) {
    const auto wanted = plain.step(step);
    for (const outcome& run : runs)
      for (std::size_t i = 0; i < wanted.size(); ++i)
        worst = std::max(worst, std::abs(double(run.arrived[std::size_t(step - 1)][i]) - wanted[i]));
    for (std::size_t j = 0; j < columns; ++j) { // vectors are averaged as they are
      double mean = 0;
      for (int r = 0; r < ranks; ++r) mean += double(gradient_of(r, step)[1][j]) / ranks;
      worst = std::max(worst, std::abs(double(runs[0].arrived[std::size_t(step - 1)][rows * columns + j]) - mean));
    }
  }
  for (std::size_t r = 0; r < runs.size(); ++r) {
    BOOST_CHECK_EQUAL(runs[r].bytes, runs[r].wanted);
    BOOST_CHECK(runs[r].arrived == runs[0].arrived);
    for (std::size_t i = 0; i < rows * columns; ++i)
      worst = std::max(worst, std::abs(runs[r].unsent[i] - plain.error(r, i)));
  }
  BOOST_CHECK_SMALL(worst, 2e-5);
}

BOOST_AUTO_TEST_CASE(a_memory_of_stages_counts_exchanges_and_goes_on) {
  const auto plain = trained(3, {}, tutti::direct{});

  BOOST_CHECK(std::equal(plain[0].begin(), plain[0].begin() + values, plain[2].begin()));
  BOOST_CHECK(plain[0].size() == 3 * values);
  BOOST_CHECK(plain == trained(3, {.in_halves = true}, tutti::direct{}));
  BOOST_CHECK(plain == trained(3, {.skipped = 3}, tutti::direct{}));
  BOOST_CHECK(plain == trained(3, {.resumed = 4}, tutti::direct{}));
  BOOST_CHECK(plain != trained(3, {.steps = 5}, tutti::direct{}));
}

BOOST_AUTO_TEST_CASE(agreed_integers_are_added_on_a_ring_in_a_byte_each) {
  constexpr int ranks = 3;
  struct outcome {
    floats arrived;
    std::uint64_t bytes, wanted;
  };
  const auto runs = on(ranks, [&](auto& inner) {
    tutti::counted world{inner};
    model m;
    tutti::strategy strategy{world, tutti::ring{}, tutti::int8_agreed{.seed = 3}};
    auto trainer = strategy.bind(m.parameters(), small_model::by_one);
    outcome out;
    for (int step = 1; step <= 2; ++step) {
      out.arrived = m.flat();
      world.reset();
      trainer.step(gradients(gradient_of(world.rank(), step)));
      out.bytes = world.sent().bytes;
    }
    for (std::size_t i = 0; i < values; ++i) out.arrived[i] -= m.flat()[i];
    world.reset();
    floats first((values + 255) / 256);
    std::vector<signed char> second(values);
    tutti::all_reduce(world, first, tutti::ring{}, tutti::max{});
    tutti::all_reduce(world, second, tutti::ring{});
    std::vector<std::uint64_t> mine(4), all(4 * ranks);
    tutti::all_gather(world, mine, all);
    out.wanted = world.sent().bytes;
    return out;
  });
  double worst = 0;
  for (const outcome& run : runs) {
    BOOST_CHECK(run.arrived == runs[0].arrived);
    BOOST_CHECK_EQUAL(run.bytes, run.wanted);
  }
  for (std::size_t i = 0; i < rows * columns; ++i) {
    double mean = 0;
    for (int r = 0; r < ranks; ++r) mean += double(gradient_of(r, 2)[0][i]) / ranks;
    worst = std::max(worst, std::abs(double(runs[0].arrived[i]) - mean));
  }
  BOOST_CHECK_LT(worst, 3.6 / 42); // no gradient is larger than 3.6
  BOOST_CHECK_GT(worst, 0);
}

BOOST_AUTO_TEST_CASE(owners_of_shards_apply_the_same_result) {
  const auto plain = trained(3, {}, tutti::direct{}), owned = trained(3, {}, tutti::direct{}, tutti::sharded{});

  BOOST_CHECK(plain == owned);
}

BOOST_AUTO_TEST_CASE(differences_travel_in_stages_and_pieces_of_tensors_as_they_are) {
  const auto fragments = trained(2, {}, tutti::direct{}, tutti::streaming_diloco{.period = 2, .fragments = 2, .delay = 1});

  const auto unsent = [&](std::size_t r) {
    return std::count_if(fragments[r].begin() + values, fragments[r].begin() + 2 * values, [](double x) { return x != 0; });
  };
  BOOST_CHECK(fragments[0].size() == 3 * values);
  BOOST_CHECK(unsent(0) == 0 && unsent(1) == 0); // the matrix is longer than a half of the model
}

BOOST_AUTO_TEST_CASE(a_checkpoint_goes_on_in_other_buckets_with_the_same_bits) {
  const scratch folder;
  const auto parameters = on(2, [&](auto& world) {
    std::vector<floats> ends;
    for (const bool is_cut : {false, true}) {
      model m;
      tutti::strategy strategy{world, tutti::direct{}, tutti::power_sgd{.rank = int(rank)}};
      const auto train = [&](std::size_t bucket, int from, int to) {
        auto trainer = strategy.bind(m.parameters(), tutti::sgd{.learning_rate = .1, .momentum = .5},
                                     tutti::training_options{.bucket_bytes = bucket});
        if (from > 1) (void)trainer.load(folder / "x");
        for (int step = from; step <= to; ++step) trainer.step(gradients(gradient_of(world.rank(), step)));
        if (to < 6) trainer.save(folder / "x");
      };
      if (is_cut) {
        train(64, 1, 3);
        train(1 << 20, 4, 6);
      } else {
        train(64, 1, 6);
      }
      ends.push_back(m.flat());
    }
    return ends;
  });
  for (const auto& ends : parameters) BOOST_CHECK(ends[0] == ends[1]);
}

BOOST_AUTO_TEST_CASE(unlike_weights_count_and_all_of_a_product_arrives) {
  const auto moved = on(2, [](auto& world) {
    model m;
    tutti::strategy strategy{world, tutti::direct{}, tutti::power_sgd{.rank = int(rank)}, tutti::weighted_mean{}};
    auto trainer = strategy.bind(m.parameters(), small_model::by_one);
    std::vector<floats> g{floats(rows * columns), floats(columns), floats(4, float(world.rank()))};
    for (std::size_t i = 0; i < rows * columns; ++i)
      g[0][i] = float(world.rank() + 1) * float(i / columns) * float(i % columns) / 256;
    floats before = m.flat();
    trainer.step(gradients(g), world.rank() == 0 ? 1 : 3);
    for (std::size_t i = 0; i < values; ++i) before[i] -= m.flat()[i];
    return before;
  });
  for (std::size_t i = 0; i < rows * columns; ++i) // 1 x 1/4 + 2 x 3/4
    BOOST_CHECK_SMALL(moved[0][i] - 1.75f * float(i / columns) * float(i % columns) / 256, 2e-6f);
  BOOST_CHECK_EQUAL(moved[1].back(), .75f);
}

BOOST_AUTO_TEST_CASE(a_rank_that_is_none_is_refused_on_every_rank) {
  const auto said = on(2, [](auto& world) {
    model m;
    tutti::strategy strategy{world, tutti::direct{}, tutti::power_sgd{.rank = world.rank() == 0 ? 2 : 0}};
    try {
      auto trainer = strategy.bind(m.parameters(), tutti::sgd{.learning_rate = .1, .momentum = .5});
    } catch (const tutti::error& e) {
      return std::string{e.what()};
    }
    return std::string{"nothing"};
  });
  small_model::expect_texts("rank 0", said, "power_sgd::rank is less than 1");
}

BOOST_AUTO_TEST_SUITE_END()
