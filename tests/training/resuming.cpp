// The state is complete: under every policy, with everything that a trainer may be given, training goes on from a
// checkpoint of any step with the same bits, and ends with the same files.
#include "sync/streaming.hpp"
#include "training/scratch.hpp"
#include "training/small.hpp"

#include <tutti/training/checkpoint.hpp>

#include <cstdint>
#include <limits>
#include <string>
#include <vector>

BOOST_AUTO_TEST_SUITE(resuming)

namespace {

using small_model::expect_texts;
using small_model::floats;
using small_model::gradients;
using small_model::on;
using small_model::tensors;
using tutti::training_options;

/// Of three fragments up to two are on their way, each for three steps.
constexpr trial::streaming streaming{.delay = 3};
constexpr trial::streaming_at_owners streaming_at_owners{streaming};
struct streaming_parameters {
  using part = tutti::sync_part;
  static constexpr tutti::contributes contribution = tutti::contributes::parameters;
  int period = 1, fragments = 4, delay = 2;
};
/// As streaming, and nothing is ever on its way; with it, and no outer optimizer.
struct at_once : trial::streaming {
  static constexpr int delay = 0;
};
struct of_parameters {
  using part = tutti::sync_part;
  static constexpr tutti::contributes contribution = tutti::contributes::parameters;
  int period = 2, fragments = 3, delay = 3;
};
/// One fragment, and at most one on its way.
struct late {
  using part = tutti::sync_part;
  static constexpr tutti::contributes contribution = tutti::contributes::difference;
  int period = 3, delay = 2;
  tutti::sgd outer = {.learning_rate = .5, .momentum = .5};
};

/// Fragments of replicas and of tracked gradients are on their way at once.
struct mixed_late {
  using part = tutti::sync_part;
  using default_topology = tutti::ring_graph;
  static constexpr auto contribution = tutti::contributes::parameters;
  static constexpr auto carrier = tutti::carried_by::mixing;
  static constexpr bool tracks = true;
  int period = 1, fragments = 3, delay = 2;
  double keep = .5;
};

constexpr tutti::adam adam{};
constexpr tutti::cosine_rate rate{.peak = .1, .floor = .01, .steps = 20, .warm_up = 3};
const training_options everything{.bucket_bytes = 64,
                                  .clip = 2,
                                  .loss_scale = {.initial = 8, .growth = 2, .every = 3},
                                  .groups = {{.names = "b", .rate = .5}},
                                  .frozen = {"still"}};

tensors<float> some_tensors() {
  tensors<float> all{{"a", "none", "b", "c", "still"}, {}};
  for (const std::size_t n : {12u, 0u, 5u, 40u, 3u}) all.values.emplace_back(n, .5f);
  return all;
}
/// Of micro-batch `half` of a step: of unlike ranks unlike, and once one of them overflows.
std::vector<floats> pull(const tensors<float>& at, int rank, std::int64_t step, int half, double scale) {
  auto out = at.values;
  std::size_t i = 0;
  for (floats& tensor : out)
    for (float& v : tensor)
      v = float(scale) * (v - float(i++ % 13) + float((step * 2 + half) % 3) / 4 + float(rank) / 8);
  if (step == 4 && rank == 0) out[3][7] = std::numeric_limits<float>::infinity();
  return out;
}
/// Steps up to `to`. Where servers answer one rank makes its step after the other: so pushes arrive in the same order
/// every time.
template <class World, class Trainer>
void train(World& world, Trainer& trainer, const tensors<float>& model, std::int64_t to, bool in_turn) {
  while (trainer.steps() < to) {
    const std::int64_t step = trainer.steps();
    trainer.optimizer().learning_rate = rate(step - trainer.skipped() + 1);
    if (in_turn) tutti::barrier(world);
    for (int turn = 0; turn < (in_turn ? world.size() : 1); ++turn) {
      if (!in_turn || turn == world.rank()) {
        trainer.accumulate(gradients(pull(model, world.rank(), step, 0, trainer.loss_scale())));
        trainer.step(gradients(pull(model, world.rank(), step, 1, trainer.loss_scale())));
      }
      if (in_turn) tutti::barrier(world);
    }
  }
}

template <class... Parts>
void expect_the_same_end(const char* what, int ranks, std::int64_t end, const Parts&... parts) {
  constexpr bool in_turn = (std::is_same_v<Parts, tutti::asynchronous> || ...);
  const scratch folder;
  const auto run = [&](std::int64_t from, std::int64_t to, const std::string& name) {
    return on(ranks, [&](auto& world) {
      tensors<float> model = some_tensors();
      tutti::strategy strategy{world, parts...};
      auto trainer = strategy.bind(model.parameters(), adam, everything);
      if (from > 0) trainer.load(folder / ("whole-" + std::to_string(from)));
      for (std::int64_t step = trainer.steps(); step < to; ++step) {
        train(world, trainer, model, step + 1, in_turn);
        if (from == 0 || step + 1 == to) trainer.save(folder / (name + std::to_string(step + 1)));
      }
      return model.flat();
    });
  };
  const auto whole = run(0, end, "whole-");
  const auto file = [&](const std::string& of, const char* name) {
    return file_bytes(folder / (of + std::to_string(end) + name));
  };
  for (std::int64_t save = 1; save < end; ++save) {
    const std::string when = std::string{what} + ", saved at " + std::to_string(save);
    BOOST_CHECK_MESSAGE(whole == run(save, end, "cut-"), when << ": other parameters");
    for (const char* name : {"/model.safetensors", "/state.safetensors"})
      BOOST_CHECK_MESSAGE(file("whole-", name) == file("cut-", name), when << ": another " << name);
  }
  // Nor does it matter that something was saved.
  const auto unsaved = on(ranks, [&](auto& world) {
    tensors<float> model = some_tensors();
    tutti::strategy strategy{world, parts...};
    auto trainer = strategy.bind(model.parameters(), adam, everything);
    train(world, trainer, model, end, in_turn);
    return model.flat();
  });
  BOOST_CHECK_MESSAGE(whole == unsaved, what << ": saving has changed something");
}

} // namespace

