// Ranks that cannot complete their gradient, gradients that have no place before they are ready, and what follows each
// step of others.
#include "training/small.hpp"

#include <exception>

BOOST_AUTO_TEST_SUITE(failing_gradients)

namespace {

using small_model::by_one;
using small_model::expect_all;
using small_model::expect_texts;
using small_model::floats;
using small_model::gradients;
using small_model::must_equal;
using small_model::on;
using small_model::tensors;
using tutti::training_options;

struct no_exception {};

std::exception_ptr thrown(const char* text) { return std::make_exception_ptr(std::runtime_error{text}); }

/// What call() throws.
template <class Call> std::string text_of(Call&& call) {
  try {
    call();
  } catch (const std::exception& e) {
    return e.what();
  }
  return "nothing";
}

} // namespace

// Rank 1 fails between its two tensors, of which each is a bucket: nothing moves, all know, and the next step is whole.
BOOST_AUTO_TEST_CASE(a_rank_that_fails_at_its_gradient_fails_the_step_on_all) {
  const auto run = [](const auto& failing, std::vector<std::string>& texts, const auto&... parts) {
    texts.assign(3, "");
    return on(3, [&](auto& world) {
      tensors<> m{{"a", "b"}, {{0, 0}, {0}}};
      tutti::strategy strategy{world, parts...};
      auto trainer = strategy.bind(m.parameters(), tutti::sgd{.learning_rate = 1, .momentum = .5},
                                   training_options{.bucket_bytes = 1, .agree_on_failures = true});
      const std::vector<floats> g{{1, 2}, {3}};
      trainer.begin(gradients(g));
      trainer.ready(1);
      texts[std::size_t(world.rank())] = text_of([&] {
        if (world.rank() == 1) trainer.fail(failing);
        trainer.ready(0);
        trainer.finish();
      });
      must_equal(m.flat()[0], 0, "the parameter after the step that failed");
      must_equal(trainer.steps(), 0, "trainer.steps()");
      trainer.step(gradients(g));
      return m.flat();
    });
  };
  std::vector<std::string> texts;
  expect_all("synchronous", run(thrown("no room\nwhere"), texts), {-1, -2, -3});
  BOOST_CHECK_EQUAL(texts[1], "no room\nwhere"); // its own
  for (const std::size_t r : {0, 2})
    BOOST_CHECK_EQUAL(texts[r], "tutti: step: peer_lost on rank " + std::to_string(r) +
                                    " (peer 1): rank 1 has failed at its gradient: no room");
  expect_all("sharded", run(thrown("no room"), texts, tutti::sharded{}), {-1, -2, -3});
  expect_texts("sharded", {texts[0], texts[2]}, "rank 1 has failed at its gradient: no room");
}

// Most gradients fail before anything was begun, or between two micro-batches.
BOOST_AUTO_TEST_CASE(a_rank_may_fail_in_place_of_a_step) {
  const auto run = [](int ranks, bool accumulated, const auto&... parts) {
    std::vector<std::string> texts(static_cast<std::size_t>(ranks));
    const auto got = on(ranks, [&](auto& world) {
      tensors<> m{{"a", "b"}, {{0, 0}, {0}}};
      tutti::strategy strategy{world, parts...};
      auto trainer = strategy.bind(m.parameters(), by_one, training_options{.agree_on_failures = true});
      const std::vector<floats> g{{1, 2}, {3}};
      texts[std::size_t(world.rank())] = text_of([&] {
        if (accumulated) trainer.accumulate(gradients(g));
        if (world.rank() + 1 < world.size()) trainer.step(gradients(g));
        else trainer.fail(thrown("no room"));
      });
      must_equal(m.flat()[0], 0, "the parameter after the step that failed");
      trainer.step(gradients(g));
      return m.flat();
    });
    BOOST_CHECK_EQUAL(texts.back(), "no room");
    texts.pop_back();
    expect_texts("the others", texts, "has failed at its gradient: no room");
    expect_all("afterwards", got, {-1, -2, -3});
  };
  for (const int ranks : {1, 2, 3})
    for (const bool accumulated : {false, true}) {
      run(ranks, accumulated);
      run(ranks, accumulated, tutti::sharded{});
    }
  run(3, false, tutti::direct{}, tutti::median{}); // of which no rank can be left out
}

