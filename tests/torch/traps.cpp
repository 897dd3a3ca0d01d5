// What others have shipped wrong, with the values that are right; and elements, policies and ends of data. Samplers are in
// guide.cpp, exceptions in refusals.cpp, and what others have exported wrong in tests/onnx. Items are padded nowhere, so
// none is masked in evaluation.
#include "torch/modules.hpp"

#include "training/scratch.hpp"

#include <tutti/optimizers/adam.hpp>

#include <cmath>

BOOST_AUTO_TEST_SUITE(torch_traps)

namespace {

using namespace torch_model;

inline constexpr tutti::sgd by_one{.learning_rate = 1};

/// One parameter of the given shape.
struct single : ::torch::nn::Module {
  Tensor w;
  explicit single(at::IntArrayRef shape = {1}, at::ScalarType type = at::kFloat) {
    w = register_parameter("w", at::ones(shape, type));
  }
};
std::vector<double> all_of(const Tensor& t) {
  const Tensor d = t.detach().to(at::kDouble).contiguous();
  return {d.data_ptr<double>(), d.data_ptr<double>() + d.numel()};
}
/// body(ddp, module, rank) with a data_parallel that hands gradients back.
template <class Module = single, class Body>
auto handing_back(Body&& body, tutti::training_options how = {}) {
  return on(2, [&](auto& world) {
    Module module;
    tutti::strategy strategy{world};
    tutti::torch::data_parallel ddp{module, strategy, how};
    return body(ddp, module, world.rank());
  });
}
/// The same with one that descends.
template <class Module = single, class Body>
auto descending(Body&& body, tutti::training_options how = {}) {
  return on(2, [&](auto& world) {
    Module module;
    tutti::strategy strategy{world};
    tutti::torch::data_parallel ddp{module, strategy, descent, how};
    return body(ddp, module, world.rank());
  });
}
std::string text(double value) { return std::to_string(value); }
std::string text(const std::vector<double>& values) {
  std::string all;
  for (const double v : values) all += " " + text(v);
  return all;
}
template <class T>
void expect_all(const std::vector<T>& got, const T& wanted) {
  for (std::size_t r = 0; r < got.size(); ++r)
    BOOST_CHECK_MESSAGE(got[r] == wanted, "rank " << r << ": " << text(got[r]) << " - wanted " << text(wanted));
}

} // namespace

// pytorch/pytorch#107063: a hook sees one use of a parameter, where the sum over all uses is its gradient.
BOOST_AUTO_TEST_CASE(the_gradient_of_a_parameter_is_the_sum_over_its_uses) {
  const auto got = handing_back([](auto& ddp, single& m, int) {
    const auto loss = [&] { return (m.w * 1 + m.w * 2).sum(); };
    ddp.backward(loss());
    const double once = first(m.w.grad());
    m.zero_grad();
    ddp.no_sync(loss());
    ddp.backward(loss());
    return std::vector{once, first(m.w.grad())};
  });
  expect_all(got, {3, 6});
}
// A plain backward pass counts as well, with another value on each rank, and twice along one graph.
BOOST_AUTO_TEST_CASE(what_is_accumulated_beforehand_goes_with_the_step) {
  const auto got = handing_back([](auto& ddp, single& m, int rank) {
    const Tensor loss = m.w.sum() * (1 + rank);
    loss.backward({}, true);
    loss.backward({}, true);
    ddp.backward(loss);
    return first(m.w.grad());
  });
  expect_all(got, 4.5);
  // Also of a parameter that the last loss does not lead to.
  const auto with_another = handing_back<branching>([](auto& ddp, branching& m, int rank) {
    fill(m, 0);
    if (rank == 1) m.sometimes->bias.sum().backward();
    ddp.backward(m.always->bias.sum());
    return std::vector{first(m.sometimes->bias.grad()), double(m.never->bias.grad().defined())};
  });
  expect_all(with_another, {.5, 0});
}
// pytorch/pytorch#47260, #24005: more backward passes than one, on one rank alone; the next step is as any other.
BOOST_AUTO_TEST_CASE(backward_passes_of_one_rank_alone_add_up) {
  const auto got = handing_back([](auto& ddp, single& m, int rank) {
    const Tensor loss = m.w.sum() * (1 + rank);
    for (int twice = 0; twice < 2 * rank; ++twice) loss.backward({}, true);
    ddp.backward(loss);
    const double first_step = first(m.w.grad());
    m.zero_grad();
    ddp.backward((m.w * (1 + rank)).sum());
    return std::vector{first_step, first(m.w.grad())};
  });
  expect_all(got, {3.5, 1.5});
}

