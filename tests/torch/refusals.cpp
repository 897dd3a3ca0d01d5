// What cannot be trained, and what goes wrong in a step: an error on all ranks that says what.
#include "torch/modules.hpp"

#include <torch/csrc/autograd/engine.h>

#include <memory>

BOOST_AUTO_TEST_SUITE(torch_refusals)

namespace {

using namespace torch_model;

/// A parameter or more, by name.
struct named : ::torch::nn::Module {
  Tensor add(const std::string& name, Tensor value, bool trained = true) {
    return register_parameter(name, std::move(value), trained);
  }
  Tensor add_buffer(const std::string& name, Tensor value) { return register_buffer(name, std::move(value)); }
};

/// What making a data_parallel throws on two ranks, of which prepare(module, rank) fills the module.
template <class Prepare>
std::vector<std::string> made(Prepare&& prepare) {
  return on(2, [&](auto& world) {
    named module;
    prepare(module, world.rank());
    tutti::strategy strategy{world};
    return text_of([&] { tutti::torch::data_parallel ddp{module, strategy, descent}; });
  });
}
/// does() within the next backward pass that leads to t; it may record a graph there.
template <class Does>
void once(const Tensor& t, Does does) {
  t.register_hook([does, done = std::make_shared<bool>(false)](Tensor) {
    const at::AutoGradMode recorded{true};
    if (!std::exchange(*done, true)) does();
  });
}
void expect(const std::vector<std::string>& texts, const std::string& wanted) {
  for (const auto& t : texts) BOOST_CHECK_MESSAGE(t.find(wanted) != std::string::npos, t << " - wanted " << wanted);
}

} // namespace

BOOST_AUTO_TEST_CASE(a_module_that_differs_names_the_first_tensor) {
  expect(made([](named& m, int rank) {
           m.add("same", at::ones({2}));
           m.add("weight", rank == 0 ? at::ones({2, 3}) : at::ones({3, 2}));
         }),
         "tensor 1 is \"weight\" (2 x 3, Float) on rank 0 and \"weight\" (3 x 2, Float) on rank 1");
  expect(made([](named& m, int rank) { m.add("weight", at::ones({2}, rank == 0 ? at::kFloat : at::kDouble)); }),
         "tensor 0 is \"weight\" (2, Float) on rank 0 and \"weight\" (2, Double) on rank 1");
  expect(made([](named& m, int rank) { m.add("weight", at::ones({2}), rank == 0); }),
         "tensor 0 is \"weight\" (2, Float) on rank 0 and \"weight\" (2, Float, frozen) on rank 1");
  expect(made([](named& m, int rank) {
           m.add("weight", at::ones({}));
           if (rank == 1) m.add_buffer("mean", at::ones({4}));
         }),
         "tensor 1 is missing on rank 0 and \"mean\" (4, Float, frozen) on rank 1");
}

BOOST_AUTO_TEST_CASE(what_cannot_be_trained_on_one_rank_is_told_to_all) {
  expect(made([](named& m, int rank) {
           m.add("weight", at::ones({2}));
           if (rank == 1) m.add("ghost", at::empty({2}, at::TensorOptions(at::kMeta)));
         }),
         "rank 1: \"ghost\" is on meta, and ranks reach dense tensors in the host's memory - move the module to "
         "torch::kCPU");
  expect(made([](named& m, int rank) {
           m.add("weight", at::ones({2}));
           m.add_buffer("rows", rank == 0 ? at::ones({2}) : at::ones({2}).to_sparse());
         }),
         "rank 1: \"rows\" is sparse, and ranks reach");
  expect(made([](named& m, int) { m.add("count", at::ones({2}, at::kLong), false); }),
         "rank 0: \"count\" is Long, which is not trained - give Float, Double, BFloat16 or Half, or register it as a "
         "buffer");
  expect(made([](named& m, int) {
           m.add("weight", at::ones({2}));
           m.add("wide", at::ones({2}, at::kDouble));
         }),
         "\"wide\" is Double, and \"weight\" is Float - give all parameters the same type");
  expect(made([](named&, int) {}), "the module has no parameters - register them before it is given");
  expect(made([](named& m, int) {
           const Tensor whole = m.add("whole", at::ones({4}));
           m.add("part", whole.detach().slice(0, 1, 3));
         }),
         "\"whole\" and \"part\" are the same memory");
}

