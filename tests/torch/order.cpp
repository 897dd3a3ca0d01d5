// The order in which gradients travel, learnt from the first step; roles of a module's parameters.
#include "torch/modules.hpp"

#include "training/scratch.hpp"

#include <tutti/optimizers/muon.hpp>

BOOST_AUTO_TEST_SUITE(torch_order)

namespace {

using namespace torch_model;
using names = std::vector<std::string>;

constexpr int ranks = 3;
const tutti::training_options learns{.bucket_bytes = 40, .learns_order = true};

/// Registered last to first; and, on rank 1 alone, used the other way round.
struct reversed : ::torch::nn::Module {
  ::torch::nn::Linear last{nullptr}, middle{nullptr}, first{nullptr}, unused{nullptr};
  reversed() {
    last = register_module("last", ::torch::nn::Linear(3, 3));
    middle = register_module("middle", ::torch::nn::Linear(3, 3));
    first = register_module("first", ::torch::nn::Linear(::torch::nn::LinearOptions(3, 3).bias(false)));
    unused = register_module("unused", ::torch::nn::Linear(::torch::nn::LinearOptions(2, 2).bias(false)));
    fill(*this, 0);
  }
  Tensor loss(int step, int rank) {
    const Tensor x = numbers({4, 3}, step + 10 * rank);
    return rank == 1 ? at::tanh(first(at::tanh(middle(at::tanh(last(x)))))).pow(2).sum()
                     : at::tanh(last(at::tanh(middle(at::tanh(first(x)))))).pow(2).sum();
  }
};

struct outcome {
  names order;
  Tensor weights;
};
/// Steps from, ..., to - 1, on a ring, whose sums depend on where a value stands in its bucket.
std::vector<outcome> trained(const tutti::training_options& how, int from, int to, const std::string& load = "",
                             const std::string& save = "") {
  return on(ranks, [&](auto& world) {
    reversed net;
    tutti::strategy strategy{world, tutti::ring{}};
    tutti::torch::data_parallel ddp{net, strategy, tutti::adam{.learning_rate = .01}, how};
    if (!load.empty()) must(ddp.load(load).empty(), "load() says that something differs");
    for (int step = from; step < to; ++step) ddp.step(net.loss(step, world.rank()));
    if (!save.empty()) ddp.save(save);
    return outcome{ddp.order(), flat(net)};
  });
}
std::string text(const names& all) {
  std::string out;
  for (const auto& name : all) out += name + " ";
  return out;
}

} // namespace