// facebookresearch/fairscale#354, pytorch/pytorch#41954, #43557: gradients that are set to zero, taken away, replaced.
BOOST_AUTO_TEST_CASE(however_gradients_are_cleared_the_steps_are_the_same) {
  using clear = void (*)(single&, ::torch::optim::Optimizer&);
  const auto run = [](clear cleared) {
    return handing_back([&](auto& ddp, single& m, int rank) {
      ::torch::optim::SGD optimizer{m.parameters(), ::torch::optim::SGDOptions(.1).momentum(.9)};
      for (int step = 0; step < 3; ++step) {
        cleared(m, optimizer);
        ddp.backward((m.w * (step + rank)).pow(2).sum());
        optimizer.step();
      }
      return first(m.w);
    });
  };
  const auto wanted = run([](single&, auto& optimizer) { optimizer.zero_grad(); });
  BOOST_CHECK_EQUAL(wanted[0], wanted[1]);
  for (const clear c : {clear([](single& m, auto&) { m.zero_grad(); }),
                        clear([](single& m, auto&) { m.zero_grad(true); }),
                        clear([](single& m, auto&) { m.w.mutable_grad().reset(); }),
                        clear([](single& m, auto&) { m.w.mutable_grad() = at::zeros({1}); })})
    expect_all(run(c), wanted[0]);
  // None: mean gradients add up, as they do in one process: 2 w, then as much again.
  expect_all(handing_back([](auto& ddp, single& m, int) {
               ddp.backward((m.w * 2).sum());
               ddp.backward((m.w * 2).sum());
               return first(m.w.grad());
             }),
             4.);
}
BOOST_AUTO_TEST_CASE(a_gradient_of_the_callers_own_is_added_to) {
  expect_all(handing_back([](auto& ddp, single& m, int rank) {
               m.w.mutable_grad() = at::full({1}, 10. * rank);
               ddp.backward((m.w * 2).sum());
               return first(m.w.grad());
             }),
             7.);
}

BOOST_AUTO_TEST_CASE(gradients_that_are_handed_back_stand_in_buckets_and_go_with_them) {
  const auto got = on(2, [](auto& world) {
    single m{{2}};
    const Tensor factors = at::tensor({3.f, 4.f}) * float(2 * world.rank());
    const void* first_place = nullptr;
    {
      tutti::strategy strategy{world};
      tutti::torch::data_parallel ddp{m, strategy, {.clip = 1}};
      ddp.backward((m.w * factors).sum());
      first_place = m.w.grad().data_ptr();
      m.w.grad().zero_();
      ddp.backward((m.w * factors).sum());
      must(m.w.grad().data_ptr() == first_place, "a gradient is elsewhere in the second step");
      must(std::abs(first(m.w.grad()) - .6) < 1e-6 && std::abs(ddp.gradient_norm() - 5) < 1e-6, "clipping");
    }
    const bool gone = !m.w.grad().defined();
    m.w.mutable_grad() = at::ones({2});
    {
      tutti::strategy strategy{world};
      tutti::torch::data_parallel ddp{m, strategy};
    }
    return gone && m.w.grad().defined();
  });
  BOOST_CHECK(got[0] && got[1]);
}

