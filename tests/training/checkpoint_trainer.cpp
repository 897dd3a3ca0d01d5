// Training that was saved goes on with the same bits, under every policy.
#include "training/scratch.hpp"
#include "training/small.hpp"

#include <tutti/training/checkpoint.hpp>

#include <cstdint>
#include <cstring>
#include <filesystem>
#include <functional>

BOOST_AUTO_TEST_SUITE(checkpoint_trainer)

namespace {

using small_model::floats;
using small_model::on;
using small_model::tensors;
using tutti::training_options;

/// A model of 57 elements in four tensors, one of them empty.
tensors<float> model_of_57() {
  tensors<float> all{{"a", "none", "b", "c"}, {}};
  for (const std::size_t n : {12u, 0u, 5u, 40u}) all.values.emplace_back(n, .5f);
  return all;
}
/// What rank `rank` of `ranks` has as the gradient of a step, so that the mean is the same on any number.
std::vector<std::vector<float>> pull(const tensors<float>& at, int rank, int ranks, std::int64_t step) {
  auto out = at.values;
  std::size_t i = 0;
  for (auto& tensor : out)
    for (float& v : tensor) {
      const float apart = ranks == 1 ? 0 : rank == 0 ? .25f : rank == 1 ? -.25f : 0;
      v = v - float(i++ % 13) + float(step % 3) / 4 + apart;
    }
  return out;
}

std::vector<std::vector<float>> rough(std::vector<std::vector<float>> values) {
  for (auto& tensor : values)
    for (float& v : tensor) v = std::round(v * 64) / 64;
  return values;
}

/// Trains from step `from`, where it goes on from a checkpoint, to step `to`, where it saves another; the
/// parameters of each rank.
template <class Optimizer, class... Parts>
std::vector<floats> train(int ranks, const std::string& folder, int from, int to,
                          const training_options& how, const Optimizer& optimizer,
                          const Parts&... parts) {
  return on(ranks, [&](auto& world) {
    tensors<float> model = model_of_57();
    tutti::strategy strategy{world, parts...};
    auto trainer = strategy.bind(model.parameters(), optimizer, how);
    if (from > 0)
      for (const std::string& differs : trainer.load(folder + "/step-" + std::to_string(from)))
        throw std::logic_error{differs};
    for (int step = from; step < to; ++step)
      trainer.step(small_model::gradients(pull(model, world.rank(), ranks, step)));
    if (trainer.steps() != to) throw std::logic_error{"the number of steps is not kept"};
    trainer.save(folder + "/step-" + std::to_string(to));
    return model.flat();
  });
}
template <class... Parts>
void expect_same_bits(const char* what, int ranks, int save, int end, const Parts&... parts) {
  const scratch folder;
  const training_options how{.bucket_bytes = 64};
  const auto whole = train(ranks, folder / "whole", 0, end, how, parts...);
  train(ranks, folder / "cut", 0, save, how, parts...);
  const auto resumed = train(ranks, folder / "cut", save, end, how, parts...);
  BOOST_CHECK_MESSAGE(whole == resumed, what << ", saved at " << save << ": other parameters");
  for (const char* file : {"model.safetensors", "state.safetensors"}) {
    const std::string name = "/step-" + std::to_string(end) + "/" + file;
    BOOST_CHECK_MESSAGE(file_bytes(folder / ("whole" + name)) == file_bytes(folder / ("cut" + name)),
                        what << ", saved at " << save << ": another " << file);
  }
}

constexpr tutti::adam adam{.learning_rate = .1};

} // namespace

BOOST_AUTO_TEST_CASE(every_policy_goes_on_with_the_same_bits) {
  for (const int save : {1, 4, 6}) {
    expect_same_bits("synchronous", 3, save, 9, adam, tutti::synchronous{});
    expect_same_bits("sharded", 3, save, 9, adam, tutti::sharded{});
    expect_same_bits("local_sgd", 3, save, 9, adam, tutti::local_sgd{.period = 4});
    expect_same_bits("diloco", 3, save, 12, adam, tutti::diloco{.period = 4});
  }
  expect_same_bits("one rank", 1, 3, 5, adam, tutti::synchronous{});
}

