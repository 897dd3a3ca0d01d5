// A step that fails leaves parameters and state as they were, wherever it fails.
#include "training/small.hpp"

#include <atomic>

BOOST_AUTO_TEST_SUITE(failing_steps)

namespace {

using small_model::floats;
using small_model::gradients;
using small_model::memory;
using small_model::must_equal;
using small_model::state_of;
using small_model::tensors;
using tutti::training_options;

/// Rank `what.rank` leaves at an exchange of its own; the others hear of it in their next call.
struct outcome {
  bool ended = false; ///< nothing went wrong: it has no such exchange
  int failed = 0;     ///< ranks whose second step failed
  std::vector<std::string> wrong;
};

/// Two steps; what the second one changed where it failed, on those who survive and on the one that
/// leaves.
template <class V, class... Parts>
outcome steps_with(int ranks, tutti::fault what, bool one_by_one, const Parts&... parts) {
  outcome all;
  all.wrong.resize(std::size_t(ranks));
  std::atomic<int> failed{0}, lost{0};
  try {
    tutti::threads::run(ranks, [&](auto& inner) {
      tutti::faulty world{inner, what};
      tensors<V> m{{"a", "b", "c"}, {std::vector<V>(5), std::vector<V>(1), std::vector<V>(4)}};
      const std::vector<floats> g{floats(5, 1 + float(world.rank())), floats(1, .5f), floats(4, 2)};
      tutti::strategy strategy{world, tutti::options{.timeout = std::chrono::seconds{30}},
                               parts...};
      try {
        auto trainer = strategy.bind(m.parameters(), tutti::adam{.learning_rate = .25},
                                     training_options{.bucket_bytes = 16, .clip = 3});
        trainer.step(gradients(g));
        const memory before = state_of(trainer);
        const floats then = m.flat();
        const double scale = trainer.loss_scale();
        const auto check = [&] {
          ++failed;
          std::string& wrong = all.wrong[std::size_t(world.rank())];
          if (const auto d = before.difference(state_of(trainer)); !d.empty())
            wrong += "the state: " + d;
          if (!trial::same_bits(then, m.flat())) wrong += "the parameters";
          if (scale != trainer.loss_scale() || trainer.steps() != 1) wrong += "the counters";
        };
        try {
          if (one_by_one) {
            trainer.begin(gradients(g));
            for (const std::size_t k : {2, 0, 1}) trainer.ready(k);
            trainer.finish();
          } else {
            trainer.step(gradients(g));
          }
          return;
        } catch (...) {
          check();
          throw;
        }
      } catch (const tutti::rank_leaves&) {
        ++lost;
        throw;
      } catch (const tutti::error& e) {
        ++lost;
        if (e.code() != tutti::error_code::peer_lost)
          all.wrong[std::size_t(world.rank())] += std::string{"another error: "} + e.what();
      }
    });
  } catch (const tutti::rank_leaves&) {
  }
  all.ended = lost == 0;
  all.failed = failed;
  return all;
}

/// At every exchange of every rank, until there is none.
template <class V = float, class... Parts>
void sweep(const std::string& name, const Parts&... parts) {
  int failures = 0;
  for (const int ranks : {2, 3})
    for (int leaver = 0; leaver < ranks; ++leaver)
      for (std::uint64_t round = 0;; ++round) {
        const auto got =
            steps_with<V>(ranks, {.rank = leaver, .round = round}, round % 2 == 1, parts...);
        if (got.ended) break;
        failures += got.failed;
        for (int r = 0; r < ranks; ++r)
          BOOST_CHECK_MESSAGE(got.wrong[std::size_t(r)].empty(),
                              name << " on " << ranks << " ranks, rank " << leaver
                                   << " leaves at exchange " << round << ", rank " << r << ": "
                                   << got.wrong[std::size_t(r)]);
      }
  BOOST_CHECK_MESSAGE(failures >= 10, name << ": " << failures << " steps failed");
}

} // namespace