// pytorch/pytorch#47163: memory order is nobody's order.
BOOST_AUTO_TEST_CASE(strides_change_nothing) {
  struct turned : ::torch::nn::Module {
    Tensor w;
    turned() { w = register_parameter("w", numbers({3, 2}, 1).t()); } // 2 x 3
  };
  const auto got = descending<turned>([](auto& ddp, turned& m, int rank) {
    const Tensor factors = at::arange(6, at::kFloat).reshape({2, 3}) * float(2 * rank);
    ddp.step((m.w * factors).sum());
    return all_of(m.w);
  });
  expect_all(got, all_of(numbers({3, 2}, 1).t() - .1 * at::arange(6, at::kFloat).reshape({2, 3})));

  // In a file they are row-major, so that a module of other strides reads the same.
  struct straight : ::torch::nn::Module {
    Tensor w;
    straight() { w = register_parameter("w", at::zeros({2, 3})); }
  };
  const scratch folder;
  descending<turned>([&](auto& ddp, turned&, int) {
    ddp.save(folder / "saved");
    return 0.;
  });
  const auto read = descending<straight>([&](auto& ddp, straight& m, int) {
    must(ddp.load(folder / "saved").empty(), "load() says that something differs");
    return all_of(m.w);
  });
  expect_all(read, all_of(numbers({3, 2}, 1).t()));

  const auto channels_last = [](int on_rank) {
    return on(2, [&](auto& world) {
      convolutional net;
      fill(net, 0);
      for (Tensor w : {net.first->weight, net.second->weight})
        if (world.rank() >= on_rank) w.set_data(w.contiguous(at::MemoryFormat::ChannelsLast));
      tutti::strategy strategy{world};
      tutti::torch::data_parallel ddp{net, strategy, descent};
      for (int step = 0; step < 3; ++step) ddp.step(net.loss(step, 4 * world.rank(), 4 * world.rank() + 4, 0));
      return flat(net);
    });
  };
  const auto plain = channels_last(2);
  for (const int from : {0, 1})
    for (const Tensor& t : channels_last(from)) BOOST_CHECK_LT(distance(t, plain[0]), 1e-6);
}

// pytorch/pytorch#80496, #17356: rows given twice add up, and no rows are rows of zero.
BOOST_AUTO_TEST_CASE(sparse_gradients_of_embeddings) {
  struct table : ::torch::nn::Module {
    ::torch::nn::Embedding rows{nullptr};
    table() {
      rows = register_module("rows", ::torch::nn::Embedding(::torch::nn::EmbeddingOptions(10, 1).sparse(true)));
      ::torch::nn::init::ones_(rows->weight);
    }
  };
  const auto run = [](std::vector<std::vector<std::int64_t>> used) {
    return handing_back<table>([&](auto& ddp, table& m, int rank) {
      const auto& mine = used[std::size_t(rank)];
      const Tensor beside = ::torch::ones({1}, ::torch::requires_grad());
      ddp.backward(mine.empty() ? beside.sum() : m.rows(at::tensor(mine)).sum());
      return m.rows->weight.grad().defined() ? all_of(m.rows->weight.grad()) : std::vector<double>{};
    });
  };
  expect_all(run({{1, 1}, {3}}), {0, 1, 0, .5, 0, 0, 0, 0, 0, 0});
  expect_all(run({{1, 1}, {}}), {0, 1, 0, 0, 0, 0, 0, 0, 0, 0});
  expect_all(run({{}, {}}), {});
  // To an optimizer that remembers they are rows of zeros: rows that were never used stay where they are.
  const auto by_adam = on(2, [](auto& world) {
    table m;
    tutti::strategy strategy{world};
    tutti::torch::data_parallel ddp{m, strategy, tutti::adam{.learning_rate = .5}};
    ddp.step(m.rows(world.rank() == 0 ? at::tensor({1, 1}) : at::tensor({3})).sum());
    auto all = all_of(m.rows->weight);
    for (double& v : all) v = std::round(v * 1e4) / 1e4;
    return all;
  });
  expect_all(by_adam, {1, .5, 1, .5, 1, 1, 1, 1, 1, 1});
}

// open-mmlab/mmdetection#4582, pytorch/pytorch#30718: the model that is evaluated is the one that is saved.
BOOST_AUTO_TEST_CASE(buffers_are_rank_0s_where_they_are_shared) {
  struct normed : ::torch::nn::Module {
    ::torch::nn::BatchNorm1d norm{nullptr};
    normed() { norm = register_module("norm", ::torch::nn::BatchNorm1d(1)); }
  };
  const scratch folder;
  const std::string path = folder / "saved";
  const auto got = descending<normed>([&](auto& ddp, normed& m, int rank) {
    ddp.step(m.norm(at::tensor({4.f * float(rank) - 1, 4.f * float(rank) + 1}).reshape({2, 1})).pow(2).sum());
    must(std::abs(first(m.norm->running_mean) - .4 * rank) < 1e-6, "a rank has running means of its own");
    ddp.save(path);
    std::vector<double> out{first(m.norm->running_mean), first(m.norm->num_batches_tracked)};
    m.norm->running_mean.fill_(7);
    m.norm->num_batches_tracked.fill_(7);
    must(ddp.load(path).empty(), "load() says that something differs");
    out.insert(out.end(), {first(m.norm->running_mean), first(m.norm->num_batches_tracked)});
    must(m.norm->num_batches_tracked.scalar_type() == at::kLong, "a count is no count any more");
    return out;
  });
  expect_all(got, {0, 1, 0, 1});
}

