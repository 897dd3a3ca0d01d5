// What trains a module of LibTorch, and what does not.
#include <tutti/adapters/torch.hpp>
#include <tutti/adapters/torch_onnx.hpp>
#include <tutti/adapters/torch_sampler.hpp>
#include <tutti/tutti.hpp>

void of_torch([[maybe_unused]] tutti::self& comm, [[maybe_unused]] torch::nn::Module& module) {
  // REJECT gradients_of_local: tutti::torch::data_parallel: this sync policy moves parameters by itself, .* - give one of tutti's optimizers
  // REJECT gradients_of_owners: tutti::torch::data_parallel: this sync policy moves parameters by itself
  // REJECT no_such_optimizer: tutti::strategy::bind: this is no optimizer
#if defined REJECT_gradients_of_local
  tutti::strategy strategy{comm, tutti::local_sgd{}};
  tutti::torch::data_parallel ddp{module, strategy};
#elif defined REJECT_gradients_of_owners
  tutti::strategy strategy{comm, tutti::sharded{}};
  tutti::torch::data_parallel ddp{module, strategy};
#elif defined REJECT_no_such_optimizer
  tutti::strategy strategy{comm};
  tutti::torch::data_parallel ddp{module, strategy, tutti::mean{}};
#else
  tutti::strategy local{comm, tutti::local_sgd{}};
  tutti::strategy synchronous{comm};
  tutti::torch::data_parallel descends{module, local, tutti::adam{}};
  tutti::torch::data_parallel hands_back{module, synchronous};
  descends.step(at::Tensor{});
  hands_back.backward(at::Tensor{});
  tutti::torch::epoch_sampler sampler{8, comm};
#endif
}

struct two_inputs : torch::nn::Module {
  at::Tensor forward(const at::Tensor& x, const at::Tensor& y) { return x + y; }
};

void to_files([[maybe_unused]] two_inputs& module, [[maybe_unused]] const at::Tensor& x) {
  // REJECT no_module_is_named: tutti::torch::to_onnx: a visitor is a lambda that names the type of its module - write
  // REJECT one_example_for_two: tutti::torch::to_onnx: forward\(\) of this module does not take this example
  // REJECT no_values: tutti::torch::to_onnx: behind the module a visitor takes tutti::torch::onnx_value
#if defined REJECT_no_module_is_named
  tutti::torch::to_onnx(module, std::tuple{x, x}, "x.onnx", [](auto&, auto&, auto a, auto b) { return a + b; });
#elif defined REJECT_one_example_for_two
  tutti::torch::to_onnx(module, x, "x.onnx");
#elif defined REJECT_no_values
  tutti::torch::to_onnx(module, std::tuple{x, x}, "x.onnx",
                        [](tutti::torch::onnx_graph&, two_inputs&, at::Tensor, at::Tensor) {});
#else
  tutti::torch::to_onnx(module, std::tuple{x, x}, "x.onnx",
                        [](tutti::torch::onnx_graph&, two_inputs&, tutti::torch::onnx_value a,
                           tutti::torch::onnx_value b) { return a + b; });
#endif
}