BOOST_AUTO_TEST_CASE(a_peer_that_is_lost_in_the_middle_of_a_step) {
  sweep("synchronous", tutti::synchronous{}, tutti::ring{});
  sweep("sharded", tutti::sharded{}, tutti::ring{});
  sweep("local_sgd", tutti::local_sgd{.period = 1}, tutti::ring{});
  sweep("diloco", tutti::diloco{.period = 1}, tutti::ring{});
  sweep("sharded_diloco", tutti::sharded_diloco{.period = 1}, tutti::ring{});
}

BOOST_AUTO_TEST_CASE(masters_and_short_copies_are_as_they_were_too) {
  sweep<tutti::bfloat16>("sharded", tutti::sharded{}, tutti::direct{});
  sweep<tutti::bfloat16>("sharded_diloco", tutti::sharded_diloco{.period = 1}, tutti::direct{});
}

namespace {

/// Step 2 has a NaN on rank 1; then the same step without it gives what it gives where nothing went
/// wrong.
template <class... Parts> void spoil(const char* name, bool may_go_on, const Parts&... parts) {
  const auto run = [&](bool spoilt) {
    return small_model::on(3, [&](auto& world) {
      trial::model m{0};
      tutti::strategy strategy{world, parts...};
      auto trainer = strategy.bind(m.parameters(), tutti::adam{.learning_rate = .1},
                                   training_options{.bucket_bytes = 200, .clip = 10});
      trainer.step(m.gradients(world.rank()));
      if (spoilt) {
        const memory before = state_of(trainer);
        const floats then = m.flat();
        auto g = m.gradients(world.rank());
        if (world.rank() == 1) m.pulls[1][0] = NAN;
        std::string error;
        try {
          trainer.step(g);
        } catch (const tutti::error& e) {
          error = e.what();
        }
        must_equal(error.find("step 2: the gradient of \"tensor1\" on rank 1 holds a NaN") !=
                       error.npos,
                   true, error.c_str());
        must_equal(before.difference(state_of(trainer)), "", "what differs in the state");
        must_equal(trial::same_bits(then, m.flat()), true, "parameters are as they were");
        if (!may_go_on) return then;
      }
      for (int k = 0; k < 2; ++k) trainer.step(m.gradients(world.rank()));
      return m.flat();
    });
  };
  const auto spoilt = run(true);
  if (may_go_on) BOOST_CHECK_MESSAGE(spoilt == run(false), name);
}

} // namespace

// Where a rank judges for itself, the others learn of it by an error that ends the communicator.
BOOST_AUTO_TEST_CASE(a_gradient_that_is_not_finite) {
  spoil("synchronous", true, tutti::synchronous{});
  spoil("synchronous, ring", true, tutti::synchronous{}, tutti::ring{});
  spoil("sharded", true, tutti::sharded{});
  spoil("local_sgd", false, tutti::local_sgd{1});
  spoil("diloco", false, tutti::diloco{.period = 1});
  spoil("sharded_diloco", false, tutti::sharded_diloco{.period = 1});
}

// What is accumulated goes with the step that fails, and nothing of it is in the next one.
BOOST_AUTO_TEST_CASE(a_failed_step_takes_its_micro_batches_along) {
  const auto run = [](const auto&... parts) {
    return small_model::on(2, [&](auto& world) {
      floats w(1);
      tutti::strategy strategy{world, parts...};
      auto trainer = strategy.bind(w, small_model::by_one);
      for (const float last : {NAN, 1.f}) {
        trainer.accumulate(floats{3});
        const floats g{last};
        try {
          trainer.begin(g);
          trainer.ready(0);
          trainer.finish();
        } catch (const tutti::error&) {
        }
      }
      return w;
    });
  };
  small_model::expect_all("synchronous", run(), {-2});
  small_model::expect_all("sharded", run(tutti::sharded{}), {-2});
}

BOOST_AUTO_TEST_SUITE_END()
