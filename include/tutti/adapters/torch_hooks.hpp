// What autograd is asked of a module's parameters (adapters/torch.hpp): which of them a loss leads to, and when the
// gradient of each is complete.
#pragma once

#include <ATen/ATen.h>
#include <torch/csrc/autograd/function.h>
#include <torch/csrc/autograd/function_hook.h>
#include <torch/csrc/autograd/variable.h>

#include <cstddef>
#include <cstdint>
#include <memory>
#include <unordered_map>
#include <unordered_set>
#include <utility>
#include <vector>

namespace tutti::torch::detail {

/// What is followed of one parameter.
struct tracked_parameter {
  /// That ends its gradient: a shared pointer, of LibTorch's own kind in newer ones. Kept, as autograd keeps it for a
  /// graph's life only.
  decltype(::torch::autograd::impl::grad_accumulator(std::declval<const at::Tensor&>())) accumulator;
  std::uintptr_t hook = 0;
  bool trained = true, reached = false, ready = false;
  at::Tensor gradient = {}; ///< as it is offered; kept until the step has ended
};

class gradient_hooks {
public:
  gradient_hooks() = default;
  gradient_hooks(const gradient_hooks&) = delete;
  gradient_hooks& operator=(const gradient_hooks&) = delete;
  ~gradient_hooks() {
    for (const tracked_parameter& t : all_)
      if (t.accumulator) t.accumulator->del_post_hook(t.hook);
  }

  void resize(std::size_t parameters) { all_.resize(parameters); }
  tracked_parameter& operator[](std::size_t k) { return all_[k]; }

  /// From now on owner.accumulated(k) is called whenever autograd has completed grad() of parameter k, by the thread
  /// that called backward(). Does nothing where it does so already, and while the parameter is not trained.
  template <class Owner>
  void follow(std::size_t k, const at::Tensor& value, Owner& owner) {
    tracked_parameter& t = all_[k];
    t.trained = value.requires_grad();
    if (!t.trained || t.accumulator) return;
    t.accumulator = ::torch::autograd::impl::grad_accumulator(value);
    t.hook = t.accumulator->add_post_hook(std::make_unique<after_accumulation<Owner>>(owner, k));
    which_.emplace(&*t.accumulator, k);
  }
  /// Says of each parameter whether `loss` leads to it, by a walk along its graph; none is ready.
  void walk(const at::Tensor& loss) {
    for (tracked_parameter& t : all_) t.reached = t.ready = false;
    if (!loss.defined() || !loss.requires_grad()) return;
    std::vector<node*> open{&*::torch::autograd::impl::gradient_edge(loss).function};
    std::unordered_set<node*> seen{open.back()};
    while (!open.empty()) {
      node* const here = open.back();
      open.pop_back();
      if (const auto found = which_.find(here); found != which_.end()) all_[found->second].reached = true;
      for (const auto& edge : here->next_edges())
        if (edge.function && seen.insert(&*edge.function).second) open.push_back(&*edge.function);
    }
  }
  void forget_gradients() {
    for (tracked_parameter& t : all_) t.gradient.reset();
  }

private:
  using node = ::torch::autograd::Node;

  template <class Owner>
  struct after_accumulation final : ::torch::autograd::FunctionPostHook {
    Owner& owner;
    std::size_t k;
    after_accumulation(Owner& of, std::size_t which) : owner{of}, k{which} {}
    ::torch::autograd::variable_list operator()(const ::torch::autograd::variable_list& outputs,
                                                const ::torch::autograd::variable_list&) override {
      owner.accumulated(k);
      return outputs;
    }
  };

  std::vector<tracked_parameter> all_;
  std::unordered_map<const node*, std::size_t> which_;
};

} // namespace tutti::torch::detail