// All ranks have the same gradient, of few bits: its mean is exact on any number of them.
BOOST_AUTO_TEST_CASE(sharded_adam_goes_on_at_other_numbers_of_ranks) {
  const scratch folder;
  const auto run = [&](int ranks, int from, int to, const std::string& name) {
    return on(ranks, [&](auto& world) {
      tensors<float> model = model_of_57();
      tutti::strategy strategy{world, tutti::sharded{}};
      auto trainer = strategy.bind(model.parameters(), adam, training_options{.bucket_bytes = 64});
      if (from > 0) trainer.load(folder / "saved");
      for (int step = from; step < to; ++step)
        trainer.step(small_model::gradients(rough(pull(model, 2, 3, step))));
      trainer.save(folder / name);
      return model.flat();
    });
  };
  const floats whole = run(1, 0, 8, "whole")[0];
  run(3, 0, 4, "saved");
  for (const int ranks : {1, 2, 5, 3}) {
    small_model::expect_all("sharded on " + std::to_string(ranks), run(ranks, 4, 8, "resumed"), whole);
    BOOST_CHECK(file_bytes(folder / "resumed/model.safetensors") ==
                file_bytes(folder / "whole/model.safetensors"));
    const auto state = [&](const char* name) {
      const std::string all = file_bytes(folder / (name + std::string{"/state.safetensors"}));
      return all.substr(all.find("\"}")); // behind the number of ranks
    };
    BOOST_CHECK_MESSAGE(state("resumed") == state("whole"), "another state on " << ranks);
  }
}

// Lightning-AI/pytorch-lightning#19403, #1772: a rate that is the step's number.
BOOST_AUTO_TEST_CASE(no_step_is_made_twice_or_left_out) {
  const scratch folder;
  const auto run = [&](int from, int to) {
    return on(2, [&](auto& world) {
      floats w(3);
      tutti::strategy strategy{world};
      auto trainer = strategy.bind(w, small_model::by_one);
      if (from > 0) trainer.load(folder / "x");
      for (int step = from; step < to; ++step) {
        trainer.optimizer().learning_rate = float(trainer.steps() + 1);
        trainer.step(floats(3, 1.f));
      }
      trainer.save(folder / "x");
      return w;
    });
  };
  run(0, 3);
  small_model::expect_all("a rate that is the step's number", run(3, 6), floats(3, -21.f));
}

// huggingface/transformers#11663, facebookresearch/metaseq#3
BOOST_AUTO_TEST_CASE(the_scale_of_the_loss_and_its_run_go_on) {
  const scratch folder;
  const training_options how{.loss_scale = {.initial = 8, .growth = 2, .every = 4}};
  const auto scales = on(2, [&](auto& world) {
    floats seen;
    for (const bool resumed : {false, true}) {
      floats w(1);
      tutti::strategy strategy{world};
      auto trainer = strategy.bind(w, small_model::by_one, how);
      if (resumed) trainer.load(folder / "x");
      for (int step = 0; step < (resumed ? 1 : 3); ++step) trainer.step(floats{1});
      if (!resumed) trainer.save(folder / "x");
      seen.push_back(float(trainer.loss_scale()));
    }
    return seen;
  });
  small_model::expect_all("scales", scales, floats{8, 16});
}

// NVIDIA/apex#42, TensorAuto/OpenTau#185, NVIDIA/Megatron-LM#1359
BOOST_AUTO_TEST_CASE(masters_are_saved_as_they_are) {
  const scratch folder;
  const auto run = [&](bool resumed) {
    return on(2, [&](auto& world) {
      tensors<tutti::bfloat16> model{{"w"}, {{tutti::bfloat16{1.f}}}};
      tutti::strategy strategy{world};
      auto trainer = strategy.bind(model.parameters(), tutti::sgd{.learning_rate = 1.f / 1024});
      if (resumed) trainer.load(folder / "x");
      for (int step = 0; step < 2; ++step)
        trainer.step(small_model::gradients(
            std::vector<std::vector<tutti::bfloat16>>{{tutti::bfloat16{1.f}}}));
      trainer.save(folder / "x");
      floats master(1);
      tutti::safetensors::reader{folder / "x/model.safetensors"}.read("w", 0, master);
      return floats{float(model.values[0][0]), master[0]};
    });
  };
  small_model::expect_all("rounds to 1", run(false), floats{1.f, 1.f - 2.f / 1024});
  small_model::expect_all("copy and master", run(true), floats{.99609375f, .99609375f});
}