// Each goes wrong on rank 1 alone, where what is thrown is its own; afterwards a step is whole.
BOOST_AUTO_TEST_CASE(what_goes_wrong_on_one_rank_fails_the_step_on_all) {
  using wrong = void (*)(named&, Tensor& loss, Tensor w);
  const auto run = [](wrong spoil) {
    return on(2, [&](auto& world) {
      named module;
      const Tensor a = module.add("a", at::ones({2})), b = module.add("b", at::ones({2}));
      tutti::strategy strategy{world};
      tutti::torch::data_parallel ddp{module, strategy, tutti::sgd{.learning_rate = 1}, {.bucket_bytes = 1}};
      Tensor loss = (a * b.tanh()).sum();
      if (world.rank() == 1) spoil(module, loss, b);
      std::string text = text_of([&] { ddp.step(loss); });
      must(first(a) == 1 && first(b) == 1 && ddp.steps() == 0, "the step has changed something");
      must(!a.grad().defined() && !b.grad().defined(), "a gradient is left");
      ddp.step(a.sum() + 2 * b.sum());
      must(first(a) == 0 && first(b) == -1, "the step after it");
      return text;
    });
  };
  const auto expect_of_rank_1 = [&](wrong spoil, const std::string& cause) {
    const auto texts = run(spoil);
    BOOST_CHECK_MESSAGE(texts[0].find("(peer 1): rank 1 has failed at its gradient: ") != std::string::npos, texts[0]);
    expect(texts, cause);
  };
  expect_of_rank_1(
      [](named&, Tensor&, Tensor b) { once(b, [] { throw std::runtime_error{"no luck"}; }); }, "no luck");
  // pytorch/pytorch#65366: at the end, when all gradients have left.
  expect_of_rank_1(
      [](named&, Tensor&, Tensor b) {
        once(b, [] {
          ::torch::autograd::Engine::get_default_engine().queue_callback([] { throw std::runtime_error{"no end"}; });
        });
      },
      "no end");
  expect_of_rank_1([](named&, Tensor& loss, Tensor) { loss = loss.detach(); },
                   "the loss does not depend on any parameter");
  expect_of_rank_1([](named&, Tensor& loss, Tensor) { loss = loss * at::ones({2}); },
                   "grad can be implicitly created only for scalar outputs");
  // A backward pass within the backward pass, of the same parameter.
  expect_of_rank_1([](named&, Tensor&, Tensor b) { once(b, [b] { (b * 2).sum().backward(); }); },
                   "the gradient of \"b\" was accumulated twice in one backward pass");
  expect_of_rank_1(
      [](named& m, Tensor& loss, Tensor b) {
        const Tensor a = m.parameters()[0];
        loss = b.sum();
        once(b, [a] { (a * 2).sum().backward(); });
      },
      "the gradient of \"a\" came unexpectedly in one backward pass");
}

BOOST_AUTO_TEST_CASE(a_parameter_that_was_moved_is_an_error_on_all) {
  const auto texts = on(2, [](auto& world) {
    named module;
    const Tensor w = module.add("w", at::ones({2}));
    tutti::strategy strategy{world};
    tutti::torch::data_parallel ddp{module, strategy, descent};
    if (world.rank() == 1) w.set_data(at::zeros({2}));
    return text_of([&] { ddp.step(w.sum()); });
  });
  expect(texts, "\"w\" is in another place than when the module was given, moved by to() or set_data() - make a new "
                "data_parallel");
}

BOOST_AUTO_TEST_CASE(a_gradient_that_is_no_number_is_named_on_all) {
  const auto texts = on(2, [](auto& world) {
    named module;
    const Tensor a = module.add("a", at::ones({2})), b = module.add("b", at::ones({2}));
    tutti::strategy strategy{world};
    tutti::torch::data_parallel ddp{module, strategy, descent};
    return text_of([&] { ddp.step((a + b * (world.rank() == 1 ? NAN : 1)).sum()); });
  });
  expect(texts, "the gradient of \"b\" on rank 1 holds a NaN or an infinity");
}

BOOST_AUTO_TEST_CASE(a_step_within_a_step_is_refused) {
  const auto texts = on(2, [](auto& world) {
    named module;
    const Tensor w = module.add("w", at::ones({2}));
    tutti::strategy strategy{world};
    tutti::torch::data_parallel ddp{module, strategy, descent};
    w.register_hook([&](Tensor) { ddp.step(w.sum()); });
    return text_of([&] { ddp.step(w.sum()); });
  });
  expect(texts, "step() was called within the backward pass of another");
}

BOOST_AUTO_TEST_SUITE_END()