BOOST_AUTO_TEST_CASE(every_policy_goes_on_with_the_same_bits_and_files) {
  expect_the_same_end("synchronous", 3, 10, tutti::synchronous{});
  expect_the_same_end("sharded", 3, 10, tutti::sharded{});
  expect_the_same_end("local_sgd", 3, 10, tutti::local_sgd{.period = 4});
  expect_the_same_end("diloco", 3, 10, tutti::diloco{.period = 4});
  expect_the_same_end("sharded_diloco", 3, 10, tutti::sharded_diloco{.period = 4});
}

BOOST_AUTO_TEST_CASE(fragments_that_are_under_way_arrive_when_they_are_due) {
  expect_the_same_end("streaming", 3, 15, streaming);
  expect_the_same_end("streaming, alone", 1, 15, streaming);
  expect_the_same_end("streaming at owners", 3, 15, streaming_at_owners);
  expect_the_same_end("streaming parameters", 2, 10, streaming_parameters{});
  expect_the_same_end("late", 2, 10, late{});
  expect_the_same_end("streaming in bfloat16", 3, 10, streaming, tutti::direct{}, tutti::cast<tutti::bfloat16>{});
}

BOOST_AUTO_TEST_CASE(replicas_that_are_mixed_go_on_with_their_own) {
  expect_the_same_end("post_local_sgd", 3, 16, tutti::post_local_sgd{.first = 4, .later = 3});
  expect_the_same_end("streaming_diloco", 3, 15, tutti::streaming_diloco{.period = 2, .delay = 3});
  expect_the_same_end("gossip", 3, 10, tutti::gossip{});
  expect_the_same_end("gossip on random pairs", 5, 10, tutti::gossip{.period = 2}, tutti::random_pairs{});
  expect_the_same_end("gossip in bfloat16", 3, 10, tutti::gossip{}, tutti::cast<tutti::bfloat16>{});
  expect_the_same_end("overlapped_gossip", 3, 10, tutti::overlapped_gossip{});
  expect_the_same_end("push_sum", 3, 10, tutti::push_sum{});
  expect_the_same_end("gradient_tracking", 3, 10, tutti::gradient_tracking{});
  expect_the_same_end("no_loco", 3, 10, tutti::no_loco{.period = 4});
  expect_the_same_end("mixed late", 3, 12, mixed_late{});
}

