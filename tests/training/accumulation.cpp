// Several micro-batches a step: what is summed, by what it is divided, and in what type.
#include "training/small.hpp"

BOOST_AUTO_TEST_SUITE(accumulation)

namespace {

using small_model::by_one;
using small_model::expect_all;
using small_model::floats;
using small_model::gradients;
using small_model::must_equal;
using small_model::on;
using small_model::tensors;

/// One value that begins as 0, after use(trainer, rank).
template <class V = float, class Use, class... Parts>
std::vector<floats> value_on(int ranks, Use&& use, const Parts&... parts) {
  return on(ranks, [&](auto& world) {
    std::vector<V> w(1);
    tutti::strategy strategy{world, parts...};
    auto trainer = strategy.bind(w, by_one);
    use(trainer, world.rank());
    return floats{float(w[0])};
  });
}
/// With the policies and topologies that agree on a gradient in every step.
template <class V = float, class Use, class... Parts>
void everywhere(const char* what, float wanted, Use&& use, const Parts&... parts) {
  const std::string name{what};
  expect_all(name + ", ring", value_on<V>(2, use, tutti::ring{}, parts...), {wanted});
  expect_all(name + ", direct", value_on<V>(2, use, tutti::direct{}, parts...), {wanted});
  expect_all(name + ", sharded", value_on<V>(2, use, tutti::sharded{}, parts...), {wanted});
}

} // namespace

// Each micro-batch counts for its items: (1 x 1 + 5 x 3 + 2 x 2 + 8 x 2) / 8; the mean of means
// is 4.
BOOST_AUTO_TEST_CASE(micro_batches_count_for_what_they_weigh) {
  const auto use = [](auto& trainer, int rank) {
    trainer.accumulate(floats{rank == 0 ? 1.f : 2.f}, rank == 0 ? 1 : 2);
    trainer.step(floats{rank == 0 ? 5.f : 8.f}, rank == 0 ? 3 : 2);
  };
  everywhere("by items", -4.5f, use, tutti::weighted_mean{});
}

BOOST_AUTO_TEST_CASE(without_weights_every_micro_batch_counts_once) {
  const auto use = [](auto& trainer, int rank) {
    if (rank == 1) trainer.accumulate(floats{0});
    trainer.step(floats{rank == 0 ? 6.f : 3.f});
  };
  everywhere("one and two micro-batches", -3, use); // (6 + 0 + 3) / 3
}

// The last micro-batch is in before anything leaves, however it is given.
BOOST_AUTO_TEST_CASE(the_last_micro_batch_is_in_the_exchange) {
  const auto first = [](auto& trainer, int rank) {
    trainer.accumulate(floats{rank == 0 ? 1.f : 5.f});
  };
  const auto by_step = [&](auto& trainer, int rank) {
    first(trainer, rank);
    trainer.step(floats{rank == 0 ? 3.f : 7.f});
  };
  const auto one_by_one = [&](auto& trainer, int rank) {
    first(trainer, rank);
    const floats last{rank == 0 ? 3.f : 7.f};
    trainer.begin(last);
    trainer.ready(0);
    trainer.finish();
  };
  const auto closed_later = [&](auto& trainer, int rank) {
    first(trainer, rank);
    trainer.accumulate(floats{rank == 0 ? 3.f : 7.f});
    trainer.step();
  };
  everywhere("step(gradients)", -4, by_step);
  everywhere("begin, ready, finish", -4, one_by_one);
  everywhere("step()", -4, closed_later);
  everywhere<tutti::bfloat16>("bfloat16 with masters", -4, by_step);
  everywhere<tutti::half>("half with masters, step()", -4, closed_later);
}