BOOST_AUTO_TEST_CASE(what_is_thrown_need_not_be_a_std_exception) {
  const auto texts = on(2, [](auto& world) -> std::string {
    floats w(1);
    tutti::strategy strategy{world};
    auto trainer = strategy.bind(w, by_one, training_options{.agree_on_failures = true});
    const floats one{1};
    trainer.begin(one);
    try {
      if (world.rank() == 1) trainer.fail(std::make_exception_ptr(no_exception{}));
      trainer.ready(0);
      trainer.finish();
    } catch (const no_exception&) {
      return "its own";
    } catch (const std::exception& e) {
      return e.what();
    }
    return "nothing";
  });
  expect_texts("rank 0", {texts[0]}, "rank 1 has failed at its gradient: it threw what is no std::exception");
  BOOST_CHECK_EQUAL(texts[1], "its own");
}

// Where nobody asks, or ranks step by themselves, a rank's failure revokes.
BOOST_AUTO_TEST_CASE(without_an_agreement_the_failure_of_a_rank_revokes) {
  const auto run = [](bool agree, const auto&... parts) {
    return on(2, [&](auto& world) {
      return text_of([&] { // rank 0 may hear of it wherever it is
        floats w(1);
        tutti::strategy strategy{world, parts...};
        auto trainer = strategy.bind(w, by_one, training_options{.agree_on_failures = agree});
        const floats one{1};
        trainer.begin(one);
        if (world.rank() == 1) trainer.fail(thrown("no room"));
        trainer.ready(0);
        trainer.finish();
        tutti::barrier(world);
      });
    });
  };
  const char* const wanted = "rank 1 has failed at its gradient: no room";
  expect_texts("synchronous", run(false), wanted);
  expect_texts("local_sgd", run(true, tutti::local_sgd{4}), wanted);
  expect_texts("asynchronous", run(true, tutti::star{}, tutti::asynchronous{}), wanted);
}

BOOST_AUTO_TEST_CASE(a_gradient_may_come_to_be_when_it_is_ready) {
  const auto got = on(2, [](auto& world) {
    tensors<> m{{"a", "b"}, {{0, 0}, {0}}};
    tutti::strategy strategy{world};
    auto trainer = strategy.bind(m.parameters(), by_one);
    trainer.begin(m.parameters()); // as long
    const floats b{float(world.rank())}, a{4, 6};
    trainer.ready(1, std::span<const float>{b});
    trainer.ready(0, std::span<const float>{a});
    trainer.finish();
    must_equal(trainer.had_gradient(0) && trainer.had_gradient(1), true, "had_gradient");
    trainer.step(gradients(std::vector<floats>{{}, {0}}));
    must_equal(trainer.had_gradient(0), false, "had_gradient(0)");
    must_equal(trainer.had_gradient(1), true, "had_gradient(1)");
    return m.flat();
  });
  expect_all("mean", got, {-4, -6, -.5});
}

BOOST_AUTO_TEST_CASE(each_wrong_call_says_what_is_wrong_with_it) {
  const auto texts = on(1, [](auto& world) {
    floats w(2);
    tutti::strategy strategy{world};
    auto trainer = strategy.bind(w, by_one);
    std::string all;
    const floats two{1, 2}, three{1, 2, 3};
    trainer.begin(two);
    all += text_of([&] { trainer.ready(0, std::span{three}); });
    trainer.ready(0);
    trainer.finish();
    trainer.begin(floats{});
    all += text_of([&] { trainer.ready(0, std::span{three}); });
    return all;
  });
  expect_texts("ready", texts, "ready(0) was called with 3 values, and begin() with 2");
  expect_texts("absent", texts, "ready(0) was called with 3 values, and begin() with 0");
}

// Rank 0 has one batch, rank 1 three: rank 0 hears of two more steps, of which one is skipped.
BOOST_AUTO_TEST_CASE(who_has_joined_is_called_after_each_step_that_counts) {
  const auto got = on(2, [](auto& world) {
    floats w(1);
    tutti::strategy strategy{world};
    auto trainer = strategy.bind(w, by_one, training_options{.non_finite = tutti::non_finite::skip});
    const float steps[] = {1, 2, NAN, 4};
    floats seen;
    for (int s = 0; s < (world.rank() == 0 ? 1 : 4); ++s) trainer.step(floats{steps[s]});
    trainer.join([&] { seen.push_back(w[0]); });
    return seen;
  });
  BOOST_CHECK((got[0] == floats{-3, -7}));
  BOOST_CHECK(got[1].empty());
}

BOOST_AUTO_TEST_SUITE_END()