BOOST_AUTO_TEST_CASE(servers_go_on_with_what_they_hold_and_workers_with_what_they_have_pulled) {
  expect_the_same_end("asynchronous, alone", 1, 10, tutti::asynchronous{});
  expect_the_same_end("asynchronous", 3, 10, tutti::asynchronous{});
  expect_the_same_end("asynchronous, two servers", 3, 10, tutti::asynchronous{}, tutti::star{.servers = 2});
  expect_the_same_end("asynchronous, bounded", 3, 10, tutti::asynchronous{.staleness = 2});
}

// What is loaded takes the place of what is on its way; what cannot be loaded leaves it there.
BOOST_AUTO_TEST_CASE(fragments_under_way_are_replaced_or_stay) {
  const scratch folder;
  const auto save = [&](auto& world, const auto& policy, const std::string& name) {
    tensors<float> model = some_tensors();
    tutti::strategy strategy{world, policy};
    auto trainer = strategy.bind(model.parameters(), adam, everything);
    train(world, trainer, model, 4, false);
    trainer.save(folder / name);
  };
  const auto after_12 = [&](const auto& between) {
    return on(2, [&](auto& world) {
      tensors<float> model = some_tensors();
      tutti::strategy strategy{world, streaming};
      auto trainer = strategy.bind(model.parameters(), adam, everything);
      train(world, trainer, model, 7, false);
      between(world, trainer, model);
      train(world, trainer, model, 12, false);
      return model.flat();
    });
  };
  const auto whole = after_12([&](auto&, auto& trainer, auto&) { trainer.save(folder / "at-7"); });
  BOOST_CHECK(whole == after_12([&](auto& world, auto& trainer, auto& model) {
    train(world, trainer, model, 10, false);
    trainer.load(folder / "at-7");
  }));
  BOOST_CHECK(whole == after_12([&](auto& world, auto& trainer, auto&) {
    save(world, at_once{}, "at-once");
    save(world, of_parameters{}, "parameters");
    const std::string none = thrown_by([&] { trainer.load(folder / "at-once"); });
    if (!has(none, "has no tensor 'due of 0'")) throw std::logic_error{none};
    const std::string more = thrown_by([&] { trainer.load(folder / "parameters"); });
    if (!has(more, "has no tensor 'outer steps of 0'")) throw std::logic_error{more};
  }));
}

// A fragment was offered by so many ranks, of which each goes on from its own replica.
BOOST_AUTO_TEST_CASE(fragments_under_way_are_for_as_many_ranks) {
  const scratch folder;
  const auto run = [&](int ranks, bool saves) {
    std::vector<std::string> said(std::size_t(ranks), "nothing");
    on(ranks, [&](auto& world) {
      tensors<float> model = some_tensors();
      tutti::strategy strategy{world, streaming};
      auto trainer = strategy.bind(model.parameters(), adam, everything);
      if (saves) {
        train(world, trainer, model, 4, false);
        trainer.save(folder / "x");
      } else {
        said[std::size_t(world.rank())] = thrown_by([&] { trainer.load(folder / "x"); });
      }
      return 0;
    });
    return said;
  };
  run(3, true);
  for (const std::string& one : run(2, false))
    BOOST_CHECK_MESSAGE(one.starts_with("mismatch") && has(one, "was saved by 3 ranks, of which each has"), one);
}