// deepspeedai/DeepSpeed#801
BOOST_AUTO_TEST_CASE(save_on_one_rank_while_another_steps) {
  const scratch folder;
  std::vector<std::string> said(2);
  on(2, [&](auto& world) {
    floats w(3);
    tutti::strategy strategy{world};
    auto trainer = strategy.bind(w, small_model::by_one);
    said[std::size_t(world.rank())] = thrown_by(
        [&] { world.rank() == 0 ? trainer.save(folder / "x") : trainer.step(floats(3)); });
    return 0;
  });
  for (const std::string& one : said)
    BOOST_CHECK_MESSAGE(one.starts_with("mismatch") && has(one, "broadcast") && has(one, "all_gather"), one);
  BOOST_CHECK_EQUAL(folder.listing(), "");
}

BOOST_AUTO_TEST_CASE(rates_of_the_program_count_and_are_reported) {
  const scratch folder;
  std::vector<std::string> differs;
  const auto trained = on(2, [&](auto& world) {
    floats w(1);
    tutti::strategy strategy{world};
    auto saver = strategy.bind(w, tutti::sgd{.learning_rate = 1});
    saver.optimizer().learning_rate = .5f;
    saver.save(folder / "x");
    auto trainer = strategy.bind(w, tutti::sgd{.learning_rate = .25f});
    const auto told = trainer.load(folder / "x");
    if (world.rank() == 0) differs = told;
    trainer.step(floats{1});
    return w;
  });
  small_model::expect_all("the program's rate", trained, floats{-.25f});
  BOOST_REQUIRE_EQUAL(differs.size(), 1u);
  BOOST_CHECK_EQUAL(differs[0], "number 1 in tutti::sgd is 0.25, and was 0.5 when " + (folder / "x") + " was saved");
}

// Where ranks leave out steps by themselves, a schedule gives each a rate of its own.
BOOST_AUTO_TEST_CASE(the_programs_numbers_are_those_of_rank_0) {
  const scratch folder;
  std::vector<std::string> told(2);
  on(2, [&](auto& world) {
    floats w(1);
    tutti::strategy strategy{world, tutti::local_sgd{.period = 2}};
    auto trainer = strategy.bind(w, tutti::sgd{.learning_rate = .5});
    trainer.optimizer().learning_rate = world.rank() == 0 ? .5 : .25;
    trainer.step(floats{1});
    trainer.save(folder / "x");
    const auto differs = trainer.load(folder / "x");
    told[std::size_t(world.rank())] = differs.empty() ? "" : differs[0];
    return 0;
  });
  BOOST_CHECK_EQUAL(told[0], "");
  BOOST_CHECK_EQUAL(told[1], "number 1 in tutti::sgd is 0.25, and was 0.5 when " + (folder / "x") + " was saved");
}

BOOST_AUTO_TEST_CASE(what_is_in_no_step_yet_is_not_saved) {
  const scratch folder;
  std::vector<std::string> said(2);
  on(2, [&](auto& world) {
    floats w(1);
    tutti::strategy strategy{world};
    auto trainer = strategy.bind(w, small_model::by_one);
    if (world.rank() == 1) trainer.accumulate(floats{1});
    said[std::size_t(world.rank())] = thrown_by([&] { trainer.save(folder / "x"); });
    return 0;
  });
  small_model::expect_texts("a micro-batch", said, "rank 1: a micro-batch was accumulated and is in no step yet");
}

BOOST_AUTO_TEST_SUITE_END()