BOOST_AUTO_TEST_CASE(gradients_travel_in_rank_0s_order_when_it_is_learnt) {
  const std::string declared = "unused.weight first.weight middle.bias middle.weight last.bias last.weight ";
  const auto plain = trained({.bucket_bytes = 40}, 0, 2), before = trained(learns, 0, 0), after = trained(learns, 0, 2);
  for (int r = 0; r < ranks; ++r) {
    BOOST_CHECK_EQUAL(text(plain[std::size_t(r)].order), declared);
    BOOST_CHECK_EQUAL(text(before[std::size_t(r)].order), declared);
    BOOST_CHECK_EQUAL(text(after[std::size_t(r)].order), text(after[0].order));
    BOOST_CHECK_LT(distance(after[std::size_t(r)].weights, plain[0].weights), 1e-6);
  }
  const names& learnt = after[0].order;
  BOOST_REQUIRE_EQUAL(learnt.size(), 6);
  BOOST_CHECK(learnt[0].starts_with("last.") && learnt[1].starts_with("last."));
  BOOST_CHECK(learnt[2].starts_with("middle.") && learnt[3].starts_with("middle."));
  BOOST_CHECK_EQUAL(learnt[4] + learnt[5], "first.weightunused.weight");
}
BOOST_AUTO_TEST_CASE(a_run_that_is_resumed_has_the_order_and_the_bits) {
  const scratch folder;
  const auto whole = trained(learns, 0, 5);
  trained(learns, 0, 2, "", folder / "saved");
  const auto resumed = trained(learns, 2, 5, folder / "saved");
  trained(learns, 0, 0, "", folder / "fresh"); // nothing was learnt yet, so it is learnt after loading
  const auto from_fresh = trained(learns, 0, 5, folder / "fresh");
  for (std::size_t r = 0; r < ranks; ++r)
    for (const auto* got : {&resumed[r], &from_fresh[r]}) {
      BOOST_CHECK(got->weights.equal(whole[r].weights));
      BOOST_CHECK_EQUAL(text(got->order), text(whole[r].order));
    }
}
// The first step is the one that learns; what goes wrong in it is an error on all, and the next one works.
BOOST_AUTO_TEST_CASE(a_first_step_that_fails_is_an_error_on_all) {
  const auto texts = on(2, [](auto& world) {
    reversed net;
    tutti::strategy strategy{world};
    tutti::torch::data_parallel ddp{net, strategy, descent, learns};
    const Tensor before = flat(net);
    Tensor loss = net.loss(0, 0);
    if (world.rank() == 1) net.middle->weight.register_hook([done = std::make_shared<bool>(false)](Tensor) {
      if (!std::exchange(*done, true)) throw std::runtime_error{"no luck"};
    });
    const std::string text = text_of([&] { ddp.step(loss); });
    must(flat(net).equal(before) && ddp.steps() == 0, "the step has changed something");
    ddp.step(net.loss(0, 0));
    must(!flat(net).equal(before), "the step after it has changed nothing");
    return text;
  });
  for (const auto& t : texts) BOOST_CHECK_MESSAGE(t.find("no luck") != std::string::npos, t);
}
BOOST_AUTO_TEST_CASE(an_order_that_one_rank_learns_alone_is_refused) {
  const auto texts = on(2, [](auto& world) {
    reversed net;
    tutti::strategy strategy{world};
    return text_of([&] {
      tutti::torch::data_parallel ddp{net, strategy, descent, {.learns_order = world.rank() == 1}};
    });
  });
  for (const auto& t : texts)
    BOOST_CHECK_MESSAGE(t.find("ranks 0 and 1 plan different runs: number ") != std::string::npos, t);
  const auto by_bind = on(2, [](auto& world) {
    std::vector<float> values(4);
    tutti::strategy strategy{world};
    return text_of([&] { strategy.bind(values, descent, tutti::training_options{.learns_order = true}); });
  });
  for (const auto& t : by_bind)
    BOOST_CHECK_MESSAGE(t.find("an order is learnt where gradients are seen to become complete") != std::string::npos, t);
}

// Two ranks as one: the matrices of the transformer by muon, embedding, norms and biases by AdamW, which leaves the norms
// undecayed.
BOOST_AUTO_TEST_CASE(a_module_is_moved_by_muon) {
  const auto run = [](int on_ranks) {
    return on(on_ranks, [&](auto& world) {
      transformer net;
      fill(net, 0);
      tutti::strategy strategy{world};
      tutti::torch::data_parallel ddp{net, strategy, tutti::muon<>{.inner = {.learning_rate = 1e-2}}};
      const std::int64_t each = 8 / on_ranks, rank = world.rank();
      const double at_first = net.loss(0, 0, 8, 0).template item<double>();
      for (int step = 0; step < 6; ++step) ddp.step(net.loss(0, each * rank, each * (rank + 1), 0));
      must(net.loss(0, 0, 8, 0).template item<double>() < at_first, "the loss has not come down");
      return flat(net);
    });
  };
  const auto one = run(1), two = run(2);
  BOOST_CHECK_LT(distance(two[0], one[0]), 1e-3); // small singular values are made large, and differences with them
  BOOST_CHECK(two[0].equal(two[1]));
}

BOOST_AUTO_TEST_SUITE_END()