// pytorch/pytorch#125215, #15926: what is loaded, and how often, is what was saved.
BOOST_AUTO_TEST_CASE(five_steps_and_five_after_loading_are_ten) {
  const scratch folder;
  const std::string path = folder / "saved";
  const auto run = [&](float rate, int from, int to, bool loads, bool saves) {
    return on(2, [&](auto& world) {
      convolutional net;
      fill(net, from);
      tutti::strategy strategy{world};
      tutti::torch::data_parallel ddp{net, strategy, tutti::sgd{.learning_rate = rate, .momentum = .9f}};
      std::string differs;
      for (int twice = 0; loads && twice < 2; ++twice)
        for (const auto& line : ddp.load(path)) differs += line + "\n";
      must(ddp.steps() == from, "steps()");
      if (loads) must((rate == .1f) == differs.empty(), "load() says: " + differs);
      ddp.optimizer().learning_rate = .1f;
      for (int step = from; step < to; ++step) ddp.step(net.loss(step, 4 * world.rank(), 4 * world.rank() + 4, 0));
      if (saves) ddp.save(path);
      return flat(net);
    });
  };
  const auto ten = run(.1f, 0, 10, false, false);
  run(.1f, 0, 5, false, true);
  for (const float rate : {.1f, .5f}) BOOST_CHECK(run(rate, 5, 10, true, false)[1].equal(ten[0]));
}

// pytorch/pytorch#30508: Linear without bias, norms without parameters or statistics.
BOOST_AUTO_TEST_CASE(tensors_that_a_module_does_not_have_are_left_out) {
  struct bare : ::torch::nn::Module {
    ::torch::nn::Linear line{nullptr};
    ::torch::nn::BatchNorm1d plain{nullptr}, stateless{nullptr};
    bare() {
      line = register_module("line", ::torch::nn::Linear(::torch::nn::LinearOptions(2, 2).bias(false)));
      plain = register_module("plain", ::torch::nn::BatchNorm1d(::torch::nn::BatchNormOptions(2).affine(false)));
      stateless = register_module(
          "stateless", ::torch::nn::BatchNorm1d(::torch::nn::BatchNormOptions(2).track_running_stats(false)));
      fill(*this, 0);
    }
  };
  const scratch folder;
  const auto got = descending<bare>([&](auto& ddp, bare& m, int rank) {
    for (int step = 0; step < 3; ++step)
      ddp.step(m.stateless(m.plain(m.line(numbers({4, 2}, step + rank)))).pow(3).sum());
    ddp.save(folder / "saved");
    ddp.load(folder / "saved");
    return all_of(flat(m));
  });
  BOOST_CHECK(got[0] == got[1]);
}

// Two steps of half of a last place are one: bfloat16 and half have masters.
BOOST_AUTO_TEST_CASE(elements_of_each_kind_are_trained) {
  const auto run = [](at::ScalarType type, double step) {
    return on(2, [&](auto& world) {
      single m{{1}, type};
      tutti::strategy strategy{world};
      tutti::torch::data_parallel ddp{m, strategy, by_one};
      for (int k = 0; k < 2; ++k) ddp.step((m.w * step * (2. * world.rank())).sum());
      return first(m.w);
    });
  };
  expect_all(run(at::kDouble, 0x1p-40), 1 - 0x1p-39);
  expect_all(run(at::kFloat, 0x1p-20), 1 - 0x1p-19);
  expect_all(run(at::kBFloat16, 0x1p-9), 1 - 0x1p-8);
  expect_all(run(at::kHalf, 0x1p-12), 1 - 0x1p-11);
}
BOOST_AUTO_TEST_CASE(gradients_of_each_kind_are_handed_back) {
  for (const auto type : {at::kDouble, at::kFloat, at::kBFloat16, at::kHalf}) {
    const auto got = on(2, [&](auto& world) {
      single m{{1}, type};
      tutti::strategy strategy{world};
      tutti::torch::data_parallel ddp{m, strategy};
      for (int k = 0; k < 2; ++k) {
        m.zero_grad();
        ddp.backward((m.w * (2. * world.rank() + 1)).sum());
        const ::torch::NoGradGuard unrecorded;
        m.w.sub_(m.w.grad() * .125);
      }
      must(m.w.grad().scalar_type() == type, "a gradient has another type than its parameter");
      return first(m.w);
    });
    expect_all(got, .5);
  }
}
BOOST_AUTO_TEST_CASE(a_scale_of_the_loss_is_divided_out_and_an_overflow_is_skipped_by_all) {
  const auto got = handing_back(
      [](auto& ddp, single& m, int rank) {
        const double scale = ddp.loss_scale();
        ddp.no_sync((m.w * 2).sum());
        const bool usable = ddp.backward((m.w * 2).sum());
        const double gradient = first(m.w.grad());
        m.zero_grad(true);
        const bool overflowed = ddp.backward((m.w * (rank == 1 ? INFINITY : 1)).sum());
        return std::vector{scale,           double(usable),     gradient, double(overflowed),
                           ddp.loss_scale(), double(ddp.skipped())};
      },
      {.loss_scale = {.initial = 1024, .growth = 2, .every = 100}});
  expect_all(got, {1024, 1, 4, 0, 512, 1});
}

