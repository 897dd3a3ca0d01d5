// What trains a module of LibTorch, and what does not.
#include <tutti/adapters/torch.hpp>
#include <tutti/adapters/torch_sampler.hpp>
#include <tutti/tutti.hpp>

void of_torch(tutti::self& comm, torch::nn::Module& module) {
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