// a has gradients 1 and 2 in the first of two micro-batches, b 10 and 10 in the second: 3 / 4 and
// 20 / 4.
BOOST_AUTO_TEST_CASE(a_tensor_that_only_an_early_micro_batch_has_is_exchanged) {
  const auto run = [](std::size_t bucket_bytes, bool one_by_one, const auto&... parts) {
    return on(2, [&](auto& world) {
      tensors<> m{{"a", "b"}, {{0}, {0}}};
      tutti::strategy strategy{world, parts...};
      auto trainer = strategy.bind(m.parameters(), by_one,
                                   tutti::training_options{.bucket_bytes = bucket_bytes});
      const std::vector<floats> first{{float(world.rank() + 1)}, {}}, second{{}, {10}};
      trainer.accumulate(gradients(first));
      if (one_by_one) {
        trainer.begin(gradients(second));
        trainer.ready(1);
        trainer.finish();
      } else {
        trainer.step(gradients(second));
      }
      return m.flat();
    });
  };
  for (const std::size_t bytes : {std::size_t{1}, std::size_t{1000}})
    for (const bool one_by_one : {false, true}) {
      expect_all("synchronous", run(bytes, one_by_one), {-.75f, -5});
      expect_all("sharded", run(bytes, one_by_one, tutti::sharded{}), {-.75f, -5});
    }
}

// 5 micro-batches in windows of 2: the last step divides by the one that came. How many make a step
// is said by whoever calls step(), so there is no number of micro-batches that could be 0; a step
// of none is refused.
BOOST_AUTO_TEST_CASE(an_unfinished_window_is_a_step_of_what_came) {
  const auto use = [](auto& trainer, int) {
    for (int k = 1; k <= 5; ++k) {
      trainer.accumulate(floats{1});
      if (k % 2 == 0 || k == 5) trainer.step();
    }
    must_equal(trainer.steps(), 3, "trainer.steps()");
  };
  everywhere("5 in windows of 2", -3, use);
  expect_all("a rank alone", value_on(2, use, tutti::local_sgd{.period = 3}), {-3});
}

BOOST_AUTO_TEST_CASE(a_step_of_nothing_is_refused_on_every_rank) {
  const auto errors = [](const auto&... parts) {
    return trial::errors_on_ranks(2, [&](auto& world) {
      floats w{1};
      tutti::strategy strategy{world, parts...};
      strategy.bind(w, by_one).step();
    });
  };
  small_model::expect_texts("synchronous", errors(), "invalid_argument");
  small_model::expect_texts("sharded", errors(tutti::sharded{}), "invalid_argument");
  small_model::expect_texts("local_sgd", errors(tutti::local_sgd{}), "invalid_argument");
}

// What a rank has accumulated when it runs out of batches counts, even when all run out at once.
BOOST_AUTO_TEST_CASE(an_unfinished_window_is_in_the_last_step_of_a_rank_that_joins) {
  const auto both = [](auto& trainer, int rank) {
    trainer.step(floats{1});
    trainer.accumulate(floats{rank == 0 ? 1.f : 3.f});
    trainer.join();
  };
  everywhere("both", -3, both); // 1 and (1 + 3) / 2
  const auto one = [](auto& trainer, int rank) {
    trainer.step(floats{1});
    if (rank == 0) trainer.accumulate(floats{4});
    trainer.join();
  };
  everywhere("one", -5, one);
  for (const int period : {1, 2, 3}) {
    expect_all("local_sgd, both", value_on(2, both, tutti::local_sgd{.period = period}), {-3});
    // rank 1 has nothing to add to the last agreement
    expect_all("local_sgd, one", value_on(2, one, tutti::local_sgd{.period = period}),
               {period == 1 ? -5.f : -3.f});
  }
}

// Sums in half overflow at 65,504, and half of 2^-24 is 0.
BOOST_AUTO_TEST_CASE(half_gradients_are_summed_in_float_and_divided_afterwards) {
  using halves = std::vector<tutti::half>;
  const auto use = [](float g) {
    return [g](auto& trainer, int) { trainer.step(halves{tutti::half(g)}); };
  };
  const float tiny = std::ldexp(1.f, -24);
  everywhere("40000", -40000, use(40000));
  everywhere("2^-24", -tiny, use(tiny));
  everywhere<tutti::half>("40000 of half", -40000, use(40000));
  everywhere<tutti::half>("2^-24 of half", -tiny, use(tiny));
  const auto twice = [&](auto& trainer, int) {
    trainer.accumulate(halves{tutti::half(40000)});
    trainer.step(halves{tutti::half(40000)});
  };
  everywhere<tutti::half>("two micro-batches", -40000, twice);
}

