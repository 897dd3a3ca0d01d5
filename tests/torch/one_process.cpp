// Modules that are trained on two ranks, beside the same in one process that takes both halves of each batch.
#include "torch/modules.hpp"

BOOST_AUTO_TEST_SUITE(torch_one_process)

namespace {

using namespace torch_model;

constexpr int steps = 6;

/// Each tensor once.
std::vector<Tensor> distinct(const ::torch::nn::Module& module) {
  std::vector<Tensor> out;
  for (const auto& p : module.parameters()) {
    bool known = false;
    for (const auto& q : out) known = known || q.is_same(p);
    if (!known) out.push_back(p);
  }
  return out;
}

template <class Net>
Tensor alone() {
  Net net;
  fill(net, 0);
  ::torch::optim::SGD optimizer{distinct(net), ::torch::optim::SGDOptions(.1).momentum(.9)};
  for (int step = 0; step < steps; ++step) {
    for (const auto& p : net.parameters()) p.mutable_grad().reset();
    net.loss(step, 0, 8, 0).backward();
    optimizer.step();
  }
  return flat(net);
}
template <class Net, class... Parts>
std::vector<Tensor> by_tutti(std::size_t bucket_bytes, const Parts&... parts) {
  return on(2, [&](auto& world) {
    const int rank = world.rank();
    Net net;
    fill(net, 10 * rank); // rank 0's are everybody's
    tutti::strategy strategy{world, parts...};
    tutti::torch::data_parallel ddp{net, strategy, descent, {.bucket_bytes = bucket_bytes}};
    for (int step = 0; step < steps; ++step) ddp.step(net.loss(step, 4 * rank, 4 * rank + 4, rank));
    ddp.finalize();
    return flat(net);
  });
}
template <class Net>
std::vector<Tensor> by_torch_optim(std::size_t bucket_bytes) {
  return on(2, [&](auto& world) {
    const int rank = world.rank();
    Net net;
    fill(net, 10 * rank);
    tutti::strategy strategy{world};
    tutti::torch::data_parallel ddp{net, strategy, {.bucket_bytes = bucket_bytes}};
    ::torch::optim::SGD optimizer{distinct(net), ::torch::optim::SGDOptions(.1).momentum(.9)};
    for (int step = 0; step < steps; ++step) {
      for (const auto& p : net.parameters()) p.mutable_grad().reset();
      must(ddp.backward(net.loss(step, 4 * rank, 4 * rank + 4, rank)), "backward() says that there is no gradient");
      optimizer.step();
    }
    return flat(net);
  });
}
void expect_equal(const char* what, const std::vector<Tensor>& got, const Tensor& wanted) {
  for (const Tensor& t : got) BOOST_CHECK_MESSAGE(distance(t, wanted) < 1e-5, what << ": " << distance(t, wanted));
  BOOST_CHECK_MESSAGE(got[0].equal(got[1]), what << ": ranks differ");
}

template <class Net>
void expect_equal_to_one_process(const char* what) {
  const Tensor wanted = alone<Net>();
  for (const std::size_t bytes : {1u, 200u, 1u << 20}) {
    expect_equal(what, by_tutti<Net>(bytes), wanted);
    expect_equal(what, by_torch_optim<Net>(bytes), wanted);
  }
  expect_equal(what, by_tutti<Net>(200, tutti::sharded{}), wanted);
}

} // namespace

BOOST_AUTO_TEST_CASE(a_convolutional_network) { expect_equal_to_one_process<convolutional>("convolutional"); }
BOOST_AUTO_TEST_CASE(a_transformer_with_tied_weights) { expect_equal_to_one_process<transformer>("transformer"); }
BOOST_AUTO_TEST_CASE(branches_that_are_not_used) { expect_equal_to_one_process<branching>("branching"); }

// Averaged after every step without momentum, replicas that train apart are what gradients would have made of them.
BOOST_AUTO_TEST_CASE(replicas_that_train_apart_agree_in_their_period) {
  const auto run = [](auto... parts) {
    return on(2, [&](auto& world) {
      const int rank = world.rank();
      convolutional net;
      fill(net, rank);
      tutti::strategy strategy{world, parts...};
      tutti::torch::data_parallel ddp{net, strategy, tutti::sgd{.learning_rate = .1}};
      for (int step = 0; step < steps; ++step) ddp.step(net.loss(step, 4 * rank, 4 * rank + 4, rank));
      return flat(net);
    });
  };
  expect_equal("local_sgd", run(tutti::local_sgd{1}), run()[0]);
  const auto apart = run(tutti::local_sgd{4});
  BOOST_CHECK(!apart[0].equal(apart[1]));
}

BOOST_AUTO_TEST_SUITE_END()