// Rank 0 has two batches, rank 1 five; a mean over those that come.
BOOST_AUTO_TEST_CASE(ranks_may_run_out_of_batches_first) {
  const auto batches = [](int rank) { return rank == 0 ? 2 : 5; };
  const auto descends = on(2, [&](auto& world) {
    single m;
    tutti::strategy strategy{world};
    tutti::torch::data_parallel ddp{m, strategy, by_one};
    for (int k = 0; k < batches(world.rank()); ++k) ddp.step((m.w * (1 + world.rank())).sum());
    ddp.join();
    return first(m.w);
  });
  expect_all(descends, 1 - 2 * 1.5 - 3 * 2);
  const auto slower_and_slower = on(2, [&](auto& world) {
    single m;
    tutti::strategy strategy{world};
    tutti::torch::data_parallel ddp{m, strategy, by_one};
    const auto halve = [&] { ddp.optimizer().learning_rate /= 2; };
    for (int k = 0; k < batches(world.rank()); ++k, halve()) ddp.step((m.w * (1 + world.rank())).sum());
    ddp.join(halve);
    return first(m.w);
  });
  expect_all(slower_and_slower, 1 - 1.5 - .75 - .5 - .25 - .125);
  const auto by_torch = handing_back([&](auto& ddp, single& m, int rank) {
    ::torch::optim::SGD optimizer{m.parameters(), ::torch::optim::SGDOptions(1)};
    for (int k = 0; k < batches(rank); ++k) {
      m.zero_grad();
      ddp.backward((m.w * (1 + rank)).sum());
      optimizer.step();
    }
    ddp.join([&] { optimizer.step(); });
    return first(m.w);
  });
  expect_all(by_torch, 1 - 2 * 1.5 - 3 * 2);
}

BOOST_AUTO_TEST_CASE(what_requires_no_gradient_is_frozen_until_it_does) {
  const auto got = on(2, [](auto& world) {
    branching m;
    fill(m, 0);
    m.always->weight.set_requires_grad(false);
    const Tensor before = m.always->weight.detach().clone();
    tutti::strategy strategy{world};
    tutti::torch::data_parallel ddp{m, strategy, descent};
    const auto step = [&] { ddp.step(m.loss(0, 0, 8, 0)); };
    step();
    must(m.always->weight.equal(before), "a frozen parameter has moved");
    m.always->weight.set_requires_grad(true);
    step();
    must(!m.always->weight.equal(before), "a parameter that is trained again has not moved");
    m.always->bias.set_requires_grad(world.rank() == 0);
    return text_of(step);
  });
  for (const auto& t : got)
    BOOST_CHECK_MESSAGE(t.find("\"always.bias\" is frozen on one of the ranks 0 and 1") != std::string::npos, t);
}

// A graph that was recorded before a step is of parameters that are no more.
BOOST_AUTO_TEST_CASE(a_graph_from_before_a_step_is_refused_by_autograd) {
  const auto got = descending([](auto& ddp, single& m, int) {
    const Tensor old = m.w.pow(2).sum();
    ddp.step(m.w.sum());
    return text_of([&] { old.backward(); });
  });
  for (const auto& t : got) BOOST_CHECK_MESSAGE(t.find("modified by an inplace operation") != std::string::npos, t);
}

BOOST_AUTO_TEST_SUITE_END()