// 256 + 1 is 256 in bfloat16.
BOOST_AUTO_TEST_CASE(bfloat16_gradients_are_accumulated_in_float) {
  using tutti::bfloat16;
  const auto use = [](auto& trainer, int) {
    trainer.accumulate(std::vector<bfloat16>{bfloat16(256)});
    trainer.step(std::vector<bfloat16>{bfloat16(1)});
  };
  everywhere("256 and 1", -128.5f, use);
}

// Sums of whole numbers do not round, and neither does a division by 4.
BOOST_AUTO_TEST_CASE(micro_batches_come_to_the_same_as_one_batch) {
  const auto run = [](int ranks, bool in_pieces, const auto& optimizer, const auto&... parts) {
    return trial::on_ranks(ranks, [&](auto& world, trial::model& m) {
      tutti::strategy strategy{world, parts...};
      auto trainer = strategy.bind(m.parameters(), optimizer,
                                   tutti::training_options{.bucket_bytes = 500, .clip = 40});
      std::vector<floats> g;
      for (const floats& v : m.values) g.emplace_back(v.size());
      for (int step = 0; step < 4; ++step) {
        const auto fill = [&](int from, int to) {
          for (floats& v : g)
            for (std::size_t i = 0; i < v.size(); ++i) {
              v[i] = 0;
              for (int k = from; k < to; ++k)
                v[i] += float(int(i * 7 + std::size_t(step * 5 + k * 3 + world.rank())) % 16 - 8);
              v[i] /= float(to - from);
            }
        };
        for (int k = 0; in_pieces && k < 3; ++k) {
          fill(k, k + 1);
          trainer.accumulate(gradients(g));
        }
        in_pieces ? fill(3, 4) : fill(0, 4);
        trainer.step(gradients(g));
      }
    });
  };
  const auto compare = [&](const char* what, const auto& optimizer, const auto&... parts) {
    const auto whole = run(3, false, optimizer, parts...);
    BOOST_CHECK_MESSAGE(run(3, true, optimizer, parts...) == whole, what);
    BOOST_CHECK_MESSAGE(trial::all_same(whole), what);
  };
  compare("momentum", tutti::sgd{.momentum = .9, .weight_decay = .01});
  compare("adam, sharded", tutti::adam{}, tutti::sharded{});
  compare("local_sgd", tutti::adamw{}, tutti::local_sgd{.period = 2});
}

// A weight that cannot be, in any micro-batch and whatever the mean divides by, is told to
// everyone.
BOOST_AUTO_TEST_CASE(a_negative_weight_of_a_micro_batch_is_an_error_on_every_rank) {
  for (const double wrong : {-1.0, double(NAN), double(INFINITY)})
    for (const auto what : {tutti::uneven::by_weight, tutti::uneven::by_world})
      for (const bool first : {true, false}) {
        const auto errors = trial::errors_on_ranks(2, [&](auto& world) {
          floats w{0};
          tutti::strategy strategy{world, tutti::weighted_mean{},
                                   tutti::training_options{.uneven = what}};
          auto trainer = strategy.bind(w, by_one);
          const double odd = world.rank() == 1 ? wrong : 3.0;
          trainer.accumulate(floats{1}, first ? odd : 3.0);
          trainer.step(floats{1}, first ? 3.0 : odd);
        });
        small_model::expect_texts("a weight of " + std::to_string(wrong), errors,
                                  "rank 1 gave a weight that is negative or not finite");
      }
}

BOOST_AUTO_TEST_SUITE_END()
