// What a step sends, counted: the exchange of the contributions where one is due, and one small
// all_gather.
#include "training/small.hpp"

BOOST_AUTO_TEST_SUITE(messages)

namespace {

using small_model::expect_all;
using small_model::floats;
using small_model::gradients;
using small_model::on;

/// Messages and bytes of rank 0 in every one of some steps, after the first.
template <class... Parts> floats sent(int ranks, int steps, int pieces, const Parts&... parts) {
  return on(ranks, [&](auto& inner) {
    tutti::counted world{inner};
    floats w(1000), g(1000, 1), out;
    tutti::strategy strategy{world, tutti::ring{}, parts...};
    auto trainer = strategy.bind(w, tutti::adam{});
    trainer.step(g);
    for (int k = 0; k < steps; ++k) {
      world.reset();
      for (int piece = 1; piece < pieces; ++piece) trainer.accumulate(g);
      trainer.step(g);
      out.push_back(float(world.sent().messages));
      out.push_back(float(world.sent().bytes));
    }
    return out;
  })[0];
}
/// The same of one call.
template <class Call> floats sent_by(int ranks, Call&& call) {
  return on(ranks, [&](auto& inner) {
    tutti::counted world{inner};
    floats values(1000, 1);
    call(world, values);
    return floats{float(world.sent().messages), float(world.sent().bytes)};
  })[0];
}
floats sum(floats a, const floats& b) {
  for (std::size_t k = 0; k < a.size(); ++k) a[k] += b[k];
  return a;
}
/// So many words of every rank to everyone.
floats gathering(int ranks, std::size_t words) {
  return sent_by(ranks, [&](auto& world, auto&) {
    std::vector<std::uint64_t> mine(words), all(words * std::size_t(ranks));
    tutti::all_gather(world, mine, all);
  });
}

} // namespace

BOOST_AUTO_TEST_CASE(a_step_is_a_reduction_and_one_small_all_gather) {
  for (const int ranks : {2, 3}) {
    const floats reduced = sent_by(ranks, [](auto& world, auto& values) {
      tutti::all_reduce(world, values, tutti::ring{}, tutti::mean{});
    });
    const floats shards =
        sum(sent_by(ranks,
                    [](auto& world, auto& values) {
                      (void)tutti::reduce_scatter(world, values, tutti::ring{}, tutti::mean{});
                    }),
            sent_by(ranks, [](auto& world, auto& values) {
              tutti::all_gather(world, values, tutti::ring{});
            }));
    const floats roll =
        gathering(ranks, 4); // weight, presence, and two bits a tensor in words of 64
    expect_all("synchronous", {sent(ranks, 1, 1)}, sum(reduced, roll));
    expect_all("four micro-batches", {sent(ranks, 1, 4)}, sum(reduced, roll));
    // owners agree on what they found, too: two numbers each
    expect_all("sharded", {sent(ranks, 1, 1, tutti::sharded{})},
               sum(sum(shards, roll), gathering(ranks, 2)));
    expect_all("clipped", {sent(ranks, 1, 1, tutti::training_options{.clip = 1})},
               sum(reduced, roll));
  }
}

BOOST_AUTO_TEST_CASE(nothing_is_sent_between_two_agreements) {
  const floats agreement =
      sum(sent_by(3,
                  [](auto& world, auto& values) {
                    tutti::all_reduce(world, values, tutti::ring{}, tutti::mean{});
                  }),
          gathering(3, 4));
  floats wanted; // of steps 2 to 9
  for (int step = 2; step <= 9; ++step)
    for (const float n : agreement) wanted.push_back(step % 4 == 0 ? n : 0);
  const tutti::training_options skips{.non_finite = tutti::non_finite::skip, .clip = 1};
  expect_all("local_sgd", {sent(3, 8, 2, tutti::local_sgd{4})}, wanted);
  expect_all("diloco", {sent(3, 8, 2, tutti::diloco{.period = 4})}, wanted);
  expect_all("diloco, clipped", {sent(3, 8, 2, tutti::diloco{.period = 4}, skips)}, wanted);
  const floats owners = sent(3, 8, 2, tutti::sharded_diloco{.period = 4});
  for (std::size_t k = 0; k < owners.size(); ++k)
    BOOST_CHECK_MESSAGE((owners[k] == 0) == (wanted[k] == 0),
                        "sharded_diloco" << small_model::text(owners));
}

BOOST_AUTO_TEST_CASE(an_accumulated_micro_batch_sends_nothing) {
  const auto bytes = on(3, [](auto& inner) {
    tutti::counted world{inner};
    floats w(100), g(100, 1);
    tutti::strategy strategy{world};
    auto trainer = strategy.bind(w, tutti::sgd{});
    world.reset();
    for (int k = 0; k < 5; ++k) trainer.accumulate(g);
    const floats out{float(world.sent().messages)};
    trainer.step();
    return out;
  });
  expect_all("synchronous", bytes, {0});
}

BOOST_AUTO_TEST_SUITE_END()