// A tensor that is frozen between two steps has neither steps nor slots until it is trained again.
BOOST_AUTO_TEST_CASE(what_was_frozen_in_the_middle_stays_so) {
  const auto run = [](const char* what, bool agrees, const auto& policy) {
    const scratch folder;
    std::vector<std::string> told;
    const auto ends = on(2, [&](auto& world) {
      std::vector<floats> out;
      for (const bool cut : {false, true}) {
        tensors<float> model = some_tensors(), second = some_tensors();
        tutti::strategy strategy{world, policy};
        auto trainer = strategy.bind(model.parameters(), adam, everything);
        train(world, trainer, model, 4, false);
        trainer.freeze("a");
        trainer.freeze("still", false);
        train(world, trainer, model, 8, false);
        trainer.save(folder / "at-8");
        auto other = strategy.bind(second.parameters(), adam, everything);
        if (cut) {
          const auto differs = other.load(folder / "at-8");
          if (world.rank() == 0) told = differs;
        }
        auto& goes_on = cut ? other : trainer;
        auto& at = cut ? second : model;
        train(world, goes_on, at, 12, false);
        if (agrees) {
          goes_on.freeze("a", false);
          train(world, goes_on, at, 16, false);
        }
        out.push_back(at.flat());
      }
      small_model::must_equal(out[0] == out[1], true, "the same bits");
      return 0;
    });
    BOOST_CHECK_EQUAL(ends.size(), 2u);
    std::erase_if(told, [](const std::string& one) { return has(one, "tutti::adam"); }); // the rate
    BOOST_REQUIRE_MESSAGE(told.size() == 2, what << ": " << trial::joined(told));
    BOOST_CHECK_EQUAL(told[0], "\"a\" is frozen in " + (folder / "at-8") +
                                   ", and goes on so, against training_options::frozen - call freeze() to change it");
    BOOST_CHECK_EQUAL(told[1], "\"still\" is trained in " + (folder / "at-8") +
                                   ", and goes on so, against training_options::frozen - call freeze() to change it");
  };
  run("synchronous", true, tutti::synchronous{});
  run("sharded", true, tutti::sharded{});
  run("local_sgd", true, tutti::local_sgd{.period = 4});
  run("diloco", true, tutti::diloco{.period = 4});
}

BOOST_AUTO_TEST_CASE(what_cannot_be_loaded_freezes_nothing) {
  const scratch folder;
  const auto got = on(2, [&](auto& world) {
    tensors<float> model{{"a", "b"}, {{1}, {1}}}, other{{"a", "c"}, {{1}, {1}}};
    tutti::strategy strategy{world};
    auto first = strategy.bind(model.parameters(), small_model::by_one);
    auto second = strategy.bind(other.parameters(), small_model::by_one);
    first.freeze("a");
    first.save(folder / "x");
    small_model::must_equal(has(thrown_by([&] { second.load(folder / "x"); }), "has no tensor"), true, "a refusal");
    second.step(gradients(std::vector<floats>{{1}, {1}}));
    return other.flat();
  });
  small_model::expect_all("trained", got, {0, 0});
}

BOOST_AUTO_TEST_CASE(tensors_that_are_frozen_on_one_rank_are_not_saved) {
  const scratch folder;
  std::vector<std::string> said(2);
  on(2, [&](auto& world) {
    floats w(1);
    tutti::strategy strategy{world};
    auto trainer = strategy.bind(w, small_model::by_one);
    if (world.rank() == 1) trainer.freeze("values");
    said[std::size_t(world.rank())] = thrown_by([&] { trainer.save(folder / "x"); });
    return 0;
  });
  expect_texts("frozen on rank 1", said, "ranks 0 and 1 have another number in their state");
}

BOOST_AUTO_TEST_SUITE_END()
